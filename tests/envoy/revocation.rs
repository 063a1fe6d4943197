//! Tokens their issuer has taken back.

use std::time::Duration;

use harness::site::Site;
use harness::{Alg, Token};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::scene::{Scene, Setup, denial, publish};

const LIST: &str = "/lists/1";

/// A token at `index` of the list, signed anew so that it was never seen.
fn listed(scene: &Scene, site: &Site, index: u64) -> Token {
    scene.token().listed(&site.url(LIST), index)
}

#[tokio::test]
async fn a_token_taken_back_is_refused_within_the_time_the_policy_gives() {
    let site = Site::new();
    publish(&site, &[Alg::Es256]);
    site.open().await;
    let status: Value = json!({ "cluster": "idp", "max_age": "2s" });
    let setup = Setup::new("revocation").fetched(&site).issuer("status", status);
    let Some(scene) = setup.open().await else { return };
    let tell = |bytes: &[u8]| site.publish(LIST, &scene.issuer.statuses(&site.url(LIST), bytes).sign());
    let kept = listed(&scene, &site, 0).sign();
    let taken = listed(&scene, &site, 1).sign();
    assert_eq!(denial(&scene.call(&kept, "crm_lookup").await), (503, "revocation_stale".into()));
    tell(&[0, 0]);
    sleep(Duration::from_secs(2)).await;
    for token in [&kept, &taken] {
        assert_eq!(scene.call(token, "crm_lookup").await.status, 200);
    }
    tell(&[0, 1]);
    sleep(Duration::from_secs(2)).await;
    for _ in 0..4 {
        assert_eq!(denial(&scene.call(&taken, "crm_lookup").await), (401, "revoked".into()));
    }
    assert_eq!(scene.call(&kept, "crm_lookup").await.status, 200);
    site.withdraw(LIST);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(denial(&scene.call(&kept, "crm_lookup").await), (503, "revocation_stale".into()));
    assert_eq!(scene.ran().len(), 3);
}
