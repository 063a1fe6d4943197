//! Signing keys: published before they sign, kept until their last token is dead, and dropped at once in an emergency.

mod shared;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use harness::Issuer;
use harness::stack::broker::{Broker, SECRET, accredit};
use harness::stack::fresh;
use jsonwebtoken::decode_header;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::support::{Answer, Desk, FOREIGN, config, policy};

/// How long a broker may take to see what others wrote.
const NOTICE: Duration = Duration::from_secs(15);

/// How long a key is published before it signs, in seconds.
const LEAD: i64 = 600;

/// How long its last token lives, with a minute for clocks.
const LAST: i64 = 3660;

/// A desk whose agent gets tokens that outlive the test.
async fn desk(name: &str) -> Desk {
    Desk::configured(&format!("keys-{name}"), &policy(&Issuer::new(FOREIGN)), lasting()).await
}

fn lasting() -> Value {
    let mut config = config();
    config["agents"][0]["token_lifetime"] = json!("10m");
    config
}

fn kid(token: &str) -> String {
    decode_header(token).unwrap().kid.unwrap()
}

async fn published(desk: &Desk) -> Vec<String> {
    let answer = Answer::of(desk.http.get(desk.url("/jwks.json")).send().await.unwrap()).await;
    let keys = answer.body["keys"].as_array().unwrap();
    assert!(keys.iter().all(|key| key.get("d").is_none()), "{keys:?}");
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// What each key does, as operators see it.
async fn states(desk: &Desk) -> Vec<(String, String)> {
    let answer = Answer::of(desk.http.get(desk.url("/v1/keys")).bearer_auth(SECRET).send().await.unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
    answer.body["keys"].as_array().unwrap().iter().map(|key| (text(key, "kid"), text(key, "state"))).collect()
}

async fn rotate(desk: &Desk, wish: &Value) -> Answer {
    let request = desk.http.post(desk.url("/v1/keys/rotate")).bearer_auth(SECRET).body(wish.to_string());
    Answer::of(request.send().await.unwrap()).await
}

/// Whether introspection finds the token good.
async fn good(desk: &Desk, token: &str) -> bool {
    let answer = desk.post_as("gateway", "/introspect", &[("token", token)]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["active"] == true
}

/// Waits until the key `id` signs.
async fn signs(desk: &Desk, id: &str) {
    let start = Instant::now();
    while kid(&desk.token("crm:read").await) != id {
        assert!(start.elapsed() < NOTICE, "the key does not sign");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_key_is_known_before_it_signs_and_for_as_long_as_its_tokens_live() {
    let desk = desk("turn").await;
    let old = desk.token("crm:read").await;
    let first = kid(&old);
    let second = rotate(&desk, &json!({})).await.text("kid");
    assert_eq!(published(&desk).await, [first.clone(), second.clone()]);
    assert_eq!(kid(&desk.token("crm:read").await), first, "nobody has to know the new one yet");
    let both = |a: &str, b: &str| vec![(first.clone(), a.to_owned()), (second.clone(), b.to_owned())];
    assert_eq!(states(&desk).await, both("signs", "published"));

    desk.broker.age_signing_keys(LEAD).await;
    signs(&desk, &second).await;
    assert_eq!(states(&desk).await, both("verifies", "signs"));
    let new = desk.token("crm:read").await;
    for token in [&old, &new] {
        let answer = desk.exchange(token, "crm_lookup", "crm:read", |_| ()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(kid(&answer.text("access_token")), second);
        assert!(good(&desk, token).await);
    }

    desk.broker.age_signing_keys(LAST - 60).await;
    assert_eq!(states(&desk).await.len(), 2);
    desk.broker.age_signing_keys(60).await;
    let start = Instant::now();
    while published(&desk).await.len() > 1 {
        assert!(start.elapsed() < NOTICE, "the key is still published");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(states(&desk).await, [(second, "signs".to_owned())]);
    let answer = desk.exchange(&old, "crm_lookup", "crm:read", |_| ()).await;
    assert_eq!(answer.error(), (400, "invalid_request"));
    assert!(!good(&desk, &old).await && good(&desk, &new).await);
    assert_eq!(desk.exchange(&new, "crm_lookup", "crm:read", |_| ()).await.status, 200);
}

#[tokio::test]
async fn keys_take_turns_by_themselves_and_outlive_a_crash() {
    let mut desk = desk("schedule").await;
    let first = published(&desk).await;
    desk.broker.crash().await;
    assert_eq!(published(&desk).await, first);
    desk.broker.age_signing_keys(720 * 3600 - LEAD).await;
    desk.broker.crash().await;
    let both = published(&desk).await;
    assert_eq!((both.len(), &both[0]), (2, &first[0]));
    assert_eq!(kid(&desk.token("crm:read").await), first[0]);
    desk.broker.age_signing_keys(LEAD).await;
    desk.broker.crash().await;
    assert_eq!(kid(&desk.token("crm:read").await), both[1]);
    assert_eq!(published(&desk).await, both);
    let records = desk.all_records("kind=admin").await;
    let made: Vec<_> = records.iter().filter(|record| record["admin"]["action"] == "key.rotate").collect();
    assert_eq!(made.len(), 2);
    assert_eq!((&made[1]["admin"]["by"], &made[1]["admin"]["target"]), (&json!("the schedule"), &json!(both[1])));
}

#[tokio::test]
async fn what_a_key_in_the_wrong_hands_has_signed_is_refused_at_once() {
    let desk = desk("emergency").await;
    let old = desk.token("crm:read").await;
    let pending = rotate(&desk, &json!({})).await.text("kid");
    assert_eq!(desk.exchange(&old, "crm_lookup", "crm:read", |_| ()).await.status, 200);
    desk.broker.copy_signing_keys().await;

    let answer = rotate(&desk, &json!({ "now": true, "why": "it was in a backup" })).await;
    let new = answer.text("kid");
    assert_eq!(published(&desk).await, std::slice::from_ref(&new), "nobody else shall trust the old ones either");
    let answer = desk.exchange(&old, "crm_lookup", "crm:read", |_| ()).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(!good(&desk, &old).await);
    let token = desk.token("crm:read").await;
    assert_eq!(kid(&token), new);
    assert_eq!(desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await.status, 200);
    let records = desk.all_records("kind=admin").await;
    let acts = |action: &str| {
        let these = records.iter().map(|record| &record["admin"]).filter(|admin| admin["action"] == action);
        these
            .filter(|admin| admin["why"] == "it was in a backup")
            .map(|admin| admin["target"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(acts("key.revoke"), [json!(kid(&old)), json!(pending)]);
    assert_eq!(acts("key.rotate"), [json!(new)]);

    // However the key comes back, its tokens do not.
    desk.broker.bring_signing_keys_back().await;
    let start = Instant::now();
    while published(&desk).await.len() < 3 {
        assert!(start.elapsed() < NOTICE, "the keys are not published");
        sleep(Duration::from_millis(100)).await;
    }
    let answer = desk.exchange(&old, "crm_lookup", "crm:read", |_| ()).await;
    assert_eq!(answer.error(), (403, "access_denied"));
    assert_eq!(desk.records("reason=revoked").await.len(), 1);
}

#[tokio::test]
async fn a_key_that_others_have_just_made_is_looked_for() {
    let desk = desk("others").await;
    let token = desk.token("crm:read").await;
    desk.broker.copy_signing_keys().await;
    desk.broker.forget_signing_keys().await;
    let start = Instant::now();
    while published(&desk).await.contains(&kid(&token)) {
        assert!(start.elapsed() < NOTICE, "the key is still published");
        sleep(Duration::from_millis(100)).await;
    }
    desk.broker.bring_signing_keys_back().await;
    assert!(good(&desk, &token).await);
    assert_eq!(desk.exchange(&token, "crm_lookup", "crm:read", |_| ()).await.status, 200);
}

#[tokio::test]
async fn only_operators_see_and_change_keys_and_one_change_is_enough() {
    let desk = desk("who").await;
    for request in [desk.http.get(desk.url("/v1/keys")), desk.http.post(desk.url("/v1/keys/rotate"))] {
        let again = request.try_clone().unwrap();
        for request in [request, again.basic_auth("gateway", Some(SECRET))] {
            let answer = Answer::of(request.send().await.unwrap()).await;
            assert_eq!(answer.error(), (401, "invalid_token"));
        }
    }
    assert_eq!(rotate(&desk, &json!({ "nwo": true })).await.error(), (400, "invalid_request"));
    assert_eq!(published(&desk).await.len(), 1);
    assert_eq!(rotate(&desk, &json!({})).await.status, 200);
    assert_eq!(rotate(&desk, &json!({})).await.error(), (409, "conflict"));
    assert_eq!(published(&desk).await.len(), 2);
}

/// A P-256 key as earlier versions have kept theirs.
const EARLIER: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWlLp9SQ83fETP2GA
yjAfUS1j2N6txMa5Ay4ON8QzNmOhRANCAAQLl9JdBx3T31YEi4PozGNcuSw6YOdF
2dQkNuv4rVdHsBGZHDvakTwAu/SA7IDXYF89n9T+/Nb/nlTTUEIOvvRr
-----END PRIVATE KEY-----
";

const EARLIER_ID: &str = "pZQGDTlrfjOqHlVFUbzXKXRxphQy-4qcC9PLjeqpsRs";

/// Leaves it where an earlier version has made it, and starts the broker again.
async fn upgrade(desk: &mut Desk) {
    let file = desk.broker.dir().join("data/signing-key.pem");
    fs::write(&file, EARLIER).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    desk.broker.crash().await;
    assert!(!file.exists());
    assert_eq!(desk.broker.mode("signing-key.pem.imported").unwrap(), 0o600);
}

#[tokio::test]
async fn the_key_of_an_earlier_version_is_taken_over_once() {
    let mut desk = desk("earlier").await;
    desk.broker.process.kill();
    desk.broker.forget_signing_keys().await;
    upgrade(&mut desk).await;
    assert_eq!(published(&desk).await, [EARLIER_ID]);
    assert_eq!(kid(&desk.token("crm:read").await), EARLIER_ID);
    desk.broker.crash().await;
    assert_eq!(published(&desk).await, [EARLIER_ID]);
    let records = desk.all_records("kind=admin").await;
    assert_eq!(records.iter().filter(|record| record["admin"]["action"] == "key.import").count(), 1);
}

#[tokio::test]
async fn an_earlier_key_beside_others_verifies_only() {
    let mut desk = desk("beside").await;
    let first = published(&desk).await;
    upgrade(&mut desk).await;
    let expected = [(EARLIER_ID.to_owned(), "verifies".to_owned()), (first[0].clone(), "signs".to_owned())];
    assert_eq!(states(&desk).await, expected);
    assert_eq!(kid(&desk.token("crm:read").await), first[0]);
}

#[tokio::test]
async fn no_private_key_lies_in_the_clear() {
    let desk = desk("sealed").await;
    rotate(&desk, &json!({})).await;
    let sealed: Vec<Vec<u8>> = sqlx::query_scalar("SELECT sealed FROM signing_keys")
        .fetch_all(&mut desk.broker.database().await)
        .await
        .unwrap();
    let data = fs::read_dir(desk.broker.dir().join("data")).unwrap();
    let mut all: Vec<_> = data.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    all.push(desk.broker.process.log().into_bytes());
    all.extend(sealed.iter().cloned());
    // What every P-256 key in PKCS#8 has before its number.
    let plain = [0x02, 0x01, 0x01, 0x04, 0x20];
    assert!(unpacked().windows(plain.len()).any(|window| window == plain), "it is what to look for");
    for bytes in all {
        assert!(!bytes.windows(plain.len()).any(|window| window == plain));
        assert!(!bytes.windows(11).any(|window| window == b"PRIVATE KEY"));
    }
    assert_eq!(sealed.len(), 2);
    assert!(sealed[0].len() > 100 && sealed[0] != sealed[1]);
}

/// [`EARLIER`], unpacked.
fn unpacked() -> Vec<u8> {
    use base64::Engine as _;
    let body: String = EARLIER.lines().filter(|line| !line.starts_with('-')).collect();
    base64::prelude::BASE64_STANDARD.decode(body).unwrap()
}

#[tokio::test]
async fn times_out_of_bounds_and_keys_that_stand_in_the_policy_are_refused() {
    let refused = async |times: Value, own: Option<Value>| {
        let dir = fresh("broker-keys-config");
        let (mut policy, mut config) = (policy(&Issuer::new(FOREIGN)), config());
        config["signing_keys"] = times;
        if let Some(own) = own {
            policy["issuers"]["own"]["jwks"] = own;
        }
        let url = Broker::files(&dir, &policy, &config);
        Broker::start(&dir, &url).await.err().expect("it does not start").log
    };
    let log = refused(json!({ "rotate": "59m", "lead": "4m", "laed": "1h" }), None).await;
    for expected in [
        "`signing_keys.laed`: found unknown key `laed`",
        "`signing_keys.rotate`: found `3540s`, accepted is `3600s` to `31536000s`",
        "`signing_keys.lead`: found `240s`, accepted is `300s` to `86400s`",
    ] {
        assert!(log.contains(expected), "{expected}\n{log}");
    }
    let log = refused(json!({ "rotate": "1h", "lead": "31m" }), None).await;
    assert!(log.contains("`signing_keys.lead`: found more than half of `rotate`"), "{log}");
    let log = refused(json!({}), Some(Issuer::new(FOREIGN).jwks())).await;
    assert!(log.contains("`policy`: found `issuers.own.jwks.keys` in the policy, for this broker itself"), "{log}");
}

#[tokio::test]
async fn the_command_line_lists_and_rotates() {
    let desk = desk("cli").await;
    let secret = desk.broker.dir().join("secret");
    let to = ["--broker", &desk.broker.url, "--token-file", secret.to_str().unwrap()];
    let run = |args: &[&str]| accredit(&[args, &to].concat(), b"");
    let first = published(&desk).await.remove(0);
    let list = String::from_utf8(run(&["keys", "list"]).stdout).unwrap();
    let [head, line] = list.lines().collect::<Vec<_>>()[..] else { panic!("{list}") };
    assert!(head.starts_with("KID") && line.starts_with(&first) && line.contains("signs"), "{list}");
    let rotated = run(&["keys", "rotate", "--output", "json"]);
    assert!(rotated.status.success(), "{rotated:?}");
    let answer: Value = serde_json::from_slice(&rotated.stdout).unwrap();
    assert_eq!((&answer["keys"][0]["kid"], &answer["keys"][1]["state"]), (&json!(first), &json!("published")));
    let again = run(&["keys", "rotate"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8(again.stderr).unwrap().contains("a new key is published already"));
    assert!(run(&["keys", "rotate", "--now", "--why", "an exercise"]).status.success());
    assert!(!published(&desk).await.contains(&first));
}
