//! Continuous export to a collector: everything arrives, in order, whatever the collector does, and nobody waits for it.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use harness::Issuer;
use harness::stack::broker::{Broker, SECRET, accredit};
use harness::stack::fresh;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::audit_query::{keep, whole};
use super::roles::soon;
use super::support::{Answer, Desk, FOREIGN, config, policy};

/// How long anything may take: a claim that a crash has left is the longest.
const PATIENCE: Duration = Duration::from_secs(40);

const CANARY: &str = "a-token-of-the-collector";

/// How a collector answers, by the identifiers it is sent and how often it was asked before.
type Mood = Arc<dyn Fn(&[String], usize) -> Response + Send + Sync>;

/// A collector of OTLP/HTTP in JSON, which checks what it is sent.
#[derive(Clone)]
pub struct Collector {
    mood: Mood,
    asked: Arc<Mutex<Vec<Instant>>>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    /// One that answers so.
    pub fn new(mood: impl Fn(&[String], usize) -> Response + Send + Sync + 'static) -> Self {
        Self { mood: Arc::new(mood), asked: Arc::default(), taken: Arc::default() }
    }

    /// Serves there until the test ends.
    pub async fn listen(&self, listener: TcpListener) -> JoinHandle<()> {
        let router = Router::new().route("/v1/logs", post(take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() })
    }

    /// What was taken and is not of the broker's own making.
    fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().iter().filter(|id| id.len() < 36).cloned().collect()
    }

    /// Waits until what was taken is enough.
    pub async fn wait(&self, done: impl Fn(&[String]) -> bool) -> Vec<String> {
        let start = Instant::now();
        while !done(&self.taken()) {
            assert!(start.elapsed() < PATIENCE, "{:?}", self.taken());
            sleep(Duration::from_millis(50)).await;
        }
        self.taken()
    }
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> Response {
    assert!(headers["content-type"] == "application/json" && headers["x-token"] == CANARY);
    let body: Value = serde_json::from_slice(&body).unwrap();
    let logs = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap();
    let ids: Vec<String> = logs.iter().map(sound).collect();
    let before = {
        let mut asked = collector.asked.lock().unwrap();
        asked.push(Instant::now());
        asked.len() - 1
    };
    let answer = (collector.mood)(&ids, before);
    if answer.status().is_success() {
        collector.taken.lock().unwrap().extend(ids);
    }
    answer
}

/// The identifier of a log that is as the protocol wants it.
fn sound(log: &Value) -> String {
    let digits = |text: &Value, count| {
        text.as_str().is_some_and(|text| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    assert!(digits(&log["timeUnixNano"], 19), "{log}");
    assert!([9, 13, 17].contains(&log["severityNumber"].as_u64().unwrap()));
    let kinds = ["stringValue", "boolValue", "intValue", "arrayValue"];
    for attribute in log["attributes"].as_array().unwrap() {
        let value = attribute["value"].as_object().unwrap();
        assert!(attribute["key"].is_string() && value.len() == 1 && kinds.iter().any(|kind| value.contains_key(*kind)));
    }
    if let Some(trace) = log.get("traceId") {
        assert_eq!(trace, "0af7651916cd43dd8448eb211c80319c");
    }
    let record: Value = serde_json::from_str(log["body"]["stringValue"].as_str().unwrap()).unwrap();
    record["id"].as_str().unwrap().to_owned()
}

/// Takes everything.
pub fn fine() -> Response {
    axum::Json(json!({})).into_response()
}

/// A desk that exports to that port, and no more than `batch` records at once.
pub async fn desk(name: &str, port: u16, batch: u64) -> Desk {
    let mut config = config();
    config["audit"] = json!({ "otlp": {
        "url": format!("http://127.0.0.1:{port}/v1/logs"), "headers_file": "headers", "batch": batch,
    } });
    let headers = format!("X-Token: {CANARY}\n");
    let desk =
        Desk::placed(&format!("otlp-{name}"), &policy(&Issuer::new(FOREIGN)), config, &[("headers", &headers)]).await;
    assert!(!desk.broker.process.log().contains(CANARY));
    desk
}

async fn status(desk: &Desk) -> Value {
    let request = desk.http.get(desk.url("/v1/audit/exporter")).bearer_auth(SECRET);
    Answer::of(request.send().await.unwrap()).await.body
}

/// A socket, and its port.
pub async fn socket() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// So many records and their identifiers.
pub fn batch(name: &str, count: usize) -> (Vec<Value>, Vec<String>) {
    let ids: Vec<_> = (0..count).map(|number| format!("{name}{number}")).collect();
    (ids.iter().map(|id| whole(id)).collect(), ids)
}

#[tokio::test]
async fn every_record_arrives_in_order_and_goes_on_after_a_crash() {
    let (listener, port) = socket().await;
    let collector = Collector::new(|_, _| fine());
    let _task = collector.listen(listener).await;
    let mut desk = desk("order", port, 7).await;
    let (records, mut expected) = batch("a", 40);
    keep(&desk, &records).await;
    assert_eq!(collector.wait(|taken| taken.len() >= 40).await, expected);
    while status(&desk).await["lag"] != 0 {
        sleep(Duration::from_millis(50)).await;
    }
    desk.broker.crash().await;
    let (records, more) = batch("b", 20);
    keep(&desk, &records).await;
    expected.extend(more);
    assert_eq!(collector.wait(|taken| taken.len() >= 60).await, expected, "what was out stays out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_collector_that_is_away_or_slow_costs_nobody_anything() {
    let (listener, port) = socket().await;
    drop(listener);
    let desk = desk("away", port, 512).await;
    let token = desk.token("crm:read").await;
    let (records, expected) = batch("a", 100);
    keep(&desk, &records).await;
    let slow = Collector::new(|_, before| {
        if before == 0 {
            std::thread::sleep(Duration::from_secs(7));
        }
        fine()
    });
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let _task = slow.listen(listener).await;
    let start = Instant::now();
    while slow.asked.lock().unwrap().is_empty() {
        assert!(start.elapsed() < PATIENCE);
        sleep(Duration::from_millis(20)).await;
    }
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await.status, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    // What was given up on came after all, and comes again: at least once.
    slow.wait(|taken| expected.iter().all(|id| taken.contains(id))).await;
}

#[tokio::test]
async fn a_collector_that_is_busy_is_given_the_time_it_asks_for() {
    let (listener, port) = socket().await;
    let collector = Collector::new(|_, before| match before {
        0 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "2")]).into_response(),
        1 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => fine(),
    });
    let _task = collector.listen(listener).await;
    let desk = desk("busy", port, 512).await;
    let (records, expected) = batch("a", 5);
    keep(&desk, &records).await;
    assert_eq!(collector.wait(|taken| taken.len() >= 5).await, expected);
    let asked = collector.asked.lock().unwrap().clone();
    assert!(asked[1].duration_since(asked[0]) >= Duration::from_millis(1900), "{asked:?}");
    assert!(asked[2].duration_since(asked[1]) >= Duration::from_millis(400), "{asked:?}");
}

