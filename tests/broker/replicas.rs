//! Two brokers on one PostgreSQL: what one is told counts at the other.

use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::parts::Postgres;
use harness::stack::broker::Broker;
use harness::stack::fresh;
use reqwest::{Client, Method};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::clients::{GRANT, Key, TYPE, assertion, enrol, said};
use super::integrity::verify;
use super::roles::{ROLE, Roles, TOKEN, request, soon};
use super::support::{Answer, Desk};

/// How long notices may take.
const NOTICE: Duration = Duration::from_millis(1500);

/// Two brokers with one issuer, one store and one target.
async fn pair(name: &str) -> Option<(Roles, Roles)> {
    let change = |config: &mut Value| {
        enrol(config);
        config["credentials"][ROLE.2]["until"] = json!("expiry");
    };
    let one = Roles::open(Postgres::shared().await?, name, change).await;
    let dir = fresh(&format!("broker-postgres-{name}-two"));
    copy(one.desk.broker.dir(), &dir);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config: Value = serde_json::from_slice(&fs::read(dir.join("broker.yaml")).unwrap()).unwrap();
    config["listen"] = json!(port.to_string());
    fs::write(dir.join("broker.yaml"), config.to_string()).unwrap();
    let broker = Broker::start(&dir, &format!("http://{port}")).await.unwrap_or_else(|failure| panic!("{failure}"));
    let two = Desk { broker, http: Client::builder().no_proxy().build().unwrap() };
    let two = Roles { desk: two, prefix: one.prefix.clone(), target: one.target.clone() };
    Some((one, two))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => copy(&path, &to),
            false => drop(fs::copy(path, to).unwrap()),
        }
    }
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
}

async fn active(roles: &Roles, token: &str) -> bool {
    roles.desk.post_as("gateway", "/introspect", &[("token", token)]).await.body["active"] == true
}

#[tokio::test]
async fn a_token_revoked_at_one_is_worth_nothing_at_the_other() {
    let Some((one, two)) = pair("replicas-token").await else { return };
    for _ in 0..10 {
        let token = one.token().await;
        assert_eq!(two.exchange(&token, TOKEN).await.status, 200, "the same key signs for both");
        assert!(active(&two, &token).await);
        assert_eq!(one.desk.post_as("agent-7", "/revoke", &[("token", &token)]).await.status, 200);
        assert_eq!(two.exchange(&token, TOKEN).await.error(), (403, "access_denied"), "at once");
        let waited = soon("it is still active", async || !active(&two, &token).await).await;
        assert!(waited < NOTICE, "{waited:?}");
    }
}

#[tokio::test]
async fn an_agent_suspended_through_one_gets_nothing_from_the_other() {
    let Some((one, two)) = pair("replicas-agent").await else { return };
    let token = two.token().await;
    let role = two.exchange(&token, ROLE).await.text("lease_id");
    assert_eq!(one.operate(Method::POST, "/v1/agents/agent-7/suspend").await.status, 200);
    assert_eq!(two.exchange(&token, TOKEN).await.error(), (403, "access_denied"), "at once");
    let form = [GRANT, ("resource", super::support::RESOURCE)];
    let issues = async || two.desk.ask("agent-7", &form).await.status == 200;
    let waited = soon("it is still issued tokens", async || !issues().await).await;
    assert!(waited < NOTICE, "{waited:?}");
    assert!(soon("it is still active", async || !active(&two, &token).await).await < NOTICE);
    assert_eq!(one.ended(&role).await, "revoked");
    assert_eq!(one.operate(Method::POST, "/v1/agents/agent-7/resume").await.status, 200);
    soon("it is still refused", async || two.exchange(&token, TOKEN).await.status == 200).await;
}

