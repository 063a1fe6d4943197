//! The files of Wycheproof, where a folder with them is given: `VECTORS=dir scripts/test --test vectors`.
//!
//! <https://github.com/C2SP/wycheproof>, folder `testvectors_v1`. What is valid there holds here and nothing else does,
//! whoever checks signatures; the exceptions are in `pinned.rs`.

mod jose;
mod pinned;
mod raw;

use crate::host;
use accredit_policy::token::native;
use accredit_policy::token::verifier::Verifier;
use pinned::exception;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// A file of the collection, as far as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    test_groups: Vec<Group>,
}

/// Tests of one key.
#[derive(Deserialize)]
struct Group {
    r#type: String,
    tests: Vec<Test>,
    /// The key, in a form that depends on the type.
    #[serde(flatten)]
    about: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Test {
    tc_id: u64,
    comment: String,
    result: String,
    /// A signed token, in the files about JOSE: a text, or an object in the JSON form.
    jws: Option<Value>,
    /// Message and signature in hexadecimal, in the others.
    msg: Option<String>,
    sig: Option<String>,
}

/// What a file gave.
#[derive(Default)]
struct Tally {
    agreed: usize,
    pinned: usize,
    unread: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.agreed += other.agreed;
        self.pinned += other.pinned;
        self.unread += other.unread;
        self.wrong.extend(other.wrong);
    }
}

#[test]
fn the_verdicts_are_those_of_wycheproof() {
    let Some(folder) = env::var_os("VECTORS") else {
        say("vectors: VECTORS names no folder, so Wycheproof was not read");
        return;
    };
    // Cargo runs tests in the folder of their package, and the caller stood in the one above.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut sum = Tally::default();
    for path in files(&folder) {
        let tally = read(&path);
        if tally.agreed > 0 {
            say(&format!("vectors: {}: {} agree, {} pinned", name(&path), tally.agreed, tally.pinned));
        }
        sum.add(tally);
    }
    say(&format!("vectors: {} agree, {} pinned, {} of other kinds", sum.agreed, sum.pinned, sum.unread));
    assert!(sum.agreed > 0, "there is nothing of Wycheproof in {}", folder.display());
    assert!(sum.wrong.is_empty(), "{} verdicts are wrong:\n{}", sum.wrong.len(), sum.wrong.join("\n"));
}

fn read(path: &Path) -> Tally {
    let file: File =
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let mut tally = Tally::default();
    for group in &file.test_groups {
        for test in &group.tests {
            count(&mut tally, &name(path), group, test);
        }
    }
    tally
}

fn count(tally: &mut Tally, file: &str, group: &Group, test: &Test) {
    let Some(verdict) = jose::verdict(group, test).or_else(|| raw::verdict(group, test)) else {
        tally.unread += 1;
        return;
    };
    let expected = test.result == "valid";
    match exception(file, group, test) {
        // An exception that is none any more has to go.
        Some(_) if verdict != expected => tally.pinned += 1,
        None if verdict == expected => tally.agreed += 1,
        _ => {
            tally.wrong.push(format!("{file} {}: {} ({}), and we say {verdict}", test.tc_id, test.comment, test.result))
        }
    }
}

/// Whether a signature holds; the core and a host have to say the same.
fn holds(verifier: &Verifier, signature: &[u8], message: &[u8]) -> bool {
    let own = verifier.accepts(signature, message, native::absent);
    assert_eq!(own, verifier.accepts(signature, message, host::native), "the core and a host disagree");
    own
}

/// The files we can read.
fn files(folder: &Path) -> Vec<PathBuf> {
    let known = ["json_web_signature", "json_web_key", "json_web_crypto", "rsa_signature", "rsa_pss", "ed25519"];
    let listed = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    let ours = |name: &str| known.iter().any(|start| name.starts_with(start)) || name.ends_with("_p1363_test.json");
    files.retain(|path| ours(&name(path)));
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Speaks past the capture of passing tests.
fn say(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}
