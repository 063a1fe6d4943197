//! TLS, and proxies that are known by their certificates.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use harness::Issuer;
use harness::authority::{Authority, Signed};
use harness::stack::broker::{Broker, SECRET};
use reqwest::{Client, Version};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::super::support::{Answer, Desk, FOREIGN, call, policy};
use super::{dial, prepare};

const GATEWAY: &str = "spiffe://prod/gateway";

/// A broker that speaks TLS, and the authority of all certificates.
struct Secure {
    desk: Desk,
    authority: Authority,
}

impl Secure {
    async fn open(name: &str, change: impl FnOnce(&mut Value)) -> Self {
        Self::start(name, Authority::new(), change).await.unwrap_or_else(|log| panic!("{log}"))
    }

    /// `Err` holds the log.
    async fn start(name: &str, authority: Authority, change: impl FnOnce(&mut Value)) -> Result<Self, String> {
        let (dir, url) = prepare(&format!("tls-{name}"), &policy(&Issuer::new(FOREIGN)), |config| {
            config["tls"] =
                json!({ "certificate_file": "broker.pem", "key_file": "broker.key", "client_ca_file": "clients.pem" });
            change(config);
        });
        install(&dir, &authority.host("broker", &["127.0.0.1"]));
        fs::write(dir.join("clients.pem"), &authority.pem).unwrap();
        let url = url.replace("http://", "https://");
        let broker = Broker::start_for(&dir, &url, authority.trusting()).await.map_err(|failure| failure.log)?;
        let http = authority.trusting().build().unwrap();
        Ok(Self { desk: Desk { broker, http }, authority })
    }

    fn client(&self, signed: &Signed) -> Client {
        self.authority.trusting().identity(signed.identity()).build().unwrap()
    }

    async fn deliver(&self, http: &Client, secret: Option<&str>) -> u16 {
        let request = http.post(self.desk.url("/v1/audit/events")).json(&json!({ "records": [] }));
        let request = match secret {
            Some(secret) => request.basic_auth("gateway", Some(secret)),
            None => request,
        };
        Answer::of(request.send().await.unwrap()).await.status
    }
}

