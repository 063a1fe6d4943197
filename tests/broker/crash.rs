//! Crashes: whatever moment one comes at, nothing that was promised is lost, and nothing lives on that nobody was handed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use harness::parts::Postgres;
use harness::stack::broker::SECRET;
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection as _, Row as _};
use tokio::time::sleep;

use super::integrity::verify;
use super::roles::{ROLE, Roles, TOKEN, request, soon};
use super::support::POSTGRES;

/// How often the broker is killed.
const KILLS: u32 = 8;

/// How many clients ask at the same time.
const CLIENTS: u32 = 8;

/// The lock on all that has an order, in the store on PostgreSQL.
pub const ORDER: &str = "SELECT pg_advisory_lock(8317987319222330741)";

impl Roles {
    /// Keeps everybody from writing to the store until the result is closed.
    pub async fn freeze(&self) -> AnyConnection {
        let mut database = self.desk.broker.database().await;
        let lock = if POSTGRES { ORDER } else { "BEGIN IMMEDIATE" };
        sqlx::query(lock).execute(&mut database).await.expect("the database can be locked");
        database
    }
}

/// What clients were told before they lost the broker, or not.
#[derive(Default)]
struct Told {
    leases: BTreeSet<String>,
    records: Vec<String>,
    refused: Vec<String>,
}

/// Numbers that a seed gives: splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Mints and delivers until it is told to stop.
async fn load(client: u32, url: String, token: String, stop: Arc<AtomicBool>, told: Arc<Mutex<Told>>) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for number in 0_u32.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let call = if number % 2 == 0 { ROLE } else { TOKEN };
        match request(&http, &url, &token, call).await {
            Some(answer) if answer.status == 200 => {
                told.lock().unwrap().leases.insert(answer.text("lease_id"));
            }
            Some(answer) if answer.status >= 500 => (),
            Some(answer) => told.lock().unwrap().refused.push(format!("{answer:?}")),
            None => sleep(Duration::from_millis(10)).await,
        }
        let ids = [0, 1, 2].map(|record| format!("{client}-{number}-{record}"));
        let records = ids.clone().map(|id| json!({ "id": id, "time": "2026-11-23T00:00:00.000Z", "kind": "outcome" }));
        let sent = http.post(format!("{url}/v1/audit/events")).basic_auth("gateway", Some(SECRET));
        let sent = sent.json(&json!({ "records": records })).send().await;
        if sent.is_ok_and(|answer| answer.status() == 204) {
            told.lock().unwrap().records.extend(ids);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_at_any_moment_lose_nothing_and_leave_nothing() {
    let Some(postgres) = Postgres::shared().await else { return };
    let mut roles = Roles::open(postgres, "crash-anytime", |config| {
        config["credentials"][ROLE.2]["until"] = json!("expiry");
    })
    .await;
    let seed = std::env::var("ACCREDIT_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(UNIX_EPOCH.elapsed().unwrap().subsec_nanos()));
    println!("ACCREDIT_TEST_SEED={seed}");
    let (mut random, token) = (Random(seed), roles.token().await);
    let (stop, told) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Told::default())));
    let loads = (0..CLIENTS).map(|client| {
        tokio::spawn(load(client, roles.desk.broker.url.clone(), token.clone(), Arc::clone(&stop), Arc::clone(&told)))
    });
    let loads: Vec<_> = loads.collect();
    for kill in 1..=KILLS {
        sleep(Duration::from_millis(300 + random.below(700))).await;
        stop.store(kill == KILLS, Ordering::SeqCst);
        roles.desk.broker.crash().await;
    }
    for load in loads {
        load.await.unwrap();
    }
    if POSTGRES {
        // Another replica could still be at them.
        roles.pass(60).await;
    }
    soon("leases are still open", async || roles.leases("state=open").await.is_empty()).await;
    let told = std::mem::take(&mut *told.lock().unwrap());
    assert!(told.refused.is_empty(), "{:?}", told.refused);
    check(&roles, &told).await;
}

