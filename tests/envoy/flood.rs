//! The broker away while calls go on: called, recorded and refused add up, to the last one.
//!
//! `scripts/soak` runs the same for a minute and at a higher rate: `ACCREDIT_SOAK=SECONDS,RATE`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::wire::One;
use serde_json::{Value, json};
use tokio::time::{Instant, interval, sleep};

use super::scene::{Scene, Setup, call};

/// How many connections call at the same time.
const CONNECTIONS: u32 = 16;

/// How long the broker is away, and how many calls come in a second.
fn dose() -> (Duration, u32) {
    let text = std::env::var("ACCREDIT_SOAK").unwrap_or_else(|_| "4,400".into());
    let (seconds, rate) = text.split_once(',').expect("`ACCREDIT_SOAK` is `SECONDS,RATE`");
    let number = |text: &str| text.parse::<u32>().expect("a number");
    (Duration::from_secs(number(seconds).into()), number(rate))
}

/// A gateway before an upstream that costs nothing, whose records wait so.
async fn gateway(name: &str, audit: Value) -> Option<Scene> {
    let setup = Setup::new(name).top("audit", audit);
    let setup = setup.server("tools", json!({ "crm_lookup": { "scopes": ["crm:read"] } }));
    let answer = json!({ "jsonrpc": "2.0", "id": "c-1", "result": { "content": [] } }).to_string();
    let setup = setup.envoy(move |config| {
        let hosts = harness::stack::envoy::manager(config)
            .pointer_mut("/route_config/virtual_hosts/0/routes/0")
            .expect("there is one route");
        hosts.as_object_mut().expect("an object").remove("route");
        hosts["direct_response"] = json!({ "status": 200, "body": { "inline_string": answer } });
        hosts["response_headers_to_add"] =
            json!([{ "header": { "key": "content-type", "value": "application/json" } }]);
    });
    setup.open().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_while_the_broker_was_away_is_denied_and_recorded_where_calls_may_not_queue() {
    let Some(scene) = gateway("flood-deny", json!({ "when_unreachable": "deny", "queue": "64MiB" })).await else {
        return;
    };
    let Told { answers, made, lost, .. } = outage(scene).await;
    assert!(answers[&503] > answers[&200] / 4, "hardly any call was denied: {answers:?}");
    assert_eq!((made, lost), (answers.values().sum(), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_while_they_may_queue_and_what_did_not_fit_is_owned_up_to() {
    let (away, rate) = dose();
    // A record is some 700 bytes: room for a third of them, in all workers.
    let room = (u64::from(rate) * away.as_secs() * 700 / 3 / 2).max(65_536);
    let audit = json!({ "when_unreachable": "queue", "queue": format!("{room}B") });
    let Some(scene) = gateway("flood-queue", audit).await else { return };
    let Told { answers, lost, .. } = outage(scene).await;
    assert!(answers[&200] > answers[&503] / 4, "hardly any call went on: {answers:?}");
    assert!(lost > 0, "the queue was never full");
}

/// What came of an outage.
struct Told {
    /// How many calls were answered how.
    answers: BTreeMap<u16, u64>,
    made: u64,
    lost: u64,
}

/// Calls at a steady rate; kills the broker meanwhile, and starts it again.
async fn outage(scene: Scene) -> Told {
    let (away, rate) = dose();
    let stop = Arc::new(AtomicBool::new(false));
    let loads: Vec<_> = (0..CONNECTIONS)
        .map(|_| tokio::spawn(load(request(&scene), scene.address(), Arc::clone(&stop), rate)))
        .collect();
    let mut scene = scene;
    sleep(away / 4).await;
    scene.stack.broker.kill();
    sleep(away).await;
    scene.stack.start_broker().await.unwrap();
    sleep(away / 4).await;
    stop.store(true, Ordering::SeqCst);
    let mut answers = BTreeMap::<u16, u64>::new();
    for load in loads {
        load.await.unwrap().into_iter().for_each(|(status, count)| *answers.entry(status).or_default() += count);
    }
    // A gap is told with the next record: each worker gets some, once none of them waits for the broker any more.
    sleep(Duration::from_secs(12)).await;
    for _ in 0..40 {
        let last = load(request(&scene), scene.address(), Arc::new(AtomicBool::new(true)), rate).await;
        last.iter().for_each(|(status, count)| *answers.entry(*status).or_default() += count);
    }
    let begun = Instant::now();
    sleep(Duration::from_secs(2)).await;
    while stat(&scene, "queued").await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "records still wait");
        sleep(Duration::from_millis(100)).await;
    }
    add_up(&scene, answers).await
}

/// Holds what was answered against what was recorded and counted.
async fn add_up(scene: &Scene, answers: BTreeMap<u16, u64>) -> Told {
    let records = scene.audit("").await;
    let mut kinds = BTreeMap::<&str, u64>::new();
    records.iter().for_each(|record| *kinds.entry(record["kind"].as_str().unwrap()).or_default() += 1);
    let of = |kind: &str| kinds.get(kind).copied().unwrap_or_default();
    let gaps: u64 = records.iter().filter_map(|record| record["lost"].as_u64()).sum();
    let [made, sent, lost] = [stat(scene, "made").await, stat(scene, "sent").await, stat(scene, "lost").await];
    let called: u64 = answers.values().sum();
    println!("{called} called: {answers:?}; {kinds:?}, {gaps} in gaps; {made} made, {sent} sent, {lost} lost");
    assert_eq!(answers.keys().filter(|status| ![200, 503].contains(*status)).count(), 0, "{answers:?}");
    assert_eq!(of("outcome") + of("decision") + gaps, called, "called, recorded and lost");
    assert_eq!(of("outcome") + of("decision") + of("gap"), sent, "what the broker holds and what was sent");
    assert_eq!(made, sent + lost);
    assert_eq!(gaps, lost, "what was lost and what was owned up to");
    assert!(of("outcome") <= answers[&200] && of("outcome") + gaps >= answers[&200]);
    let ids: std::collections::BTreeSet<_> = records.iter().map(|record| record["id"].as_str()).collect();
    assert_eq!(ids.len(), records.len(), "a record was kept twice");
    Told { answers, made, lost }
}

fn request(scene: &Scene) -> Vec<u8> {
    scene.post(&scene.token().sign(), "crm_lookup").body(call("crm_lookup").as_bytes())
}

/// Calls over one connection until it is told to stop, once at least. Out: how many were answered how.
async fn load(request: Vec<u8>, address: String, stop: Arc<AtomicBool>, rate: u32) -> BTreeMap<u16, u64> {
    let mut answers = BTreeMap::new();
    let mut clock = interval(Duration::from_secs(1) * CONNECTIONS / rate);
    let mut connection = One::connect(&address).await.expect("Envoy listens");
    loop {
        clock.tick().await;
        let reply = connection.exchange(&[&request]).await.expect("Envoy answers");
        *answers.entry(reply.status).or_default() += 1;
        if reply.header("connection") == ["close"] {
            connection = One::connect(&address).await.expect("Envoy listens");
        }
        if stop.load(Ordering::SeqCst) {
            return answers;
        }
    }
}

/// A figure of the filter's.
async fn stat(scene: &Scene, name: &str) -> u64 {
    let url = format!("{}/stats?filter=accredit.audit.{name}", scene.stack.ports.envoy_admin());
    let http = reqwest::Client::builder().no_proxy().build().expect("a client builds");
    let text = http.get(url).send().await.expect("Envoy answers").text().await.expect("a text");
    text.trim().rsplit_once(": ").map_or(0, |(_, value)| value.parse().expect("a number"))
}
