//! What has to hold for every input, whatever it is. The fuzz targets and the suite `vectors` share it.
//!
//! Beyond "never panics":
//!
//! - `token`: nothing is proved that the issuer did not sign, and no claims fit that have ended;
//! - `jwks`: a set that is read publishes no private or shared key, and no name twice;
//! - `dpop`: no proof is accepted that the holder of the key did not sign;
//! - `jsonrpc`: what is accepted is the same request to servers that take the first or the last of two members, that know
//!   names without case, and that end them at a NUL;
//! - no input takes longer than [`BOUND`].

mod jsonrpc;

use std::sync::OnceLock;
use std::time::Duration;

use accredit_policy::nonce::Nonce;
use accredit_policy::token::claims::Claims;
use accredit_policy::token::dpop::{self, Demand, Expected};
use accredit_policy::token::jwk::{Reading, Usage};
use accredit_policy::token::{Algorithm, KeySet, Outcome, Prover, encode, native};
use accredit_policy::{Policy, Secret, Time, config};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// How long one input may keep a worker, in its own time. A sanitizer makes everything a few times slower.
pub const BOUND: Duration = Duration::from_millis(100);

const NOW: Time = Time::from_seconds(1_800_000_000);

/// A token; or with a line feed in it a header and claims, under a signature of others.
pub fn token(input: &[u8]) {
    timed(|| {
        let text = String::from_utf8_lossy(input);
        let known = known();
        let server = known.policy.server("crm").expect("the policy has a server");
        let token = framed(&text, &known.tokens);
        if let Outcome::Proved(_) = Prover::default().prove(&Secret::new(&*token), server, &known.policy, NOW, NOW) {
            assert!(signed(&known.tokens, &token), "proves what nobody signed");
        }
        let payload = text.split_once('\n').map_or(&*text, |(_, payload)| payload);
        ["corp", "any", "brief"].iter().for_each(|issuer| claims(payload, issuer, &known.policy));
    });
}

/// A key set.
pub fn jwks(input: &[u8]) {
    timed(|| {
        for usage in [Usage::Signature, Usage::JwtSvid] {
            let reading = Reading { accepted: Algorithm::ALL, usage };
            if KeySet::parse(input, reading).is_ok() {
                let document: Value = serde_json::from_slice(input).expect("what is read is JSON");
                published(document["keys"].as_array().expect("what is read has keys"), reading);
            }
        }
    });
}

/// A proof; or with a line feed in it a header and claims, under a signature of others.
pub fn dpop(input: &[u8]) {
    timed(|| {
        let text = String::from_utf8_lossy(input);
        let known = known();
        let proof = framed(&text, &known.proofs);
        let nonce = Nonce::new([7; 32]);
        for (method, url) in [(&*known.method, &*known.url), ("GET", "https://other.example.com/")] {
            let expected = Expected {
                method,
                url,
                token: &known.token,
                key: &known.key,
                demand: Demand::default(),
                nonce: &nonce,
            };
            if dpop::check(&proof, &expected, native::absent, known.now).is_ok() {
                assert!(signed(&known.proofs, &proof), "accepts what the holder did not sign");
                assert_eq!(method, known.method, "accepts a proof for another request");
            }
        }
    });
}

/// A request's body, behind its `Mcp-Name` and a form feed if that is to be another one than the body's.
pub fn jsonrpc(input: &[u8]) {
    timed(|| jsonrpc::judge(input));
}

/// Reads claims as if their signature held.
fn claims(payload: &str, issuer: &str, policy: &Policy) {
    let (issuer, server) = (policy.issuer(issuer).expect("it is in the policy"), policy.server("crm").expect("it is"));
    let Ok(claims) = Claims::parse(payload.as_bytes(), issuer, NOW) else { return };
    if claims.addressed(server).is_ok() && claims.current(issuer, NOW).is_ok() {
        let said: Value = serde_json::from_str(payload).expect("what is read is JSON");
        let late = said["exp"].as_f64().expect("what fits has an end") + issuer.clock_skew.as_secs_f64();
        assert!(late >= NOW.seconds() as f64, "fits after its end");
        assert!(said.to_string().contains(server.resource.as_str()), "fits a server it does not name");
    }
}

/// What a set that is read may hold.
fn published(keys: &[Value], reading: Reading<'_>) {
    let usable: Vec<&Value> =
        keys.iter().filter(|key| KeySet::read(std::slice::from_ref(key), reading).is_ok()).collect();
    assert!(!usable.is_empty() && keys.len() <= 100);
    for key in keys {
        let secret = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| key.get(name).is_some());
        assert!(!secret && key["kty"] != "oct", "reads a set with a private or shared key");
    }
    let mut names: Vec<&str> = usable.iter().filter_map(|key| key["kid"].as_str()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "reads a set with one name for two keys");
}

/// What was signed, and by whom.
struct Known {
    policy: Policy,
    /// The good tokens, and the good proofs.
    tokens: Vec<String>,
    proofs: Vec<String>,
    /// What the proofs are for.
    method: String,
    url: String,
    token: [u8; 32],
    key: [u8; 32],
    now: Time,
}

fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let document: Value = serde_json::from_str(include_str!("../vectors/attacks.json")).expect("it is JSON");
        let proofs = &document["proofs"];
        let text = |name: &str| proofs[name].as_str().expect("it is a text").to_owned();
        let key = URL_SAFE_NO_PAD.decode(text("thumbprint")).expect("it is base64url");
        Known {
            policy: config::read(document["policy"].clone()).expect("it is a policy"),
            tokens: good(&document["cases"], "token"),
            proofs: good(&proofs["cases"], "proof"),
            method: text("method"),
            url: text("url"),
            token: Sha256::digest(text("token")).into(),
            key: key.try_into().expect("it is a digest"),
            now: Time::from_seconds(proofs["now"].as_u64().expect("it is a time")),
        }
    })
}

fn good(cases: &Value, name: &str) -> Vec<String> {
    let cases = cases.as_array().expect("there are cases").iter().filter(|case| case["reason"].is_null());
    cases.map(|case| case[name].as_str().expect("it is a text").to_owned()).collect()
}

/// Whether the issuer or the holder signed this header and payload. The signature itself may be another one: with ECDSA
/// everyone can make a second out of the first.
fn signed(good: &[String], token: &str) -> bool {
    good.iter().any(|one| message(one) == message(token))
}

fn message(token: &str) -> &str {
    token.rsplit_once('.').map_or(token, |(message, _)| message)
}

/// Header and claims as a token, so that mutations need not get through base64.
fn framed(text: &str, good: &[String]) -> String {
    let Some((header, payload)) = text.split_once('\n') else { return text.to_owned() };
    let signature = good.first().and_then(|token| token.rsplit('.').next()).unwrap_or_default();
    format!("{}.{}.{signature}", encode(header.as_bytes()), encode(payload.as_bytes()))
}

fn timed(work: impl FnOnce()) {
    known();
    let before = worked();
    work();
    let took = worked().saturating_sub(before);
    assert!(took < BOUND, "takes {took:?}");
}

fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanoseconds = u32::try_from(time.tv_nsec).expect("it is less than a second");
    Duration::new(u64::try_from(time.tv_sec).expect("it is positive"), nanoseconds)
}