#[tokio::test]
async fn one_record_that_is_refused_for_good_costs_no_other() {
    let (listener, port) = socket().await;
    let collector = Collector::new(|ids, _| match ids.iter().any(|id| id == "a13") {
        true => StatusCode::BAD_REQUEST.into_response(),
        false => fine(),
    });
    let _task = collector.listen(listener).await;
    let desk = desk("refused", port, 512).await;
    let (records, mut expected) = batch("a", 40);
    keep(&desk, &records).await;
    expected.retain(|id| id != "a13");
    assert_eq!(collector.wait(|taken| taken.len() >= 39).await, expected);
    let start = Instant::now();
    while status(&desk).await["lag"] != 0 {
        assert!(start.elapsed() < PATIENCE);
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(status(&desk).await["refused"], 1);
    let log = desk.broker.process.log();
    assert!(log.contains("a record was refused for good") && log.contains("a13"), "{log}");
}

#[tokio::test]
async fn one_record_that_cannot_be_read_costs_no_other_and_is_told() {
    let (listener, port) = socket().await;
    drop(listener);
    let desk = desk("unreadable", port, 512).await;
    let (records, mut expected) = batch("a", 5);
    keep(&desk, &records).await;
    let spoil = sqlx::query("UPDATE audit SET record = '{' WHERE id = 'a2'");
    spoil.execute(&mut desk.broker.database().await).await.unwrap();
    let collector = Collector::new(|_, _| fine());
    let _task = collector.listen(TcpListener::bind(("127.0.0.1", port)).await.unwrap()).await;
    expected.retain(|id| id != "a2");
    assert_eq!(collector.wait(|taken| taken.len() >= 4).await, expected);
    soon("it is not counted", async || status(&desk).await["refused"] == 1).await;
    let records = desk.all_records("").await;
    let told: Vec<_> = records.iter().filter(|record| record["unreadable"] == true).collect();
    assert!(told.len() == 1 && told[0]["seq"].is_u64(), "{records:?}");
    let export = |format| {
        let token = desk.broker.dir().join("secret");
        let args = ["--broker", &desk.broker.url, "--token-file", token.to_str().unwrap()];
        accredit(&[&["audit", "export", "--format", format], &args[..]].concat(), b"")
    };
    for format in ["ndjson", "ocsf", "otlp"] {
        let output = export(format);
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("a4"), "{format}");
    }
}

#[tokio::test]
async fn a_partial_success_is_not_sent_again() {
    let (listener, port) = socket().await;
    let collector = Collector::new(|ids, _| {
        let rejected = if ids.iter().any(|id| id == "a0") { "2" } else { "0" };
        axum::Json(json!({ "partialSuccess": { "rejectedLogRecords": rejected } })).into_response()
    });
    let _task = collector.listen(listener).await;
    let desk = desk("partial", port, 512).await;
    let (records, expected) = batch("a", 5);
    keep(&desk, &records).await;
    collector.wait(|taken| taken.len() >= 5).await;
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(collector.taken(), expected);
    assert_eq!(status(&desk).await["refused"], 2);
}

#[tokio::test]
async fn mistakes_in_the_configuration_are_named_without_what_is_secret() {
    let dir = fresh("broker-otlp-wrong");
    let mut config = config();
    config["audit"] = json!({ "otlp": {
        "url": "http://collector.example.test", "headers_file": "headers", "batch": 0, "gzip": true,
    } });
    fs::write(dir.join("headers"), format!("{CANARY}\n")).unwrap();
    let url = Broker::files(&dir, &policy(&Issuer::new(FOREIGN)), &config);
    let log = Broker::start(&dir, &url).await.err().unwrap().log;
    for said in [
        "`audit.otlp.url`: found `http://collector.example.test`, accepted is an `https://` URL",
        "`audit.otlp.headers_file`: found a line that is no header",
        "`audit.otlp.batch`: found `0`, accepted is `1` to `512`",
        "`audit.otlp.gzip`: found unknown key `gzip`",
    ] {
        assert!(log.contains(said), "{said}\n{log}");
    }
    assert!(!log.contains(CANARY));
}
