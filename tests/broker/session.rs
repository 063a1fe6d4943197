//! Keys of sessions: for proxies only, the same for all of them, and renewed before they end.

use std::collections::BTreeSet;
use std::fs;

use harness::Issuer;
use harness::stack::broker::{Broker, SECRET};
use harness::stack::fresh;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::support::{Answer, Desk, FOREIGN, config, policy};

const HOUR: i64 = 3600;

fn asking(desk: &Desk, id: &str) -> RequestBuilder {
    desk.http.get(desk.url("/v1/session-keys")).basic_auth(id, Some(SECRET))
}

async fn keys(desk: &Desk) -> Vec<Value> {
    let answer = Answer::of(asking(desk, "gateway").send().await.unwrap()).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
    answer.body["keys"].as_array().unwrap().clone()
}

fn member<'a>(key: &'a Value, name: &str) -> &'a str {
    key[name].as_str().unwrap()
}

#[tokio::test]
async fn only_proxies_get_the_keys() {
    let desk = Desk::open("session-who").await;
    let get = || desk.http.get(desk.url("/v1/session-keys"));
    for (request, expected) in [
        (get(), (401, "invalid_client")),
        (get().bearer_auth(SECRET), (401, "invalid_client")),
        (get().basic_auth("gateway", Some("wrong")), (401, "invalid_client")),
        (asking(&desk, "nobody"), (401, "invalid_client")),
        (asking(&desk, "agent-7"), (403, "access_denied")),
    ] {
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(answer.error(), expected);
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn proxies_that_ask_at_once_get_the_same_key_and_so_do_later_ones() {
    let mut desk = Desk::open("session-same").await;
    let asks = (0..16).map(|_| tokio::spawn(asking(&desk, "gateway").send()));
    let mut seen = BTreeSet::new();
    for ask in asks.collect::<Vec<_>>() {
        let answer = Answer::of(ask.await.unwrap().unwrap()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        seen.insert(answer.body.to_string());
    }
    assert_eq!(seen.len(), 1);
    let first = keys(&desk).await;
    let [key] = &first[..] else { panic!("{first:?}") };
    assert_eq!((member(key, "id").len(), member(key, "key").len()), (8, 43));
    let (begins, ends) = (key["not_before"].as_i64().unwrap(), key["not_after"].as_i64().unwrap());
    assert_eq!(ends - begins, 48 * HOUR);
    desk.broker.crash().await;
    assert_eq!(keys(&desk).await, first);
}

#[tokio::test]
async fn a_key_is_renewed_before_it_ends_and_forgotten_after() {
    let desk = Desk::open("session-renew").await;
    let ids = |keys: &[Value]| keys.iter().map(|key| member(key, "id").to_owned()).collect::<Vec<_>>();
    let first = keys(&desk).await;
    desk.broker.age_session_keys(17 * HOUR).await;
    assert_eq!(ids(&keys(&desk).await), ids(&first));

    desk.broker.age_session_keys(2 * HOUR).await;
    let both = keys(&desk).await;
    assert_eq!((both.len(), ids(&both)[0] == ids(&first)[0]), (2, true));
    let gap = both[1]["not_before"].as_i64().unwrap() - both[0]["not_before"].as_i64().unwrap();
    assert!(gap >= 24 * HOUR, "the second key waits for its time: {gap}");
    assert_eq!(keys(&desk).await, both);

    desk.broker.age_session_keys(30 * HOUR).await;
    let later = keys(&desk).await;
    assert!(!ids(&later).contains(&ids(&first)[0]) && ids(&later).contains(&ids(&both)[1]), "{later:?}");
}

#[tokio::test]
async fn keys_show_up_in_no_log_and_no_record() {
    let desk = Desk::open("session-canary").await;
    desk.broker.age_session_keys(0).await;
    let keys = keys(&desk).await;
    let key = member(&keys[0], "key");
    let (log, records) = (desk.broker.process.log(), desk.records("").await);
    assert!(log.contains(member(&keys[0], "id")), "the operator hears of a new key: {log}");
    assert!(!log.contains(key) && !format!("{records:?}").contains(key));
    assert_eq!(desk.broker.mode("").unwrap(), 0o700);
}

#[tokio::test]
async fn times_out_of_bounds_are_refused() {
    let dir = fresh("broker-session-config");
    let mut config = config();
    config["session_keys"] = json!({ "rotate": "1m", "overlap": "721h", "rotat": "1h" });
    let url = Broker::files(&dir, &policy(&Issuer::new(FOREIGN)), &config);
    let log = Broker::start(&dir, &url).await.err().unwrap().log;
    for expected in [
        "`session_keys.rotat`: found unknown key `rotat`",
        "`session_keys.rotate`: found less than ten minutes or more than 30 days, accepted is `10m` to `720h`",
        "`session_keys.overlap`: found less than ten minutes",
    ] {
        assert!(log.contains(expected), "{expected}\n{log}");
    }
    config["session_keys"] = json!({ "rotate": "1h", "overlap": "2h" });
    fs::remove_dir_all(dir.join("data")).ok();
    let url = Broker::files(&dir, &policy(&Issuer::new(FOREIGN)), &config);
    let broker = Broker::start(&dir, &url).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let key = keys(&Desk { broker, http }).await.remove(0);
    assert_eq!(key["not_after"].as_i64().unwrap() - key["not_before"].as_i64().unwrap(), 3 * HOUR);
}