#[tokio::test]
async fn an_assertion_counts_once_for_both() {
    let Some((one, two)) = pair("replicas-once").await else { return };
    let assert = async |at: &Roles, assertion: &str| -> Answer {
        at.desk.post("/token", &[GRANT, TYPE, ("client_assertion", assertion)]).await
    };
    let signed = || Key::signer().sign(&assertion(&one.desk, "signer"));
    let first = signed();
    let answer = assert(&one, &first).await;
    assert_eq!(said(&answer.text("access_token"))["client_id"], "signer");
    assert_eq!(assert(&two, &first).await.error(), (401, "invalid_client"));
    for _ in 0..10 {
        let both = signed();
        let answers = tokio::join!(assert(&one, &both), assert(&two, &both));
        let mut statuses = [answers.0.status, answers.1.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401], "nor at the same time");
    }
}

#[tokio::test]
async fn a_lease_minted_through_one_is_taken_back_through_the_other() {
    let Some((one, two)) = pair("replicas-lease").await else { return };
    let token = one.token().await;
    let id = one.exchange(&token, ROLE).await.text("lease_id");
    assert!(one.roles().await.contains(&one.role(&id)));
    let taken = two.operate(Method::DELETE, &format!("/v1/leases/{id}")).await;
    assert_eq!((taken.status, &taken.body["outcome"]), (200, &json!("revoked")));
    assert_eq!(one.ended(&id).await, "operator");
    let both = [one.exchange(&token, ROLE).await, two.exchange(&token, ROLE).await];
    let [first, second] = both.map(|answer| answer.text("lease_id"));
    let path = format!("/v1/leases/{first}");
    let (a, b) = tokio::join!(one.operate(Method::DELETE, &path), two.operate(Method::DELETE, &path));
    let outcomes = [a.text("outcome"), b.text("outcome")];
    // The other one comes while it ends, or when it has.
    let ended = outcomes.iter().filter(|outcome| *outcome == "revoked").count();
    assert_eq!(ended, 1, "only one of them ends it: {outcomes:?}");
    assert!(outcomes.iter().all(|outcome| ["ended", "pending", "revoked"].contains(&outcome.as_str())), "{outcomes:?}");
    assert_eq!(one.ended(&first).await, "operator");
    assert_eq!(one.lease(&second).await["state"], "live");
}

#[tokio::test]
async fn what_one_was_minting_when_it_was_killed_the_other_ends() {
    let Some((mut one, two)) = pair("replicas-orphan").await else { return };
    let token = one.token().await;
    let stalled = one.stall().await;
    let (http, url) = (one.desk.http.clone(), one.desk.broker.url.clone());
    let asked = tokio::spawn(async move { request(&http, &url, &token, ROLE).await });
    soon("there is no intent", async || !two.leases("state=open").await.is_empty()).await;
    let id = two.leases("state=open").await[0]["id"].as_str().unwrap().to_owned();
    let frozen = two.freeze().await;
    drop(stalled);
    soon("there is no role", async || two.roles().await.contains(&two.role(&id))).await;
    one.desk.broker.process.kill();
    drop(frozen);
    assert!(asked.await.unwrap().is_none(), "nobody was answered");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(two.lease(&id).await["state"], "open", "the other could still be at it");
    two.pass(60).await;
    assert_eq!(two.ended(&id).await, "orphaned");
}

#[tokio::test]
async fn both_write_one_record_without_gaps() {
    let Some((one, two)) = pair("replicas-order").await else { return };
    let token = one.token().await;
    let mint = async |at: &Roles| {
        let mut leases = Vec::new();
        for _ in 0..30 {
            leases.push(at.exchange(&token, TOKEN).await.text("lease_id"));
        }
        leases
    };
    let (first, second) = tokio::join!(mint(&one), mint(&two));
    let intents = one.desk.records("kind=intent&limit=1000").await;
    let told: Vec<_> = intents.iter().map(|record| record["credential"]["lease"].as_str().unwrap()).collect();
    for lease in first.iter().chain(&second) {
        assert_eq!(told.iter().filter(|one| *one == lease).count(), 1, "{lease}");
    }
    two.desk.records("").await;
    let query = sqlx::query_as("SELECT count(*), max(seq) FROM audit");
    let (rows, last): (i64, i64) = query.fetch_one(&mut one.desk.broker.database().await).await.unwrap();
    assert_eq!(rows, last);
}

