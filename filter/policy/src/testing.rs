//! What the unit tests share: one policy, one issuer, and the tokens it signs.

use std::time::Duration;

use jwt_compact::alg::Ed25519;
use jwt_compact::{Algorithm as _, AlgorithmSignature as _, jwk::JsonWebKey};
use serde_json::{Value, json};

use crate::config;
use crate::feed::Feed;
use crate::nonce::Nonce;
use crate::policy::Policy;
use crate::secret::Secret;
use crate::session::Sessions;
use crate::stream::Gate;
use crate::time::Time;
use crate::token::claims::Claims;
use crate::token::{Proved, Prover, encode};
use crate::wire::audit::Proxy;

pub(crate) const ISSUER: &str = "https://idp.example.test";
pub(crate) const RESOURCE: &str = "https://gateway.example.test/crm/mcp";
pub(crate) const NOW: Time = Time::from_seconds(1_800_000_000);

type Key = <Ed25519 as jwt_compact::Algorithm>::SigningKey;

/// A key that is the same in every run.
fn key(seed: u8) -> Key {
    let seed = ed25519_compact::Seed::new([seed; 32]);
    ed25519_compact::KeyPair::from_seed(seed).sk
}

/// The public half of the issuer's key, as published.
pub(crate) fn jwk() -> Value {
    let mut jwk = json!(JsonWebKey::from(&key(1).public_key()));
    jwk["kid"] = json!("k1");
    jwk
}

/// The public key of a client that signs proofs, of seed 3, and its thumbprint.
pub(crate) fn holder() -> (Value, [u8; 32]) {
    let public = key(3).public_key();
    let jwk = JsonWebKey::from(&public);
    (json!(jwk), jwk.thumbprint::<sha2::Sha256>().into())
}

/// What is known of a token of `agent` that ends `seconds` from now.
pub(crate) fn proved(agent: &str, seconds: u64) -> Proved {
    let policy = policy();
    let issuer = policy.issuer("corp").unwrap();
    let mut claims = claims();
    claims["client_id"] = json!(agent);
    claims["exp"] = json!(NOW.plus(Duration::from_secs(seconds)).seconds());
    let claims = Claims::parse(claims.to_string().as_bytes(), issuer, NOW).unwrap();
    Proved { issuer: ISSUER.into(), name: "corp".into(), claims, key: None, digest: [0; 32], edition: 0 }
}

/// `value` with one member set.
pub(crate) fn with(mut value: Value, name: &str, member: Value) -> Value {
    value[name] = member;
    value
}

/// A policy as JSON, for tests that change a part of it.
pub(crate) fn policy_json() -> Value {
    json!({
        "version": 1,
        "issuers": {
            "corp": { "issuer": ISSUER, "jwks": { "keys": [jwk()] }, "algorithms": ["EdDSA"] }
        },
        "broker": { "cluster": "broker", "authority": "broker.internal" },
        "servers": {
            "crm": {
                "resource": RESOURCE,
                "match": { "host": "gateway.example.test", "path": "/crm/mcp" },
                "protocol": "mcp",
                "issuers": ["corp"],
                "tools": {
                    "crm_lookup": { "scopes": ["crm:read"] },
                    "crm_update": { "scopes": ["crm:read", "crm:write"], "credential": "crm-api" }
                },
                "limits": { "request": "4KiB" }
            }
        }
    })
}

pub(crate) fn policy() -> Policy {
    config::read(policy_json()).unwrap()
}

pub(crate) fn gate() -> Gate {
    let proxy = Proxy { node: "test".into(), worker: None };
    let sessions = Sessions::written(&Secret::new("0123456789abcdef0123456789abcdef")).unwrap();
    Gate::new(policy(), Prover::default(), (Nonce::new([5; 32]), sessions, Feed::offline()), Secret::default(), proxy)
}

/// Claims every rule is content with.
pub(crate) fn claims() -> Value {
    let now = NOW.seconds();
    json!({
        "iss": ISSUER, "aud": RESOURCE, "sub": "alice", "client_id": "agent-7", "scope": "crm:read",
        "jti": "t1", "iat": now, "nbf": now, "exp": NOW.plus(Duration::from_secs(600)).seconds(),
    })
}

/// A token with these claims.
pub(crate) fn token(claims: &Value) -> String {
    sign(r#"{"alg":"EdDSA","kid":"k1","typ":"at+jwt"}"#, &claims.to_string(), 1)
}

/// A token of any text, signed with the key of that seed; 1 is the issuer's.
pub(crate) fn sign(header: &str, payload: &str, seed: u8) -> String {
    let signed = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
    let signature = Ed25519.sign(&key(seed), signed.as_bytes());
    format!("{signed}.{}", encode(&signature.as_bytes()))
}
