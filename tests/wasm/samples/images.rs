//! The images, and every image that is named.

use super::*;

/// Instructions of a Dockerfile, continued lines joined.
fn instructions(file: &str) -> Vec<(String, String)> {
    let text = read(file).replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap()).map(|(verb, rest)| (verb.to_owned(), rest.to_owned())).collect()
}

/// The arguments of every instruction of a kind.
fn all(file: &str, verb: &str) -> Vec<String> {
    instructions(file).into_iter().filter(|(found, _)| found == verb).map(|(_, rest)| rest).collect()
}

fn dockerfiles() -> Vec<String> {
    let found = files(&[".Dockerfile"]);
    assert_eq!(found.len(), 3, "{found:?}");
    found
}

#[test]
fn what_is_copied_is_there() {
    let ignored = read(".dockerignore");
    for file in dockerfiles() {
        let runs = all(&file, "RUN").concat();
        for copy in all(&file, "COPY") {
            let words: Vec<_> = copy.split_whitespace().filter(|word| !word.starts_with("--")).collect();
            let (_, sources) = words.split_last().unwrap();
            for source in sources {
                if copy.starts_with("--from=build") {
                    let made = runs.contains(&format!(" {source}")) || source.starts_with("/etc/ssl/");
                    assert!(made, "{file}: `{source}` is not made");
                } else {
                    assert!(root().join(source).exists(), "{file}: `{source}` is not there");
                    assert!(!ignored.lines().any(|line| line == format!("/{source}")), "`{source}` is ignored");
                }
            }
        }
    }
}

#[test]
fn every_member_of_the_workspace_is_copied() {
    for file in dockerfiles() {
        let copied: Vec<_> = all(&file, "COPY").iter().flat_map(|copy| words(copy)).collect();
        for member in ["broker-service", "filter", "tests", "Cargo.toml", "Cargo.lock"] {
            assert!(copied.iter().any(|word| word == member), "{file} needs `{member}`");
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn what_is_built_is_what_ships() {
    let builds = |file: &str, wanted: &str, made: &str| {
        let run = all(file, "RUN").into_iter().find(|run| run.contains("cargo build")).expect("a build");
        let words = words(&run).join(" ");
        assert!(words.contains(&format!("cargo build --locked {wanted} && cp {made} ")), "{file}: {words}");
    };
    builds("envoy/broker.Dockerfile", "--release --package accredit --bin accredit", "target/release/accredit");
    builds(
        "envoy/tools.Dockerfile",
        "--release --package accredit-tests --bin demo-tools",
        "target/release/demo-tools",
    );
    let wasm = "--profile wasm --target wasm32-wasip1 --package accredit-filter";
    builds("envoy/filter.Dockerfile", wasm, "target/wasm32-wasip1/wasm/accredit_filter.wasm");

    let last: Vec<_> = instructions("envoy/filter.Dockerfile");
    let last: Vec<_> = last.rsplit(|(verb, _)| verb == "FROM").next().unwrap().to_vec();
    assert_eq!(all("envoy/filter.Dockerfile", "FROM").last().unwrap(), "scratch");
    assert!(last.iter().any(|(verb, rest)| verb == "COPY" && rest.ends_with("/plugin.wasm /plugin.wasm")));
    for (file, program) in [("envoy/broker.Dockerfile", "accredit"), ("envoy/tools.Dockerfile", "demo-tools")] {
        assert_eq!(all(file, "ENTRYPOINT"), [format!(r#"["{program}"]"#)]);
        assert!(all(file, "COPY").iter().any(|copy| copy.ends_with(&format!(" /usr/local/bin/{program}"))));
    }
}

#[test]
fn the_toolchain_is_the_one_of_the_repository() {
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split('"').nth(1).unwrap();
    for file in dockerfiles() {
        assert_eq!(all(&file, "FROM")[0], format!("rust:{channel}-trixie AS build"), "{file}");
        assert_eq!(all(&file, "ENV"), [format!("RUSTUP_TOOLCHAIN={channel}")], "{file}");
    }
}

#[test]
fn nothing_runs_as_root() {
    for file in dockerfiles() {
        let instructions = instructions(&file);
        let stages = instructions.split(|(verb, _)| verb == "FROM").skip(2);
        for stage in stages {
            let user = stage.iter().rev().find(|(verb, _)| verb == "USER").map(|(_, user)| user.as_str());
            assert!(user.is_some_and(|user| !["root", "0", "0:0"].contains(&user)), "{file}: {user:?}");
        }
    }
}

/// Every image that any of the files names.
fn images() -> Vec<(String, String)> {
    let froms = dockerfiles().into_iter().flat_map(|file| {
        let froms = all(&file, "FROM").into_iter().map(|from| from.split(' ').next().unwrap().to_owned());
        froms.filter(|image| image != "scratch").map(|image| (file.clone(), image)).collect::<Vec<_>>()
    });
    let named = files(&[".yaml", ".yml"]).into_iter().flat_map(|file| {
        let all = documents(&file);
        let images = all.iter().flat_map(|one| under(one, "image")).filter_map(Value::as_str);
        images.map(|image| (file.clone(), image.to_owned())).collect::<Vec<_>>()
    });
    froms.chain(named).collect()
}

#[test]
fn every_image_has_a_version() {
    let images = images();
    assert!(images.len() >= 10, "{images:?}");
    for (file, image) in images {
        let (name, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{file}: `{image}` has no tag"));
        assert!(!tag.contains('/') && tag != "latest", "{file}: `{image}`");
        if name.contains("accredit/") {
            assert_eq!(tag, env!("CARGO_PKG_VERSION"), "{file}: `{image}`");
        }
        if name.starts_with("envoyproxy/") {
            let setup = read("scripts/setup");
            let version = tag.trim_start_matches('v');
            assert!(setup.contains(&format!("\nversion={version}\n")), "{file}: the tests run another Envoy");
        }
    }
}
