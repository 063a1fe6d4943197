//! One policy for all cases: each issuer is strict in another way.

use crate::token::jwk;
use harness::{Alg, Issuer};
use serde_json::{Value, json};

pub const RESOURCE: &str = "https://gateway.example.com/crm/mcp";

/// Signs with all nine algorithms.
pub const CORP: &str = "https://corp.example.com";
/// Gives its tokens no type of their own.
pub const ANY: &str = "https://any.example.com";
/// Signs with ES256, and publishes an RSA key all the same.
pub const NARROW: &str = "https://narrow.example.com";
/// Signs with PS256, and does not say so in its RSA key.
pub const PSS: &str = "https://pss.example.com";
/// Has two keys for one algorithm.
pub const TWIN: &str = "https://twin.example.com";
/// Issues for an hour.
pub const BRIEF: &str = "https://brief.example.com";
/// Is in the policy, but not accepted by the server.
pub const STRANGER: &str = "https://stranger.example.com";

pub fn policy() -> Value {
    let all: Vec<Value> = Alg::ALL.iter().map(|alg| jwk(&alg.name().to_lowercase(), *alg)).collect();
    let names: Vec<&str> = Alg::ALL.iter().map(|alg| alg.name()).collect();
    let one = |kid: &str| vec![jwk(kid, Alg::Es256)];
    let mut any = issuer(ANY, &["ES256"], one("any-es256"));
    any["typ"] = json!("any");
    let mut unnamed = jwk("pss-rsa", Alg::Ps256);
    unnamed.as_object_mut().expect("it is an object").remove("alg");
    let mut brief = issuer(BRIEF, &["ES256"], one("brief-es256"));
    brief["max_token_lifetime"] = json!("1h");
    json!({
        "version": 1,
        "issuers": {
            "corp": issuer(CORP, &names, all),
            "any": any,
            "narrow": issuer(NARROW, &["ES256"], [one("narrow-es256"), vec![jwk("narrow-rs256", Alg::Rs256)]].concat()),
            "pss": issuer(PSS, &["PS256"], vec![unnamed]),
            "twin": issuer(TWIN, &["ES256"], [one("twin-1"), one("twin-2")].concat()),
            "brief": brief,
            "stranger": issuer(STRANGER, &["ES256"], one("stranger-es256")),
        },
        "broker": { "cluster": "broker", "authority": "broker.internal" },
        "servers": {
            "crm": {
                "resource": RESOURCE,
                "match": { "host": "gateway.example.com", "path": "/crm/mcp" },
                "protocol": "mcp",
                "issuers": ["corp", "any", "narrow", "pss", "twin", "brief"],
                "tools": { "crm_lookup": { "scopes": ["crm:read"] } },
            },
        },
    })
}

fn issuer(url: &str, algorithms: &[&str], keys: Vec<Value>) -> Value {
    json!({ "issuer": url, "algorithms": algorithms, "jwks": { "keys": keys }, "max_token_lifetime": "876000h" })
}

/// The keys' owner; whose name it has does not matter.
pub fn owner() -> Issuer {
    Issuer::new(CORP)
}
