//! The audit on PostgreSQL in partitions: nothing of it is seen from outside.

use harness::stack::broker::SECRET;
use serde_json::json;
use sqlx::{Executor as _, Row as _};

use super::audit_otlp::batch;
use super::audit_query::keep;
use super::integrity::verify;
use super::support::{Answer, Desk, FOREIGN, config, policy};

const PARTITIONS: &str = "SELECT COUNT(*) FROM pg_inherits WHERE inhparent = 'audit'::regclass";

#[tokio::test]
async fn records_of_several_partitions_are_found_verified_and_kept_once() {
    let mut config = config();
    config["store"]["postgres"]["partition"] = json!(65536);
    let mut desk = Desk::configured("partitions", &policy(&harness::Issuer::new(FOREIGN)), config).await;
    desk.broker.process.stop();
    let mut database = desk.broker.database().await;
    // The first one is smaller than a configuration can ask for.
    for table in ["audit", "audit_actors"] {
        let shorter = format!(
            "ALTER TABLE {table} DETACH PARTITION {table}_1; \
             ALTER TABLE {table} ATTACH PARTITION {table}_1 FOR VALUES FROM (1) TO (5000)"
        );
        database.execute(sqlx::AssertSqlSafe(shorter)).await.unwrap();
    }
    desk.broker.crash().await;
    let (records, ids) = batch("p", 9000);
    for records in records.chunks(500) {
        keep(&desk, records).await;
    }
    desk.broker.crash().await;
    // Sent again, as by a proxy that has heard of no end.
    for records in records.chunks(500).step_by(5) {
        keep(&desk, records).await;
    }
    let mut found = Vec::new();
    let mut after = json!(0);
    loop {
        let url = desk.url(&format!("/v1/audit/events?agent=scout&limit=1000&after={after}"));
        let page = Answer::of(desk.http.get(url).bearer_auth(SECRET).send().await.unwrap()).await.body;
        let records = page["records"].as_array().unwrap();
        if records.is_empty() {
            break;
        }
        found.extend(records.iter().map(|record| record["id"].as_str().unwrap().to_owned()));
        after = page["after"].clone();
    }
    assert_eq!(found, ids);
    let count: i64 = sqlx::query(PARTITIONS).fetch_one(&mut database).await.unwrap().get(0);
    assert_eq!(count, 3, "one for nothing, two for the records");
    assert_eq!(verify(&desk, &[]).clean().said["chains"].as_array().unwrap().len(), 3);
}
