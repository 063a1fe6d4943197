//! Two brokers on one PostgreSQL that export to one collector.

use std::fs;

use harness::stack::broker::Broker;
use harness::stack::fresh;
use serde_json::{Value, json};

use super::audit_otlp::{Collector, batch, desk, fine, socket};
use super::audit_query::keep;
use super::support::Desk;

#[tokio::test]
async fn of_two_brokers_one_exports() {
    let (listener, port) = socket().await;
    let collector = Collector::new(|_, _| fine());
    let _task = collector.listen(listener).await;
    let mut one = desk("pair", port, 3).await;
    let dir = fresh("broker-postgres-otlp-pair-two");
    for name in ["broker.yaml", "policy.yaml", "secret", "headers", "store.url", "master.key"] {
        fs::copy(one.broker.dir().join(name), dir.join(name)).unwrap();
    }
    let (socket, free) = socket().await;
    drop(socket);
    let mut config: Value = serde_json::from_slice(&fs::read(dir.join("broker.yaml")).unwrap()).unwrap();
    config["listen"] = json!(format!("127.0.0.1:{free}"));
    fs::write(dir.join("broker.yaml"), config.to_string()).unwrap();
    let url = format!("http://127.0.0.1:{free}");
    let two = Broker::start(&dir, &url).await.unwrap_or_else(|failure| panic!("{failure}"));
    let two = Desk { broker: two, http: one.http.clone() };
    let mut expected = Vec::new();
    for round in 0..6 {
        let (records, ids) = batch(&format!("r{round}-"), 20);
        keep(if round % 2 == 0 { &one } else { &two }, &records).await;
        expected.extend(ids);
    }
    assert_eq!(collector.wait(|taken| taken.len() >= 120).await, expected, "each of them once");
    one.broker.process.kill();
    let (records, ids) = batch("later", 5);
    keep(&two, &records).await;
    expected.extend(ids);
    let taken = collector.wait(|taken| taken.iter().any(|id| id == "later4")).await;
    assert!(expected.iter().all(|id| taken.contains(id)), "the other one goes on");
}