/// What the store and the target hold against what clients were told.
async fn check(roles: &Roles, told: &Told) {
    let mut database = roles.desk.broker.database().await;
    let rows = sqlx::query("SELECT id, kind, state FROM leases").fetch_all(&mut database).await.unwrap();
    let [mut leases, mut living, mut ended] = [const { BTreeSet::new() }; 3];
    for row in &rows {
        let [id, kind, state]: [String; 3] = ["id", "kind", "state"].map(|name| row.get(name));
        assert!(state == "live" || state == "ended", "{id} is {state}");
        match (kind.as_str(), state.as_str()) {
            ("postgres", "live") => drop(living.insert(id.clone())),
            ("postgres", _) => drop(ended.insert(id.clone())),
            _ => (),
        }
        leases.insert(id);
    }
    let made: BTreeSet<_> = living.iter().map(|id| roles.role(id)).collect();
    assert_eq!(roles.roles().await, made, "the roles there are, and those of live leases");

    let rows = sqlx::query("SELECT id, record FROM audit").fetch_all(&mut database).await.unwrap();
    let mut ids: BTreeMap<String, u32> = BTreeMap::new();
    let mut kinds: BTreeMap<(String, String), u32> = BTreeMap::new();
    for row in &rows {
        *ids.entry(row.get("id")).or_default() += 1;
        let record: Value = serde_json::from_str(row.get("record")).unwrap();
        if let Some(lease) = record["credential"]["lease"].as_str() {
            let kind = record["kind"].as_str().unwrap().to_owned();
            *kinds.entry((kind, lease.to_owned())).or_default() += 1;
        }
    }
    let count = |kind: &str, id: &String| kinds.get(&(kind.to_owned(), id.clone())).copied().unwrap_or_default();
    for id in &told.leases {
        assert!(leases.contains(id), "{id} was handed out and has no lease");
        assert!(!ended.contains(id), "{id} was handed out and ended as if it had not been");
    }
    for id in &leases {
        assert_eq!(count("intent", id), 1, "{id}");
    }
    for id in &living {
        assert_eq!((count("mint", id), count("end", id)), (1, 0), "{id}");
    }
    for id in &ended {
        assert_eq!(count("end", id), 1, "{id}");
    }
    for id in &told.records {
        assert_eq!(ids.get(id), Some(&1), "{id} was taken");
    }
    let verdict = verify(&roles.desk, &[]);
    assert!(verdict.clean().said["chains"].as_array().is_some_and(|chains| chains.len() > 1), "{}", verdict.said);
    println!("{} minted, {} orphaned, {} records taken", told.leases.len(), ended.len(), told.records.len());
    assert!(told.leases.len() > 20 && told.records.len() > 60, "there was hardly any load");
}

#[tokio::test]
async fn what_was_minted_and_not_handed_out_is_ended_after_a_crash() {
    let Some(postgres) = Postgres::shared().await else { return };
    let mut roles = Roles::open(postgres, "crash-between", |_| ()).await;
    let (token, http, url) = (roles.token().await, roles.desk.http.clone(), roles.desk.broker.url.clone());
    for made in [false, true] {
        let stalled = roles.stall().await;
        let (http, url, token) = (http.clone(), url.clone(), token.clone());
        let asked = tokio::spawn(async move { request(&http, &url, &token, ROLE).await });
        soon("there is no intent", async || !roles.leases("state=open").await.is_empty()).await;
        let id = roles.leases("state=open").await[0]["id"].as_str().unwrap().to_owned();
        let frozen = roles.freeze().await;
        if made {
            drop(stalled);
            soon("there is no role", async || roles.roles().await.contains(&roles.role(&id))).await;
            roles.desk.broker.process.kill();
        } else {
            roles.desk.broker.process.kill();
            drop(stalled);
        }
        frozen.close().await.unwrap();
        roles.desk.broker.crash().await;
        assert!(asked.await.unwrap().is_none(), "nobody was answered");
        if POSTGRES {
            assert_eq!(roles.lease(&id).await["state"], "open", "another replica could still be at it");
            roles.pass(60).await;
        }
        assert_eq!(roles.ended(&id).await, "orphaned");
        assert!(roles.roles().await.is_empty());
    }
    assert!(roles.desk.broker.process.log().contains("ending leases that were never handed out") || POSTGRES);
}
