//! Agents that prove themselves in every way there is, and how they ask.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::Issuer;
use harness::authority::{Authority, Signed};
use harness::stack::broker::{Broker, SECRET};
use harness::stack::fresh;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PublicKeyData as _};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use super::support::{Answer, Desk, FOREIGN, RESOURCE, config, policy};

pub const GRANT: (&str, &str) = ("grant_type", "client_credentials");
pub const TYPE: (&str, &str) = ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");

/// The identifier of a workload's certificate.
pub const WORKLOAD: &str = "spiffe://prod/agents/workload";

/// A key on P-256, signing through another implementation than the broker's.
pub struct Key {
    signs: EncodingKey,
    pub jwk: Value,
}

impl Key {
    /// The key of the agent `signer`, the same for all tests of this process.
    pub fn signer() -> &'static Self {
        static KEY: OnceLock<Key> = OnceLock::new();
        KEY.get_or_init(|| Self::new("signer-1"))
    }

    pub fn new(id: &str) -> Self {
        let pair = KeyPair::generate().unwrap();
        let point = pair.der_bytes();
        let (x, y) = (&point[1..33], &point[33..]);
        let encode = |bytes| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": encode(x), "y": encode(y) });
        Self { signs: EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap(), jwk }
    }

    /// Signs `claims`.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(
            Header { kid: self.jwk["kid"].as_str().map(str::to_owned), ..Header::new(Algorithm::ES256) },
            claims,
        )
    }

    /// The same under any header.
    pub fn sign_as(&self, header: Header, claims: &Value) -> String {
        jsonwebtoken::encode(&header, claims, &self.signs).unwrap()
    }
}

pub fn now() -> u64 {
    UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// The claims of an assertion of `client` nothing is wrong with; each has a name of its own.
pub fn assertion(desk: &Desk, client: &str) -> Value {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let name = format!("assertion-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    json!({ "iss": client, "sub": client, "aud": desk.broker.url, "jti": name, "iat": now(), "exp": now() + 60 })
}

/// One agent of each kind beside `agent-7`; all may ask for the same.
pub fn enrol(config: &mut Value) {
    let plain = config["agents"][0].clone();
    let mut add = |id: &str, members: Value| {
        let mut agent = plain.clone();
        agent["id"] = json!(id);
        agent["token_lifetime"] = json!("60s");
        for (name, value) in members.as_object().unwrap() {
            agent[name] = value.clone();
        }
        agent.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        config["agents"].as_array_mut().unwrap().push(agent);
    };
    let keys = json!({ "keys": [Key::signer().jwk] });
    add("signer", json!({ "method": "private_key_jwt", "jwks": keys, "secret_file": null }));
    add("workload", json!({ "method": "tls_client_auth", "certificate": { "uri": WORKLOAD }, "secret_file": null }));
    add("holder", json!({ "bound": "dpop" }));
    add("carrier", json!({ "bound": "mtls" }));
    add("server", json!({ "accepts": [RESOURCE] }));
    add("other", json!({}));
}

/// A broker with all of them.
pub async fn desk(name: &str) -> Desk {
    desk_with(name, |_| ()).await
}

/// The same with changes to its configuration.
pub async fn desk_with(name: &str, change: impl FnOnce(&mut Value)) -> Desk {
    let (mut policy, mut config) = (policy(&Issuer::new(FOREIGN)), config());
    // What the broker says of its own tokens has no leeway.
    policy["issuers"]["own"]["clock_skew"] = json!("30s");
    enrol(&mut config);
    change(&mut config);
    Desk::configured(name, &policy, config).await
}

/// A broker that speaks TLS, and the authority of all certificates.
pub struct Secure {
    pub desk: Desk,
    pub authority: Authority,
}

impl Secure {
    pub async fn open(name: &str) -> Self {
        let (authority, dir) = (Authority::new(), fresh(&format!("broker-{name}")));
        let mut config = config();
        enrol(&mut config);
        config["tls"] =
            json!({ "certificate_file": "broker.pem", "key_file": "broker.key", "client_ca_file": "clients.pem" });
        config["proxies"]["edge"] = json!({ "san": "spiffe://prod/edge" });
        config["issuer"] = json!("https://LISTEN");
        let url = Broker::files(&dir, &policy(&Issuer::new(FOREIGN)), &config).replace("http://", "https://");
        let Signed { chain, key, .. } = authority.host("broker", &["127.0.0.1"]);
        let files = [("broker.pem", &chain), ("broker.key", &key), ("clients.pem", &authority.pem)];
        files.iter().for_each(|(name, text)| fs::write(dir.join(name), text).unwrap());
        fs::set_permissions(dir.join("broker.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let broker = Broker::start_for(&dir, &url, authority.trusting()).await;
        let broker = broker.unwrap_or_else(|failure| panic!("{failure}"));
        let http = authority.trusting().build().unwrap();
        Self { desk: Desk { broker, http }, authority }
    }

    /// A client with this certificate.
    pub fn client(&self, signed: &Signed) -> Client {
        self.authority.trusting().identity(signed.identity()).build().unwrap()
    }
}

impl Desk {
    /// A request to `path` by whoever the form proves.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        send(self.http.post(self.url(path)).form(form)).await
    }

    /// A request to `path` by `id` with the secret of all.
    pub async fn post_as(&self, id: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        send(self.http.post(self.url(path)).basic_auth(id, Some(SECRET)).form(form)).await
    }

    /// A token request by the agent of this assertion.
    pub async fn assert(&self, assertion: &str) -> Answer {
        self.post("/token", &[GRANT, TYPE, ("client_assertion", assertion)]).await
    }

    /// A token of the agent `id`, by its secret.
    pub async fn token_of(&self, id: &str) -> String {
        let answer = self.ask(id, &[GRANT]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text("access_token")
    }

    /// An operator's act on the agent `id`.
    pub async fn turn(&self, id: &str, act: &str) {
        let answer = send(self.http.post(self.url(&format!("/v1/agents/{id}/{act}"))).bearer_auth(SECRET)).await;
        assert!(answer.status < 300, "{answer:?}");
    }
}

pub async fn send(request: RequestBuilder) -> Answer {
    Answer::of(request.send().await.expect("the broker answers")).await
}

/// Whether nothing but the time tells two answers apart.
#[track_caller]
pub fn alike(answers: &[Answer]) {
    let shown = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        headers.remove("date");
        (answer.status, headers, answer.body.clone())
    };
    for answer in answers {
        assert_eq!(shown(answer), shown(&answers[0]));
    }
}

/// What a token says, unproved.
pub fn said(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