/// Puts certificate and key where the broker reads them.
fn install(dir: &Path, signed: &Signed) {
    fs::write(dir.join("broker.key"), &signed.key).unwrap();
    fs::set_permissions(dir.join("broker.key"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(dir.join("broker.pem"), &signed.chain).unwrap();
}

fn by_name(config: &mut Value) {
    config["proxies"]["gateway"] = json!({ "san": GATEWAY });
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_over_tls() {
    let secure = Secure::open("versions", |_| ()).await;
    for (client, version) in [
        (secure.authority.trusting(), Version::HTTP_2),
        (secure.authority.trusting().http1_only(), Version::HTTP_11),
        (secure.authority.trusting().tls_version_max(reqwest::tls::Version::TLS_1_2), Version::HTTP_2),
    ] {
        let answer = client.build().unwrap().get(secure.desk.url("/healthz")).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
    }
    let plain = Client::builder().no_proxy().build().unwrap();
    let url = secure.desk.url("/healthz").replace("https://", "http://");
    assert!(plain.get(url).send().await.is_err(), "plain HTTP is not answered");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let secure = Secure::open("authority", by_name).await;
    let stranger = secure.client(&Authority::new().workload("gateway", GATEWAY));
    assert!(stranger.get(secure.desk.url("/healthz")).send().await.is_err());
    let nobody = secure.authority.trusting().build().unwrap();
    assert_eq!(nobody.get(secure.desk.url("/healthz")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut_and_holds_up_nobody() {
    let secure = Secure::open("handshake", |config| config["limits"] = json!({ "request": "800ms" })).await;
    let began = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(dial(&secure.desk).await);
    }
    // The first bytes of a record that never ends.
    silent[0].write(&[&[0x16, 3, 1, 2, 0, 1][..]]).await.unwrap();
    let fresh = secure.authority.trusting().build().unwrap();
    assert_eq!(fresh.get(secure.desk.url("/healthz")).send().await.unwrap().status(), 200);
    assert!(began.elapsed() < Duration::from_millis(700), "the others were waited for");
    for mut one in silent {
        assert!(one.read().await.is_err());
    }
    let spent = began.elapsed();
    assert!(spent > Duration::from_millis(500) && spent < Duration::from_secs(4), "{spent:?}");
}

#[tokio::test]
async fn a_proxy_is_known_by_its_certificate() {
    let secure = Secure::open("proxy", by_name).await;
    let proxy = secure.client(&secure.authority.workload("gateway", GATEWAY));
    assert_eq!(secure.deliver(&proxy, None).await, 204);
    let token = secure.desk.token("crm:read").await;
    let request = proxy.post(secure.desk.url("/token")).form(&call(&token, "crm_lookup", "crm:read"));
    assert_eq!(Answer::of(request.send().await.unwrap()).await.status, 200);
    let minted = &secure.desk.records("kind=mint").await[0];
    assert_eq!(minted["proxy"]["node"], "gateway");
    let keys = proxy.get(secure.desk.url("/v1/session-keys")).send().await.unwrap();
    assert_eq!(keys.status(), 200);
}

#[tokio::test]
async fn no_other_certificate_is_a_proxys() {
    let secure = Secure::open("others", by_name).await;
    let authority = &secure.authority;
    let token = secure.desk.token("crm:read").await;
    for signed in [
        authority.workload("gateway", "spiffe://prod/agents/agent-7"),
        authority.workload("gateway", "spiffe://prod/gateway/x"),
        authority.host("gateway", &["gateway.example"]),
        authority.host(GATEWAY, &[]),
    ] {
        let client = secure.client(&signed);
        assert_eq!(secure.deliver(&client, None).await, 401);
        let exchange = client.post(secure.desk.url("/token")).form(&call(&token, "crm_lookup", "crm:read"));
        assert_eq!(Answer::of(exchange.send().await.unwrap()).await.error(), (401, "invalid_client"));
    }
    assert_eq!(secure.deliver(&secure.desk.http, None).await, 401);
    // The name alone is no secret: a proxy without one cannot be had by Basic.
    assert_eq!(secure.deliver(&secure.desk.http, Some(SECRET)).await, 401);
    assert_eq!(secure.deliver(&secure.desk.http, Some("")).await, 401);
}

#[tokio::test]
async fn a_secret_that_is_given_decides() {
    let both =
        |config: &mut Value| config["proxies"]["gateway"] = json!({ "sans": [GATEWAY], "secret_file": "secret" });
    let secure = Secure::open("both", both).await;
    let proxy = secure.client(&secure.authority.workload("gateway", GATEWAY));
    assert_eq!(secure.deliver(&proxy, None).await, 204);
    assert_eq!(secure.deliver(&secure.desk.http, Some(SECRET)).await, 204);
    assert_eq!(secure.deliver(&proxy, Some("wrong")).await, 401);
    let agent = proxy.post(secure.desk.url("/v1/audit/events")).basic_auth("agent-7", Some(SECRET)).body("{}");
    assert_eq!(Answer::of(agent.send().await.unwrap()).await.error(), (403, "access_denied"));
    let bearer = proxy.post(secure.desk.url("/v1/audit/events")).bearer_auth(SECRET).body("{}");
    assert_eq!(Answer::of(bearer.send().await.unwrap()).await.error(), (401, "invalid_client"));
}

#[tokio::test]
async fn a_new_certificate_is_taken_without_a_restart_and_a_bad_one_is_not() {
    let secure = Secure::open("reload", |_| ()).await;
    let dir = secure.desk.broker.dir();
    let knocks = async |authority: &Authority| {
        let client = authority.trusting().build().unwrap();
        client.get(secure.desk.url("/healthz")).send().await.is_ok()
    };
    let log = async |text: &str| {
        let began = Instant::now();
        while !secure.desk.broker.process.log().contains(text) {
            assert!(began.elapsed() < Duration::from_secs(10), "no `{text}` in the log");
            sleep(Duration::from_millis(50)).await;
        }
    };
    fs::write(dir.join("broker.pem"), "nothing").unwrap();
    log("the certificate for TLS stays as it was: found `").await;
    assert!(knocks(&secure.authority).await);
    let next = Authority::new();
    install(dir, &next.host("broker", &["127.0.0.1"]));
    log("new certificate for TLS").await;
    assert!(knocks(&next).await && !knocks(&secure.authority).await);
}

/// What a broker says that does not start.
async fn refused(name: &str, change: impl FnOnce(&mut Value)) -> String {
    match Secure::start(&format!("bad-{name}"), Authority::new(), change).await {
        Ok(_) => panic!("{name}: the broker started"),
        Err(log) => log,
    }
}

#[tokio::test]
async fn plain_http_for_all_has_to_be_spelled_out() {
    let open = |config: &mut Value| {
        config.as_object_mut().unwrap().remove("tls");
        config["listen"] = json!("0.0.0.0:0");
    };
    let log = refused("insecure", open).await;
    let expected = "`listen`: found `0.0.0.0:0`, accepted is a loopback address, as there is no `tls` (hint: give `tls` a \
                    certificate; put `insecure: true` only where something else encrypts)";
    assert!(log.contains(expected), "{log}");
}

#[tokio::test]
async fn what_is_wrong_with_tls_is_named_with_its_place() {
    let name = |config: &mut Value, value: Value| config["proxies"]["gateway"] = value;
    type Change<'a> = Box<dyn FnOnce(&mut Value) + 'a>;
    let cases: [(&str, Change<'_>, &str); 9] = [
        ("missing", Box::new(|c| c["tls"]["key_file"] = json!("none")), "`tls.key_file`: found `"),
        (
            "half",
            Box::new(|c| drop(c["tls"].as_object_mut().unwrap().remove("key_file"))),
            "`tls.key_file`: found nothing",
        ),
        (
            "chain",
            Box::new(|c| c["tls"]["certificate_file"] = json!("secret")),
            "secret`, which holds nothing of the kind",
        ),
        ("other", Box::new(|c| c["tls"]["certificate_file"] = json!("clients.pem")), "`tls.certificate_file`: found `"),
        ("clients", Box::new(|c| c["tls"]["client_ca_file"] = json!("broker.key")), "`tls.client_ca_file`: found `"),
        (
            "unasked",
            Box::new(|c| {
                drop(c["tls"].as_object_mut().unwrap().remove("client_ca_file"));
                name(c, json!({ "san": GATEWAY }));
            }),
            "`proxies.gateway.san`: found `spiffe://prod/gateway`, accepted is a name only beside `tls.client_ca_file`",
        ),
        (
            "taken",
            Box::new(|c| {
                name(c, json!({ "san": GATEWAY }));
                c["proxies"]["other"] = json!({ "sans": ["x.example", GATEWAY] });
            }),
            "`proxies.other.sans[1]`: found `spiffe://prod/gateway`, which stands for `gateway`",
        ),
        ("pattern", Box::new(|c| name(c, json!({ "san": "*.example" }))), "accepted is a URI or a DNS name"),
        ("unknown", Box::new(|c| name(c, json!({ "sans": [] }))), "`proxies.gateway`: found nothing to know it by"),
    ];
    for (case, change, expected) in cases {
        let log = refused(case, change).await;
        assert!(log.contains(expected), "{case}: {log}");
        assert!(!log.contains(SECRET) && !log.contains("PRIVATE"));
    }
}

#[tokio::test]
async fn a_key_others_can_read_is_refused() {
    let (dir, url) = prepare("tls-mode", &policy(&Issuer::new(FOREIGN)), |config| {
        config["tls"] = json!({ "certificate_file": "broker.pem", "key_file": "broker.key" });
    });
    install(&dir, &Authority::new().host("broker", &["127.0.0.1"]));
    for mode in [0o644, 0o640, 0o604] {
        fs::set_permissions(dir.join("broker.key"), fs::Permissions::from_mode(mode)).unwrap();
        let log = Broker::start(&dir, &url).await.err().unwrap().log;
        assert!(
            log.contains(&format!("broker.key`, with mode `{mode:o}`, accepted is the certificate's key")),
            "{log}"
        );
        assert!(log.contains("(hint: chmod 600 "));
    }
}
