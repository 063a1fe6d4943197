//! Security events by push (RFC 8935): which are taken, and what they revoke.

mod reach;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use harness::site::Site;
use harness::stack::broker::SECRET;
use harness::{Alg, Issuer, Token};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tokio::task::JoinSet;

use super::clients::{now, send};
use super::crash::ORDER;
use super::support::{Answer, Desk, FOREIGN, POSTGRES, RESOURCE};
use super::team::{Team, claims};

const ENTERPRISE: &str = "https://login.acme.example.test";
const EVENTS: &str = "https://schemas.openid.net/secevent/";
const MEDIA: &str = "application/secevent+jwt";
/// The bearer token of the transmitter `guarded`.
const BEARER: &str = "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf";
const GUARDED: &str = "https://guarded.example.test";

/// A team, its enterprise, and an issuer of the policy; the latter two send events.
struct Watch {
    team: Team,
    corp: Issuer,
    acme: Issuer,
}

fn transmitter(issuer: &Issuer, url: &str) -> Value {
    json!({ "issuer": url, "jwks": { "keys": issuer.jwks()["keys"] }, "algorithms": ["ES256", "EdDSA"] })
}

impl Watch {
    async fn open(name: &str) -> Self {
        Self::with(name, |_| ()).await
    }

    async fn with(name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let [corp, acme] = [FOREIGN, ENTERPRISE].map(|url| Issuer::new(url).at_now());
        let team = Team::with(name, &corp, |config| {
            config["enterprise"] = json!({ "acme": transmitter(&acme, ENTERPRISE) });
            config["signals"] = json!({ "corp": transmitter(&corp, FOREIGN), "acme": transmitter(&acme, ENTERPRISE) });
            config["limits"] = json!({ "failures": { "per_second": 1000, "burst": 1000 } });
            change(config);
        })
        .await;
        Self { team, corp, acme }
    }

    /// An event of `issuer` nothing is wrong with: the session of one of its subjects is revoked.
    fn event(&self, issuer: &Issuer, url: &str, subject: &str) -> Token {
        static SENT: AtomicU32 = AtomicU32::new(0);
        let token = issuer.token().header("typ", "secevent+jwt").audience(&self.desk().broker.url);
        let token = ["sub", "client_id", "exp", "nbf", "scope"].iter().fold(token, |token, name| token.without(name));
        token
            .claim("iat", now())
            .claim("jti", format!("event-{}", SENT.fetch_add(1, Ordering::Relaxed)))
            .claim("sub_id", json!({ "format": "iss_sub", "iss": url, "sub": subject }))
            .claim("events", json!({ format!("{EVENTS}caep/event-type/session-revoked"): {} }))
    }

    fn corp(&self, subject: &str) -> Token {
        self.event(&self.corp, FOREIGN, subject)
    }

    fn desk(&self) -> &Desk {
        &self.team.0
    }

    fn post(&self) -> RequestBuilder {
        self.desk().http.post(self.desk().url("/v1/events")).header("content-type", MEDIA)
    }

    async fn push(&self, set: &str) -> Answer {
        send(self.post().body(set.to_owned())).await
    }

    async fn taken(&self, token: Token) {
        let answer = self.push(&token.sign()).await;
        assert_eq!((answer.status, &answer.body), (202, &json!("")), "{answer:?}");
    }

    /// A token of the foreign issuer for `subject`, issued so many seconds ago.
    fn token(&self, subject: &str, ago: u64) -> String {
        let token = self.corp.token().audience(RESOURCE).scope("crm:read").claim("sub", subject);
        let issued = now() - ago;
        token.claim("iat", issued).claim("nbf", issued).claim("client_id", "robot").sign()
    }

    /// What an exchange of `token` is answered.
    async fn exchanges(&self, token: &str) -> u16 {
        self.desk().exchange(token, "crm_lookup", "crm:read", |_| ()).await.status
    }

