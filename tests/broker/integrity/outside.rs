//! The second place: what lies there knows better than a database that somebody has put back.

use std::fs::File;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use harness::stack::fresh;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::super::roles::soon;
use super::super::support::{Desk, FOREIGN, POSTGRES, config, policy};
use super::{run, verify};

/// A broker that brings its checkpoints to `outside.ndjson`, and to `url` if there is one.
pub async fn desk(name: &str, url: Option<&str>) -> Desk {
    let mut places = json!({ "file": "outside.ndjson" });
    if let Some(url) = url {
        places["url"] = json!(url);
    }
    to(name, places).await
}

/// A broker that brings its checkpoints there.
async fn to(name: &str, places: Value) -> Desk {
    let mut config = config();
    config["audit"] = json!({ "checkpoints": places });
    Desk::configured(name, &policy(&harness::Issuer::new(FOREIGN)), config).await
}

/// A place that takes notes unless it is away, and its URL.
async fn place(seen: &Arc<Mutex<Vec<String>>>, away: &Arc<Mutex<bool>>) -> String {
    let (notes, shut) = (Arc::clone(seen), Arc::clone(away));
    let take = async move |body: String| match *shut.lock().unwrap() {
        true => StatusCode::SERVICE_UNAVAILABLE,
        false => {
            notes.lock().unwrap().push(body);
            StatusCode::OK
        }
    };
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/notes", socket.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(socket, Router::new().route("/notes", post(take))).await });
    url
}

#[tokio::test]
async fn a_backup_that_was_put_back_is_told_from_a_log_whose_end_was_removed() {
    let mut desk = desk("integrity-backup", None).await;
    desk.live("one").await;
    desk.broker.process.stop();
    let (outside, tables) = (desk.broker.dir().join("outside.ndjson"), ["audit", "chains", "checkpoints"]);
    let outside = outside.to_str().unwrap();
    let mut database = desk.broker.database().await;
    for table in tables {
        run(&mut database, &format!("CREATE TABLE backup_{table} AS SELECT * FROM {table}")).await;
    }
    desk.broker.crash().await;
    desk.live("two").await;
    desk.broker.process.stop();
    assert!(verify(&desk, &["--checkpoints", outside]).clean().said["newest_outside"].is_string());
    for table in tables {
        run(&mut database, &format!("DELETE FROM {table}")).await;
        run(&mut database, &format!("INSERT INTO {table} SELECT * FROM backup_{table}")).await;
    }
    verify(&desk, &[]).clean();
    let verdict = verify(&desk, &["--checkpoints", outside]);
    assert!(verdict.wanting().faults().iter().all(|(what, _)| *what == "rewound"), "{}", verdict.said);
    // A broker that goes on from there begins a chain of its own, and contradicts nothing it has signed.
    desk.broker.crash().await;
    desk.live("three").await;
    desk.broker.process.stop();
    verify(&desk, &[]).clean();
    let verdict = verify(&desk, &["--checkpoints", outside]);
    assert!(verdict.wanting().faults().iter().all(|(what, _)| *what == "rewound"), "{}", verdict.said);
    run(&mut database, "DELETE FROM audit WHERE seq = (SELECT MAX(seq) FROM audit)").await;
    assert_eq!(verify(&desk, &[]).wanting().faults()[0].0, "truncated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_reach_a_place_that_was_away_and_records_do_not_wait_for_it() {
    let (seen, away) = (Arc::default(), Arc::new(Mutex::new(true)));
    let url = place(&seen, &away).await;
    let mut desk = desk("integrity-url", Some(&url)).await;
    desk.live("one").await;
    soon("nobody has asked", async || desk.broker.process.log().contains("no checkpoint to `audit.checkpoints.url`"))
        .await;
    assert!(!desk.broker.process.log().contains(&url), "a URL can hold a secret");
    *away.lock().unwrap() = false;
    soon("nothing has come", async || !seen.lock().unwrap().is_empty()).await;
    desk.broker.process.stop();
    let text = std::fs::read_to_string(desk.broker.dir().join("outside.ndjson")).unwrap();
    let filed: Vec<_> = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).collect();
    let filed: Vec<_> = filed.iter().map(|line| line["checkpoint"].as_str().unwrap()).collect();
    assert_eq!(*seen.lock().unwrap(), filed);
    assert!(filed.len() >= 2, "one at the start, one at the end: {filed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_hangs_does_not_keep_another_waiting() {
    let (seen, pipe) = (Arc::default(), fresh("integrity-hangs-pipe").join("pipe"));
    // Nobody reads there.
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let url = place(&seen, &Arc::default()).await;
    let desk = to("integrity-hangs", json!({ "file": pipe, "url": url })).await;
    desk.live("one").await;
    soon("nothing has come", async || !seen.lock().unwrap().is_empty()).await;
    // Lets it go: with a reader, the pipe takes what waits.
    drop(File::options().read(true).write(true).open(&pipe).unwrap());
}

#[tokio::test]
async fn what_the_table_says_was_brought_is_brought_all_the_same_and_what_was_not_signed_is_not() {
    let mut desk = desk("integrity-brought", None).await;
    let outside = desk.broker.dir().join("outside.ndjson");
    let filed = || std::fs::read_to_string(&outside).unwrap_or_default();
    soon("the first one is missing", async || filed().lines().count() == 1).await;
    let mut database = desk.broker.database().await;
    let forged = "INSERT INTO checkpoints (chain, position, seq, time, note, filed, posted) VALUES ('x', 1, 1, 0, 'forged', 0, 0)";
    run(&mut database, forged).await;
    if POSTGRES {
        let function =
            "CREATE FUNCTION brought() RETURNS trigger AS $$ BEGIN NEW.filed = 1; RETURN NEW; END $$ LANGUAGE plpgsql";
        run(&mut database, function).await;
        run(
            &mut database,
            "CREATE TRIGGER brought BEFORE INSERT ON checkpoints FOR EACH ROW EXECUTE FUNCTION brought()",
        )
        .await;
    } else {
        let trigger = "CREATE TRIGGER brought AFTER INSERT ON checkpoints BEGIN UPDATE checkpoints SET filed = 1 \
                       WHERE chain = NEW.chain AND position = NEW.position; END";
        run(&mut database, trigger).await;
    }
    desk.live("one").await;
    desk.broker.process.stop();
    let rows = "SELECT COUNT(*) FROM checkpoints WHERE chain <> 'x'";
    let rows: i64 = sqlx::query_scalar(rows).fetch_one(&mut database).await.unwrap();
    assert_eq!((filed().lines().count(), filed().contains("forged")), (usize::try_from(rows).unwrap(), false));
    assert!(desk.broker.process.log().contains("a checkpoint was not signed here"));
}
