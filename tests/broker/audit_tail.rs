//! `accredit audit tail`: every record once, in order, through a crash of the broker, until somebody has seen enough.

use std::process::Stdio;
use std::time::Duration;

use harness::stack::broker::command;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use super::audit_query::{keep, other, whole};
use super::support::Desk;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command that follows.
struct Tail {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Tail {
    fn start(desk: &Desk, args: &[&str]) -> Self {
        let token = desk.broker.dir().join("secret");
        let fixed = ["audit", "tail", "--broker", &desk.broker.url, "--token-file", token.to_str().unwrap()];
        let mut command = Command::from(command(&[&fixed, args].concat()));
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("a line comes").expect("it can be read");
        line.expect("it goes on")
    }

    async fn id(&mut self) -> String {
        let record: Value = serde_json::from_str(&self.line().await).expect("a record a line");
        record["id"].as_str().expect("a record has one").to_owned()
    }

    async fn code(mut self) -> Option<i32> {
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("it has ended").code()
    }
}

#[tokio::test]
async fn a_follower_sees_each_record_once_through_a_crash() {
    let mut desk = Desk::open("tail-crash").await;
    keep(&desk, &[whole("old")]).await;
    let mut tail = Tail::start(&desk, &["--agent", "scout", "--output", "json"]);
    // Nothing tells that it has begun to follow but what it prints.
    let mut begun = 0;
    while timeout(Duration::from_millis(500), async {
        keep(&desk, &[whole(&format!("begin{begun}"))]).await;
        tail.line().await
    })
    .await
    .is_err()
    {
        begun += 1;
        assert!(begun < 20, "it prints nothing");
    }
    keep(&desk, &[other(), whole("one")]).await;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|id| id != "one") {
        seen.push(tail.id().await);
    }
    assert!(!seen.contains(&"old".to_owned()) && !seen.contains(&"other".to_owned()), "{seen:?}");
    desk.broker.crash().await;
    keep(&desk, &[whole("two"), whole("three")]).await;
    assert_eq!([tail.id().await, tail.id().await], ["two", "three"]);
    kill_process(Pid::from_raw(i32::try_from(tail.child.id().unwrap()).unwrap()).unwrap(), Signal::INT).unwrap();
    assert_eq!(tail.code().await, Some(0));
}

#[tokio::test]
async fn a_closed_pipe_ends_it_without_a_complaint() {
    let desk = Desk::open("tail-pipe").await;
    keep(&desk, &[whole("one")]).await;
    let mut tail = Tail::start(&desk, &["--after", "0", "--agent", "scout"]);
    let line = tail.line().await;
    assert!(line.contains("scope_missing needs crm:admin") && line.contains("scout < planner < front"), "{line}");
    drop(tail.lines);
    let (code, ()) = tokio::join!(async { timeout(PATIENCE, tail.child.wait()).await }, async {
        for number in 0..5 {
            keep(&desk, &[whole(&format!("more{number}"))]).await;
            sleep(Duration::from_millis(100)).await;
        }
    });
    assert_eq!(code.expect("it ends").unwrap().code(), Some(0));
}

#[tokio::test]
async fn what_is_refused_for_good_ends_it() {
    let desk = Desk::open("tail-refused").await;
    for (args, said) in [(&["--kind", "mints"][..], "unknown variant `mints`"), (&["--token-file", "/dev/null"], "401")]
    {
        let token = desk.broker.dir().join("secret");
        let mut all = vec!["audit", "tail", "--broker", &desk.broker.url];
        if args[0] != "--token-file" {
            all.extend(["--token-file", token.to_str().unwrap()]);
        }
        all.extend(args);
        let output = timeout(PATIENCE, Command::from(command(&all)).output()).await.expect("it ends").unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(error.contains(said), "{error}");
    }
}