    async fn revocations(&self) -> Vec<Value> {
        self.desk().records("kind=revocation").await
    }
}

fn err(answer: &Answer) -> (u16, &str) {
    assert!(answer.body["description"].is_string() && answer.header("cache-control") == "no-store", "{answer:?}");
    (answer.status, answer.body["err"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_revoked_session_ends_what_was_issued_before_it_and_is_on_the_record_and_in_the_feed() {
    let mut watch = Watch::open("signals").await;
    let (old, bob) = (watch.token("alice", 120), watch.token("bob", 120));
    assert_eq!((watch.exchanges(&old).await, watch.exchanges(&bob).await), (200, 200));
    let kind = format!("{EVENTS}caep/event-type/session-revoked");
    let happened = now() - 60;
    let event = watch.corp("alice").claim("events", json!({ &kind: { "event_timestamp": happened } }));
    let set = event.sign();
    assert_eq!(watch.push(&set).await.status, 202);
    for _ in 0..2 {
        assert_eq!((watch.exchanges(&old).await, watch.exchanges(&bob).await), (403, 200));
        assert_eq!(watch.exchanges(&watch.token("alice", 30)).await, 200, "she has logged in again");
        // It was on the disk before the answer.
        watch.team.0.broker.crash().await;
    }
    let records = watch.revocations().await;
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!((&record["subject"], &record["admin"]["by"]), (&json!("alice"), &json!("signals:corp")));
    assert_eq!((&record["admin"]["action"], &record["admin"]["why"]), (&json!("revocation.add"), &json!(kind)));
    assert_eq!(record["from"][0]["jti"], claims(&set)["jti"]);
    assert!(record["from"][0]["sha256"].is_string() && !record.to_string().contains(&set));
    let feed = watch.desk().http.get(watch.desk().url("/v1/revocations?after=0&wait=0s"));
    let feed = send(feed.basic_auth("gateway", Some(SECRET))).await;
    let change = feed.body["changes"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(change["target"], json!({ "kind": "subject", "issuer": FOREIGN, "subject": "alice" }));
    assert_eq!(change["before"], json!(happened + 1));
    assert!(change["until"].as_u64().unwrap() > now() + 3600, "no token it hits lives longer");
}

#[tokio::test]
async fn what_is_no_event_for_us_is_refused_with_the_registered_code() {
    let watch = Watch::open("signals-refused").await;
    let stranger = Issuer::new("https://stranger.example.test").at_now();
    let sound = || watch.corp("alice");
    let typed = |typ: &str| sound().header("typ", typ);
    let id_token = watch.corp.token().header("typ", "JWT").audience(&watch.desk().broker.url);
    for (code, set) in [
        ("invalid_request", "x".to_owned()),
        ("invalid_request", String::new()),
        ("invalid_issuer", watch.event(&stranger, FOREIGN, "alice").sign()),
        ("invalid_issuer", sound().without("iss").sign()),
        ("invalid_request", watch.token("alice", 0)),
        ("invalid_request", id_token.sign()),
        ("invalid_request", typed("at+jwt").sign()),
        ("invalid_request", typed("JWT").sign()),
        ("invalid_request", typed("logout+jwt").sign()),
        ("invalid_request", sound().without_header("typ").sign()),
        ("invalid_request", sound().header("crit", json!(["x"])).sign()),
        ("invalid_key", sound().unsigned()),
        ("invalid_key", sound().sign_hmac(watch.corp.public_pem().as_bytes())),
        ("invalid_key", sound().alg(Alg::Rs256).sign()),
        ("invalid_key", sound().kid("made-up").sign()),
        ("authentication_failed", sound().sign_foreign()),
        ("authentication_failed", harness::issuer::forge(&sound().sign(), "jti", "another")),
        ("invalid_audience", sound().audience(RESOURCE).sign()),
        ("invalid_audience", sound().without("aud").sign()),
        ("access_denied", watch.event(&watch.corp, ENTERPRISE, "alice").sign()),
        ("access_denied", watch.event(&watch.corp, &watch.desk().broker.url, "planner").sign()),
        ("access_denied", watch.event(&watch.acme, FOREIGN, "alice").sign()),
        ("invalid_request", sound().claim("iat", now() - 700).sign()),
        ("invalid_request", sound().claim("iat", now() + 100).sign()),
        ("invalid_request", sound().without("iat").sign()),
        ("invalid_request", sound().without("jti").sign()),
        ("invalid_request", sound().without("sub_id").sign()),
        ("invalid_request", sound().without("events").sign()),
        ("invalid_request", sound().claim("exp", now() + 100).sign()),
    ] {
        let answer = watch.push(&set).await;
        assert_eq!(err(&answer), (400, code), "{set}");
    }
    assert!(watch.revocations().await.is_empty());
    assert_eq!(watch.push(&sound().sign()).await.status, 202);
}

#[tokio::test]
async fn only_what_the_transmitter_has_signed_is_worth_a_record() {
    let watch = Watch::open("signals-denied").await;
    let refused = async || {
        let records = watch.desk().all_records("kind=admin&decision=deny").await;
        let told = records.iter().map(|record| {
            assert_eq!(
                (&record["admin"]["by"], &record["admin"]["action"]),
                (&json!("signals:corp"), &json!("event.refuse"))
            );
            (record["reason"].as_str().unwrap().to_owned(), record["from"][0]["jti"].clone())
        });
        told.collect::<Vec<_>>()
    };
    for set in ["x".to_owned(), watch.corp("alice").sign_foreign(), watch.corp("alice").unsigned()] {
        assert_eq!(watch.push(&set).await.status, 400);
    }
    assert_eq!(refused().await, []);
    watch.push(&watch.corp("alice").audience(RESOURCE).claim("jti", "a").sign()).await;
    watch.push(&watch.event(&watch.corp, ENTERPRISE, "alice").claim("jti", "b").sign()).await;
    let told = [("token_audience", "a"), ("event_foreign", "b")].map(|(reason, id)| (reason.to_owned(), json!(id)));
    assert_eq!(refused().await, told);
}

#[tokio::test]
async fn an_event_counts_once_and_is_acknowledged_as_often_as_it_comes() {
    let mut watch = Watch::open("signals-once").await;
    let event = watch.corp("alice").claim("jti", "once");
    let set = event.clone().sign();
    for _ in 0..2 {
        assert_eq!(watch.push(&set).await.status, 202);
        assert_eq!(watch.push(&event.clone().sign()).await.status, 202, "signed once more");
        watch.team.0.broker.crash().await;
    }
    assert_eq!(watch.revocations().await.len(), 1);
    let changed = event.claim("sub_id", json!({ "format": "iss_sub", "iss": FOREIGN, "sub": "bob" })).sign();
    assert_eq!(err(&watch.push(&changed).await), (400, "invalid_request"));
    assert_eq!(watch.desk().all_records("reason=event_changed").await.len(), 1);
    let other = watch.event(&watch.acme, ENTERPRISE, "bob").claim("jti", "once");
    watch.taken(other).await;
    // At the same time, too.
    let set = watch.corp("carol").sign();
    let answers = tokio::join!(watch.push(&set), watch.push(&set), watch.push(&set), watch.push(&set));
    assert_eq!([answers.0.status, answers.1.status, answers.2.status, answers.3.status], [202; 4]);
    let carol = watch.desk().records("kind=revocation&subject=carol").await;
    assert_eq!(carol.len(), 1);
}

#[tokio::test]
async fn an_event_that_comes_many_times_at_once_stops_nobody() {
    let watch = Watch::open("signals-repeats").await;
    let set = watch.corp("alice").sign();
    assert_eq!(watch.push(&set).await.status, 202);
    let (token, mut repeats, began) = (watch.token("bob", 1), JoinSet::new(), Instant::now());
    for _ in 0..16 {
        repeats.spawn(send(watch.post().body(set.clone())));
    }
    for _ in 0..8 {
        assert_eq!(watch.exchanges(&token).await, 200);
    }
    assert!(repeats.join_all().await.iter().all(|answer| answer.status == 202));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_is_ignored_is_acknowledged_and_recorded() {
    let watch = Watch::open("signals-ignored").await;
    let old = watch.token("alice", 60);
    let verify = format!("{EVENTS}ssf/event-type/verification");
    for (action, event) in [
        ("event.ignore", watch.corp("alice").claim("events", json!({ "urn:example:unknown": {} }))),
        ("event.ignore", watch.corp("alice").claim("sub_id", json!({ "format": "email", "email": "a@example.test" }))),
        (
            "event.ignore",
            watch.corp("alice").claim(
                "events",
                json!({
                    format!("{EVENTS}caep/event-type/credential-change"): { "change_type": "create" },
                }),
            ),
        ),
        ("event.verify", watch.corp("alice").claim("events", json!({ verify: { "state": "st4te" } }))),
    ] {
        let id = claims(&event.clone().sign())["jti"].clone();
        watch.taken(event).await;
        let records = watch.desk().all_records("kind=admin&limit=1000").await;
        let record = records.last().unwrap();
        assert_eq!((&record["admin"]["action"], &record["from"][0]["jti"]), (&json!(action), &id), "{record}");
    }
    assert!(watch.desk().broker.process.log().contains("st4te"));
    assert_eq!((watch.exchanges(&old).await, watch.revocations().await.len()), (200, 0));
}

#[tokio::test]
async fn a_transmitter_with_a_secret_has_to_send_it_too() {
    let watch = Watch::with("signals-secret", |config| {
        let corp = &mut config["signals"]["corp"];
        corp["secret_file"] = json!("secret");
        config["signals"]["guarded"] = corp.clone();
        config["signals"]["guarded"]["issuer"] = json!(GUARDED);
        config["signals"]["guarded"]["issuers"] = json!([FOREIGN]);
        config["limits"]["failures"] = json!({ "per_second": 1, "burst": 3 });
    })
    .await;
    let set = watch.corp("alice").sign();
    let refused = async |request: RequestBuilder| err(&send(request.body(set.clone())).await).1.to_owned();
    assert_eq!(refused(watch.post()).await, "authentication_failed");
    assert_eq!(refused(watch.post().bearer_auth(BEARER)).await, "authentication_failed");
    assert_eq!(refused(watch.post().basic_auth("corp", Some(SECRET))).await, "authentication_failed");
    let answer = send(watch.post().bearer_auth(SECRET).body(set.clone())).await;
    assert_eq!((answer.status, answer.header("retry-after").is_empty()), (429, false), "too many guesses");
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let unsigned = send(watch.post().bearer_auth(SECRET).body(watch.corp("alice").unsigned())).await;
    assert_eq!(err(&unsigned).1, "invalid_key", "the secret does not stand for the signature");
    assert_eq!(send(watch.post().bearer_auth(SECRET).body(set)).await.status, 202);
    let speaks = watch.event(&Issuer::new(GUARDED).at_now(), FOREIGN, "alice").sign();
    assert_eq!(
        send(watch.post().bearer_auth(SECRET).body(speaks)).await.status,
        202,
        "for the issuer it may speak for"
    );
}

#[tokio::test]
async fn a_transmitter_that_sends_too_much_has_to_wait() {
    let watch = Watch::with("signals-rate", |config| {
        config["limits"]["token"] = json!({ "per_second": 1, "burst": 2 });
    })
    .await;
    let sets = [(); 3].map(|()| watch.corp("alice").sign());
    let answers = [watch.push(&sets[0]).await, watch.push(&sets[1]).await, watch.push(&sets[2]).await];
    assert_eq!(answers.each_ref().map(|answer| answer.status), [202, 202, 429]);
    assert_eq!(answers[2].header("retry-after"), "1");
    assert_eq!(watch.push(&watch.event(&watch.acme, ENTERPRISE, "alice").sign()).await.status, 202, "each for itself");
}

#[tokio::test]
async fn a_request_has_to_be_one_of_its_kind() {
    let watch = Watch::open("signals-request").await;
    let set = watch.corp("alice").sign();
    let url = watch.desk().url("/v1/events");
    for media in ["application/json", "application/jwt", "text/plain", "application/secevent+jwt+x"] {
        let request = watch.desk().http.post(&url).header("content-type", media).body(set.clone());
        assert_eq!(err(&send(request).await), (400, "invalid_request"), "{media}");
    }
    assert_eq!(err(&send(watch.desk().http.post(&url).body(set.clone())).await), (400, "invalid_request"));
    assert_eq!(err(&send(watch.post().body(vec![0xff, 0xfe])).await), (400, "invalid_request"));
    assert_eq!(watch.push(&watch.corp("alice").claim("x", "y".repeat(9000)).sign()).await.status, 413);
    assert_eq!(send(watch.desk().http.get(&url)).await.status, 405);
    let upper = watch.desk().http.post(&url).header("content-type", "Application/SecEvent+JWT").body(set);
    assert_eq!(send(upper).await.status, 202);
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_acknowledged() {
    let watch = Watch::open("signals-disk").await;
    let set = watch.corp("alice").sign();
    let mut lock = watch.desk().broker.database().await;
    sqlx::query(if POSTGRES { ORDER } else { "BEGIN IMMEDIATE" }).execute(&mut lock).await.unwrap();
    let answer = watch.push(&set).await;
    assert_eq!((answer.error(), answer.header("retry-after")), ((503, "temporarily_unavailable"), "1"));
    lock.close().await.unwrap();
    assert_eq!(watch.exchanges(&watch.token("alice", 60)).await, 200);
    assert_eq!(watch.push(&set).await.status, 202, "it was not taken for one that came before");
    assert_eq!(watch.exchanges(&watch.token("alice", 60)).await, 403);
}

#[tokio::test]
async fn revocation_and_record_stand_or_fall_together() {
    let watch = Watch::open("signals-whole").await;
    let mut store = watch.desk().broker.database().await;
    let rename = async |store: &mut _, from: &str, to: &str| {
        let query = sqlx::AssertSqlSafe(format!("ALTER TABLE {from} RENAME TO {to}"));
        sqlx::query(query).execute(store).await.unwrap();
    };
    let set = watch.corp("alice").sign();
    rename(&mut store, "audit", "gone").await;
    assert_eq!(watch.push(&set).await.error(), (503, "temporarily_unavailable"));
    rename(&mut store, "gone", "audit").await;
    let count = sqlx::query_scalar("SELECT count(*) FROM revocations").fetch_one(&mut store).await;
    assert_eq!(count.map(|count: i64| count).unwrap(), 0);
    assert_eq!(watch.push(&set).await.status, 202);
    assert_eq!(watch.revocations().await.len(), 1);
}

#[tokio::test]
async fn the_transmitters_keys_are_fetched() {
    let site = Site::new();
    let watch = Watch::with("signals-keys", |config| {
        config["signals"]["corp"]["jwks"] = json!({ "url": site.url("/jwks.json") });
    })
    .await;
    assert_eq!(watch.push(&watch.corp("alice").sign()).await.error(), (503, "temporarily_unavailable"));
    site.publish("/jwks.json", &watch.corp.jwks_for(&[Alg::Es256]).to_string());
    site.open().await;
    let began = tokio::time::Instant::now();
    while watch.push(&watch.corp("alice").sign()).await.status != 202 {
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "the broker does not recover");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
