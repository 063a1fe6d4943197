//! Leases: how they are found, and everything that ends one.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;
use std::time::Duration;

use harness::parts::{Fsync, Postgres};
use harness::stack::broker::{SECRET, accredit};
use harness::stack::fresh;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::roles::{ROLE, Roles, TOKEN, soon};
use super::support::POSTGRES;

/// How long it may take until a lease of something revoked has ended.
const BOUND: Duration = Duration::from_secs(3);

async fn roles(name: &str, change: impl FnOnce(&mut Value)) -> Option<Roles> {
    Some(Roles::open(Postgres::shared().await?, name, change).await)
}

fn cli(roles: &Roles, args: &[&str]) -> Output {
    let token = roles.desk.broker.dir().join("secret");
    let remote = ["--broker", &roles.desk.broker.url, "--token-file", token.to_str().unwrap()];
    accredit(&[&["leases"], args, &remote].concat(), b"")
}

/// What `accredit leases list` finds, by their credentials.
fn listed(roles: &Roles, args: &[&str]) -> Vec<String> {
    let output = cli(roles, &[&["list", "--output", "json"], args].concat());
    assert!(output.status.success(), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names = answer["leases"].as_array().unwrap().iter().map(|lease| &lease["credential"]);
    names.map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn leases_are_listed_and_taken_back_by_the_command_line() {
    let Some(roles) = roles("lease-cli", |_| ()).await else { return };
    let token = roles.token().await;
    let minted = [roles.exchange(&token, ROLE).await, roles.exchange(&token, TOKEN).await];
    let [role, signed] = minted.map(|answer| answer.text("lease_id"));
    let both = [ROLE.2, TOKEN.2];
    assert_eq!(listed(&roles, &[]), both);
    assert_eq!(listed(&roles, &["--agent", "agent-7", "--server", "crm", "--state", "live"]), both);
    assert_eq!(listed(&roles, &["--credential", TOKEN.2]), [TOKEN.2]);
    assert_eq!(listed(&roles, &["--subject", "agent-7", "--limit", "1"]), [ROLE.2]);
    assert_eq!(listed(&roles, &["--after", &role]), [TOKEN.2]);
    for none in [["--agent", "agent-8"], ["--subject", "alice"], ["--server", "x"], ["--state", "ended"]] {
        assert!(listed(&roles, &none).is_empty(), "{none:?}");
    }

    let output = cli(&roles, &["revoke", &role]);
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert_eq!((output.status.code(), said(&output)), (Some(0), format!("{role}: revoked")));
    assert_eq!(roles.ended(&role).await, "operator");
    let output = cli(&roles, &["revoke", &role]);
    assert_eq!((output.status.code(), said(&output)), (Some(0), format!("{role}: it has ended already")));
    let output = cli(&roles, &["revoke", &signed]);
    assert_eq!(output.status.code(), Some(1), "a token that was signed stays good");
    assert!(said(&output).contains("good until it expires"), "{output:?}");
    assert_eq!(cli(&roles, &["revoke", "nothing"]).status.code(), Some(1));
    assert_eq!(listed(&roles, &["--state", "ended"]), both);
    let acts = roles.desk.all_records("kind=admin").await;
    let acts: Vec<_> = acts.iter().filter(|act| act["admin"]["action"] == "lease.revoke").collect();
    assert_eq!(acts[0]["admin"]["target"], role.as_str());
}

#[tokio::test]
async fn only_operators_see_leases_and_take_them_back() {
    let Some(roles) = roles("lease-who", |_| ()).await else { return };
    let id = roles.mint().await.text("lease_id");
    for path in ["/v1/leases".to_owned(), format!("/v1/leases/{id}")] {
        let method = if path.ends_with("leases") { Method::GET } else { Method::DELETE };
        let request = || roles.desk.http.request(method.clone(), roles.desk.url(&path));
        for request in [request(), request().bearer_auth("x"), request().basic_auth("gateway", Some(SECRET))] {
            assert_eq!(request.send().await.unwrap().status(), 401, "{path}");
        }
    }
    let unknown = roles.operate(Method::GET, "/v1/leases?agnet=x").await;
    assert_eq!(unknown.error(), (400, "invalid_request"));
    assert_eq!(roles.lease(&id).await["state"], "live");
}

#[tokio::test]
async fn a_lease_ends_with_its_time() {
    let short = |config: &mut Value| {
        config["credentials"][ROLE.2]["ttl"] = json!("1s");
        config["credentials"][TOKEN.2]["ttl"] = json!("1s");
    };
    let Some(roles) = roles("lease-expiry", short).await else { return };
    let role = roles.mint().await.text("lease_id");
    let signed = roles.exchange(&roles.token().await, TOKEN).await.text("lease_id");
    assert_eq!(roles.ended(&role).await, "expired");
    soon("the token's lease has not ended", async || roles.lease(&signed).await["state"] == "ended").await;
    assert_eq!(roles.lease(&signed).await["reason"], "expired");
}

/// The outcome of the call of a lease, delivered by `proxy`.
async fn outcome(roles: &Roles, proxy: &str, lease: &str, number: u32) {
    let record = json!({
        "id": format!("outcome-{number}"), "time": "2026-11-23T00:00:00.000Z", "kind": "outcome", "server": "crm",
        "credential": { "name": ROLE.2, "kind": "postgres", "lease": lease },
    });
    let request = roles.desk.http.post(roles.desk.url("/v1/audit/events")).basic_auth(proxy, Some(SECRET));
    assert_eq!(request.json(&json!({ "records": [record] })).send().await.unwrap().status(), 204);
}

#[tokio::test]
async fn a_lease_ends_with_its_call_as_the_proxy_tells_that_asked_for_it() {
    let Some(roles) = roles("lease-call", |_| ()).await else { return };
    let [mine, other] = [roles.mint().await, roles.mint().await].map(|answer| answer.text("lease_id"));
    outcome(&roles, "edge", &mine, 1).await;
    outcome(&roles, "gateway", "nothing", 2).await;
    outcome(&roles, "gateway", &other, 3).await;
    assert_eq!(roles.ended(&other).await, "used");
    assert_eq!(roles.lease(&mine).await["state"], "live", "another proxy has no say");
    outcome(&roles, "gateway", &mine, 4).await;
    assert_eq!(roles.ended(&mine).await, "used");
}

#[tokio::test]
async fn a_lease_that_is_kept_until_it_expires_does_not_end_with_a_call() {
    for (name, key, value) in [("lease-until", "until", "expiry"), ("lease-reuse", "reuse", "30s")] {
        let keep = |config: &mut Value| config["credentials"][ROLE.2][key] = json!(value);
        let Some(roles) = roles(name, keep).await else { return };
        let minted = roles.mint().await;
        let reuse = if key == "reuse" { json!(30) } else { Value::Null };
        assert_eq!(minted.body.get("reuse").cloned().unwrap_or_default(), reuse, "{minted:?}");
        let id = minted.text("lease_id");
        outcome(&roles, "gateway", &id, 1).await;
        sleep(Duration::from_millis(500)).await;
        assert_eq!(roles.lease(&id).await["state"], "live");
    }
}

/// The agent revokes its own token.
async fn revoke(roles: &Roles, token: &str) {
    let request = roles.desk.http.post(roles.desk.url("/revoke")).basic_auth("agent-7", Some(SECRET));
    assert_eq!(request.form(&[("token", token)]).send().await.unwrap().status(), 200);
}

/// Waits until a lease has ended, no longer than `bound`.
async fn within(roles: &Roles, id: &str, bound: Duration) {
    let waited = soon("the lease has not ended", async || roles.lease(id).await["state"] == "ended").await;
    assert!(waited < bound, "{waited:?}");
}

#[tokio::test]
async fn what_revokes_an_agent_or_its_token_ends_its_leases() {
    let Some(roles) = roles("lease-revoked", |_| ()).await else { return };
    let token = roles.token().await;
    let first = roles.exchange(&token, ROLE).await.text("lease_id");
    let kept = roles.mint().await.text("lease_id");
    revoke(&roles, &token).await;
    within(&roles, &first, BOUND).await;
    assert_eq!(roles.ended(&first).await, "revoked");
    assert_eq!(roles.lease(&kept).await["state"], "live", "it is another token's");
    assert_eq!(roles.operate(Method::POST, "/v1/agents/agent-7/suspend").await.status, 200);
    within(&roles, &kept, BOUND).await;
    assert_eq!(roles.ended(&kept).await, "revoked");
}

#[tokio::test]
async fn what_a_revocation_ends_is_ended_although_a_crash_comes_between() {
    let Some(mut roles) = roles("lease-between", |_| ()).await else { return };
    for begun in [false, true] {
        let id = roles.mint().await.text("lease_id");
        let stalled = roles.stall().await;
        assert_eq!(roles.operate(Method::POST, "/v1/agents/agent-7/suspend").await.status, 200);
        if begun {
            soon("its end was not begun", async || roles.lease(&id).await["reason"] == "revoked").await;
        }
        roles.desk.broker.crash().await;
        drop(stalled);
        if POSTGRES {
            // Another replica could still be at it.
            roles.pass(60).await;
        }
        assert_eq!(roles.ended(&id).await, "revoked");
        assert_eq!(roles.operate(Method::POST, "/v1/agents/agent-7/resume").await.status, 200);
    }
}

#[tokio::test]
async fn a_target_that_is_down_keeps_no_other_lease_alive() {
    let Some(mut down) = Postgres::start(Fsync::Off).await else { return };
    let file = fresh(if POSTGRES { "lease-other-target-postgres" } else { "lease-other-target" }).join("url");
    std::fs::write(&file, down.superuser()).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let two = |config: &mut Value| {
        config["credentials"][TOKEN.2] = config["credentials"][ROLE.2].clone();
        config["credentials"][TOKEN.2]["url_file"] = json!(file);
    };
    let Some(roles) = roles("lease-other", two).await else { return };
    let [first, second] = [roles.token().await, roles.token().await];
    let held = roles.exchange(&first, TOKEN).await.text("lease_id");
    let free = roles.exchange(&second, ROLE).await.text("lease_id");
    down.stop();
    revoke(&roles, &first).await;
    soon("its end was not begun", async || roles.lease(&held).await["reason"] == "revoked").await;
    revoke(&roles, &second).await;
    within(&roles, &free, BOUND).await;
    assert_eq!(roles.lease(&held).await["state"], "live");
}

#[tokio::test]
async fn what_is_revoked_while_it_is_minted_is_handed_out_to_nobody() {
    let Some(roles) = roles("lease-minting", |_| ()).await else { return };
    let token = roles.token().await;
    let stalled = roles.stall().await;
    let act = async {
        soon("nothing is minted", async || !roles.leases("state=open").await.is_empty()).await;
        let id = roles.leases("state=open").await[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(roles.operate(Method::POST, "/v1/agents/agent-7/suspend").await.status, 200);
        soon("it was not noticed", async || roles.lease(&id).await["reason"] == "revoked").await;
        assert_eq!(roles.lease(&id).await["state"], "open", "whoever mints it ends it");
        drop(stalled);
        id
    };
    let (minted, id) = tokio::join!(roles.exchange(&token, ROLE), act);
    assert_eq!(minted.error(), (503, "temporarily_unavailable"), "{minted:?}");
    assert_eq!(roles.ended(&id).await, "revoked");
    assert!(roles.roles().await.is_empty());
}

#[tokio::test]
async fn what_could_not_be_ended_is_ended_when_its_target_is_back() {
    let Some(mut postgres) = Postgres::start(Fsync::Off).await else { return };
    let roles = Roles::open(&postgres, "lease-down", |_| ()).await;
    let [asked, hit] = [roles.mint().await, roles.mint().await].map(|answer| answer.text("lease_id"));
    postgres.stop();
    let refused = roles.operate(Method::DELETE, &format!("/v1/leases/{asked}")).await;
    assert_eq!(refused.error(), (503, "temporarily_unavailable"));
    assert_eq!(roles.operate(Method::POST, "/v1/agents/agent-7/suspend").await.status, 200);
    for id in [&asked, &hit] {
        soon("no failure is counted", async || roles.lease(id).await["failures"].as_i64() > Some(0)).await;
        assert_eq!(roles.lease(id).await["state"], "live");
    }
    postgres.restart().await;
    assert_eq!((roles.ended(&asked).await, roles.ended(&hit).await), ("operator".into(), "revoked".into()));
}

#[tokio::test]
async fn a_mint_is_finished_although_its_proxy_hangs_up() {
    let Some(roles) = roles("lease-hung-up", |_| ()).await else { return };
    let token = roles.token().await;
    let stalled = roles.stall().await;
    let waited = tokio::time::timeout(Duration::from_millis(500), roles.exchange(&token, ROLE)).await;
    assert!(waited.is_err(), "the target answers nobody");
    drop(stalled);
    let waited = soon("the lease stays open", async || roles.leases("state=open").await.is_empty()).await;
    assert!(waited < Duration::from_secs(10), "{waited:?}: somebody else had to look after it");
    let minted = roles.desk.records("kind=mint").await;
    assert_eq!(minted.len(), 1, "the intent has its end: {minted:?}");
}
