//! `accredit audit verify`

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use accredit_policy::Time;
use clap::Args;
use serde_json::{Value, json};

use super::super::Output;
use crate::audit::source::{Kept, Source};
use crate::clock;
use crate::note::Key;
use crate::verify::{Claims, End, Finding, Open, Spot, Verdict, Verifier};

/// What is verified, and against what.
#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    place: Place,
    /// The public key that has to have signed the checkpoints, as `accredit audit key` prints it. Without it the one that lies
    /// beside the records counts, which whoever changes them can change too.
    #[arg(long, value_parser = vkey)]
    key: Option<Key>,
    /// A file of checkpoints that were kept elsewhere: `audit.checkpoints.file`; several may be given.
    #[arg(long, value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// How to print the verdict.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Where the records lie.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Place {
    /// A SQLite file, live or a copy.
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
    /// A file that holds the URL of a PostgreSQL database.
    #[arg(long, value_name = "URL_FILE")]
    postgres: Option<PathBuf>,
    /// An export: lines of JSON.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

impl Verify {
    /// Runs it; 0 is a clean log, 1 one that is found wanting.
    pub async fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        let Self { place, key: pinned, checkpoints, output } = self;
        // Before the database: what is filed while that is read speaks of records it does not show.
        let kept = checkpoints.iter().map(|file| Kept::open(file)).collect::<Result<Vec<_>, _>>()?;
        let mut source = match place {
            Place { database: Some(file), .. } => Source::sqlite(&file).await?,
            Place { postgres: Some(file), .. } => Source::postgres(&file).await?,
            Place { export: Some(file), .. } => Source::export(&file)?,
            Place { .. } => return Err("found no place, accepted is `--database`, `--postgres` or `--export`".into()),
        };
        let key = match &pinned {
            Some(key) => Some(key.clone()),
            None => source.key().await?,
        };
        let mut claims = Claims::new(key.clone());
        source.claims(&mut claims).await?;
        for kept in kept {
            kept.claims(&mut claims)?;
        }
        let mut verifier = Verifier::new(claims, source.cut().await?);
        source.entries(&mut verifier).await?;
        source.actors(&mut verifier).await?;
        let verdict = verifier.finish(clock::now());
        let answer = answer(&verdict, key.as_ref(), if pinned.is_some() { "pinned" } else { "not_pinned" });
        output.print(&answer, |_| text(&verdict, key.as_ref(), pinned.as_ref()));
        Ok(if verdict.count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn vkey(text: &str) -> Result<Key, &'static str> {
    Key::parse(text.trim()).ok_or("accepted is `<name>+<id>+<key>`, as `accredit audit key` prints it")
}

fn answer(verdict: &Verdict, key: Option<&Key>, trust: &str) -> Value {
    let chains = verdict.chains.iter().map(|End { head, signed, vouched, unsigned }| {
        json!({
            "chain": head.chain,
            "length": head.length,
            "seq": head.seq,
            "hash": head.hash.to_string(),
            "signed": signed,
            "vouched": vouched,
            "unsigned": unsigned,
        })
    });
    json!({
        "clean": verdict.count == 0,
        "count": verdict.count,
        "findings": verdict.findings.iter().map(finding).collect::<Vec<_>>(),
        "records": verdict.records,
        "removed_through": verdict.through,
        "last": verdict.last,
        "chains": chains.collect::<Vec<_>>(),
        "checkpoints": verdict.checkpoints,
        "newest_outside": verdict.newest.map(Time::rfc3339),
        "torn_lines": verdict.torn,
        "key": key.map(Key::to_string),
        "trust": trust,
        "open_intents": verdict.open.iter().map(open).collect::<Vec<_>>(),
    })
}

fn finding(Finding { spot, fault }: &Finding) -> Value {
    let Spot { seq, chain, position, id } = spot;
    json!({
        "what": fault.name(),
        "says": fault.to_string(),
        "seq": seq,
        "chain": chain,
        "position": position,
        "id": id,
    })
}

fn open(Open { seq, id, time, lease }: &Open) -> Value {
    json!({ "seq": seq, "id": id, "time": time, "lease": lease })
}

/// The verdict for people, the worst first.
fn text(verdict: &Verdict, key: Option<&Key>, pinned: Option<&Key>) -> String {
    let mut lines: Vec<String> = verdict.findings.iter().map(said).collect();
    let told = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    if verdict.count > told {
        lines.push(format!("and {} more", verdict.count.saturating_sub(told)));
    }
    let state = if verdict.count == 0 { "clean" } else { "found wanting" };
    let first = verdict.through.saturating_add(1);
    let Verdict { records, last, chains, checkpoints, .. } = verdict;
    lines.push(format!(
        "{state}: {records} records, seq {first} to {last}, {} chains, {checkpoints} checkpoints",
        chains.len()
    ));
    if let Some(newest) = verdict.newest {
        lines.push(format!("outside: the newest checkpoint kept elsewhere is of {}", newest.rfc3339()));
    }
    if verdict.torn > 0 {
        lines.push(format!("torn: {} lines kept elsewhere were cut short when they were written", verdict.torn));
    }
    if verdict.through > 0 {
        lines.push(format!("removed by age: all up to seq {}, of which nothing can be said", verdict.through));
    }
    let sum = |count: fn(&End) -> u64| chains.iter().map(count).fold(0, u64::saturating_add);
    let (vouched, unsigned) = (sum(|end| end.vouched), sum(|end| end.unsigned));
    if vouched > 0 {
        let strange = chains.iter().filter(|end| end.vouched > 0 && end.signed == 0).count();
        lines.push(format!(
            "vouched: {vouched} records, which only a later start has signed for: a crash has left them, or they were \
             written there ({strange} of these chains have no checkpoint of their own)"
        ));
    }
    if unsigned > 0 {
        lines.push(format!("unsigned: the last {unsigned} records, which no checkpoint covers yet"));
    }
    lines.push(match (key, pinned) {
        (_, Some(key)) => format!("key: {key}, pinned"),
        (Some(key), None) => format!("key: {key}, not pinned: it lies beside the records (hint: `--key`)"),
        (None, None) => "key: none, so no checkpoint counts (hint: `--key`)".to_owned(),
    });
    let open = |open: &Open| {
        format!("open: the intent seq {} for lease {} of {}, nothing came of it", open.seq, open.lease, open.time)
    };
    lines.extend(verdict.open.iter().map(open).map(shown));
    lines.join("\n")
}

fn said(Finding { spot, fault }: &Finding) -> String {
    match spot.to_string().as_str() {
        "" => format!("wanting: {fault}"),
        spot => format!("wanting: {spot}: {fault}"),
    }
}

/// Control characters, which could speak to a terminal, are left out.
fn shown(text: String) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}
