//! The second place: what lies there knows better than a database that somebody has put back.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::json;
use tokio::net::TcpListener;

use super::super::roles::soon;
use super::super::support::{Desk, FOREIGN, config, policy};
use super::{run, verify};

/// A broker that brings its checkpoints to `outside.ndjson`, and to `url` if there is one.
pub async fn desk(name: &str, url: Option<&str>) -> Desk {
    let mut config = config();
    config["audit"] = json!({ "checkpoints": { "file": "outside.ndjson" } });
    if let Some(url) = url {
        config["audit"]["checkpoints"]["url"] = json!(url);
    }
    Desk::configured(name, &policy(&harness::Issuer::new(FOREIGN)), config).await
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
    verify(&desk, &["--checkpoints", outside]).clean();
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
    let (seen, away) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(true)));
    let (notes, shut) = (Arc::clone(&seen), Arc::clone(&away));
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