#[tokio::test]
async fn the_chains_of_both_verify_together() {
    let Some((mut one, mut two)) = pair("replicas-chains").await else { return };
    let token = one.token().await;
    for _ in 0..10 {
        let [a, b, c, d] = [&one, &two, &two, &one].map(|roles| roles.exchange(&token, TOKEN));
        let (a, b, c, d) = tokio::join!(a, b, c, d);
        assert_eq!([a, b, c, d].map(|answer| answer.status), [200; 4]);
    }
    one.desk.broker.process.stop();
    let verdict = verify(&two.desk, &[]);
    assert_eq!(verdict.clean().said["chains"].as_array().unwrap().len(), 2);
    two.desk.broker.process.stop();
    assert_eq!(verify(&two.desk, &[]).clean().unsigned(), 0);
    let mut database = two.desk.broker.database().await;
    // Of one writer's records the last one, which is not the last of all.
    let last = "DELETE FROM audit WHERE seq = (SELECT MIN(last) FROM (SELECT MAX(seq) AS last FROM audit GROUP BY chain) AS a)";
    sqlx::Executor::execute(&mut database, last).await.unwrap();
    verify(&two.desk, &[]).wanting();
}

#[tokio::test]
async fn both_write_in_one_order_whatever_the_database_isolates() {
    let Some((mut one, mut two)) = pair("replicas-isolation").await else { return };
    let mut store = one.desk.broker.database().await;
    let strict = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = %L', \
                  current_database(), 'serializable'); END $$";
    sqlx::Executor::execute(&mut store, strict).await.unwrap();
    one.desk.broker.crash().await;
    two.desk.broker.crash().await;
    let token = one.token().await;
    for _ in 0..10 {
        let [a, b, c, d] = [&one, &two, &one, &two].map(|roles| roles.exchange(&token, TOKEN));
        let (a, b, c, d) = tokio::join!(a, b, c, d);
        assert_eq!([a, b, c, d].map(|answer| answer.status), [200; 4]);
    }
}

#[tokio::test]
async fn one_that_stands_still_within_a_transaction_does_not_stop_the_other_for_long() {
    let Some((mut one, mut two)) = pair("replicas-still").await else { return };
    let token = one.token().await;
    let mut store = one.desk.broker.database().await;
    sqlx::Executor::execute(&mut store, "BEGIN; LOCK TABLE audit IN EXCLUSIVE MODE").await.unwrap();
    let (http, url, asked) = (one.desk.http.clone(), one.desk.broker.url.clone(), token.clone());
    let asked = tokio::spawn(async move { request(&http, &url, &asked, TOKEN).await });
    let waits = "SELECT COUNT(*) FROM pg_locks WHERE relation = 'audit'::regclass AND NOT granted";
    let mut waiting = async || sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut store).await.unwrap() == 1;
    soon("it does not write", async || waiting().await).await;
    let pid = Pid::from_raw(i32::try_from(one.desk.broker.process.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    sqlx::Executor::execute(&mut store, "ROLLBACK").await.unwrap();
    assert_eq!(two.exchange(&token, TOKEN).await.status, 503, "it has the lock");
    soon("it still has the lock", async || two.exchange(&token, TOKEN).await.status == 200).await;
    kill_process(pid, Signal::CONT).unwrap();
    assert!(asked.await.unwrap().is_none_or(|answer| answer.status != 200), "its record is not on the disk");
    soon("it does not go on", async || one.exchange(&token, TOKEN).await.status == 200).await;
    one.desk.broker.process.stop();
    two.desk.broker.process.stop();
    verify(&two.desk, &[]).clean();
}
