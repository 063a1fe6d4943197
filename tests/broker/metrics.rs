//! `/metrics`: what is counted adds up, in a form scrapers read, and nobody is named.

use serde_json::json;

use super::roles::soon;
use super::support::{Answer, Desk};
use harness::stack::broker::SECRET;

#[tokio::test]
async fn what_the_broker_does_is_counted_once() {
    let desk = Desk::open("metrics").await;
    let before = desk.metric("accredit_audit_records_total").await;
    let token = desk.token("crm:read").await;
    assert_eq!(desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await.status, 200);
    assert_eq!(desk.exchange(&token, "crm_update", "crm:read", |_| ()).await.status, 403);
    assert_eq!(desk.ask("agent-7", &[("grant_type", "client_credentials"), ("scope", "x")]).await.status, 400);
    let record = json!({ "id": "a", "time": "2026-11-25T00:00:00.000Z", "kind": "outcome" });
    for _ in 0..2 {
        let request = desk.http.post(desk.url("/v1/audit/events")).basic_auth("gateway", Some(SECRET));
        let request = request.json(&json!({ "records": [record] }));
        assert_eq!(Answer::of(request.send().await.unwrap()).await.status, 204);
    }
    for (series, value) in [
        ("accredit_mints_total{kind=\"jwt\",outcome=\"granted\"}", 1),
        ("accredit_mints_total{kind=\"jwt\",outcome=\"access_denied\"}", 1),
        ("accredit_tokens_total{grant=\"client_credentials\",outcome=\"granted\"}", 1),
        ("accredit_tokens_total{grant=\"client_credentials\",outcome=\"invalid_scope\"}", 1),
        ("accredit_audit_duplicates_total", 1),
        ("accredit_store_refused_total", 0),
        ("accredit_store_up", 1),
        ("accredit_revocations", 0),
        ("accredit_build_info{version=\"0.1.0\"}", 1),
    ] {
        assert_eq!(desk.metric(series).await, value, "{series}");
    }
    let live = async || desk.metric("accredit_leases{state=\"live\"}").await;
    soon("it is not counted", async || live().await == 1).await;
    let ended = sqlx::query("UPDATE leases SET state = 'ended'");
    ended.execute(&mut desk.broker.database().await).await.unwrap();
    assert_eq!(live().await, 1, "who asks again and again has the database count once a second");
    soon("it is still counted", async || live().await == 0).await;
    // Two tokens asked for, an intent, a mint, a denial, and one that was delivered.
    assert_eq!(desk.metric("accredit_audit_records_total").await - before, 6);
    let answer = desk.http.get(desk.url("/metrics")).send().await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = answer.text().await.unwrap();
    assert!(text.ends_with("# EOF\n") && text.contains("accredit_audit_commit_seconds_bucket"));
    for name in ["agent-7", "gateway", "crm_lookup", "crm-api", SECRET, &token] {
        assert!(!text.contains(name), "`{name}` is named");
    }
}
