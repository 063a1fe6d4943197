//! Every other kind of token, signed by the very issuer and offered as an access token.

use crate::case;
use crate::policy::{ANY, CORP};
use crate::token::{PAST, encode, of, parts, plain};
use harness::{Alg, Token};
use serde_json::{Value, json};

/// A kind of token: its name, its `typ`, and what makes it one.
struct Kind {
    name: &'static str,
    typ: &'static str,
    claims: Value,
}

pub fn cases() -> Vec<Value> {
    let mut cases: Vec<Value> = kinds().iter().flat_map(typed).collect();
    cases.extend(untyped());
    let [_, payload, signature] = parts(&plain().sign());
    let header = encode(json!({ "alg": "RSA-OAEP-256", "enc": "A256GCM", "typ": "at+jwt" }).to_string());
    let jwe = format!("{header}.{signature}.{signature}.{payload}.{signature}");
    cases.push(case("cross-kind", "JWE at an issuer of at+jwt", jwe, Some("token_malformed")));
    cases
}

/// The worst of its kind: all an access token has to have is in it as well, so that only the type tells.
fn typed(kind: &Kind) -> Vec<Value> {
    let both = [(CORP, "es256", "an issuer of at+jwt"), (ANY, "any-es256", "an issuer of any type")];
    both.map(|(issuer, kid, whose)| {
        let token = filled(of(issuer, kid, Alg::Es256), &kind.claims).header("typ", kind.typ);
        case("cross-kind", &format!("{} at {whose}", kind.name), token.sign(), Some("token_type"))
    })
    .to_vec()
}

/// Kinds that may say `JWT`, or nothing. Where an issuer's access tokens say no more, their claims have to tell.
fn untyped() -> Vec<Value> {
    let id = json!({ "aud": "agent-1", "nonce": "n-1", "auth_time": PAST, "azp": "agent-1" });
    let logout = json!({ "aud": "agent-1", "events": { "http://schemas.openid.net/event/backchannel-logout": {} } });
    let event = json!({ "events": { "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {} } });
    let bare = |token: Token| ["client_id", "scope"].into_iter().fold(token, Token::without);
    let mut cases = Vec::new();
    for (name, claims, dropped, reason) in [
        ("ID token", &id, &[][..], "token_audience"),
        ("logout token", &logout, &[], "token_audience"),
        ("SET", &event, &["exp"], "token_malformed"),
    ] {
        let made = |issuer: &str, kid: &str, typ: &str| {
            let token = filled(bare(of(issuer, kid, Alg::Es256)), claims).header("typ", typ);
            dropped.iter().fold(token, |token, name| token.without(name))
        };
        let strict = made(CORP, "es256", "JWT").sign();
        cases.push(case("cross-kind", &format!("{name} as JWT at an issuer of at+jwt"), strict, Some("token_type")));
        let silent = made(CORP, "es256", "JWT").without_header("typ").sign();
        cases.push(case("cross-kind", &format!("{name} without a type"), silent, Some("token_type")));
        // The agent is missing before the audience is judged.
        let agentless = made(ANY, "any-es256", "JWT").sign();
        let name = format!("{name} as JWT at an issuer of any type");
        cases.push(case("cross-kind", &name, agentless, Some("token_malformed")));
        let named = made(ANY, "any-es256", "JWT").claim("client_id", "agent-1").sign();
        cases.push(case("cross-kind", &format!("{name}, with a `client_id`"), named, Some(reason)));
    }
    cases
}

fn filled(token: Token, claims: &Value) -> Token {
    let members = claims.as_object().expect("claims are an object");
    members.iter().fold(token, |token, (name, value)| token.claim(name, value.clone()))
}

fn kinds() -> Vec<Kind> {
    let key = json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" });
    let kind = |name, typ, claims| Kind { name, typ, claims };
    vec![
        kind("SET", "secevent+jwt", json!({ "events": {}, "sub_id": { "format": "opaque", "id": "agent-1" } })),
        kind("DPoP proof", "dpop+jwt", json!({ "htm": "POST", "htu": crate::policy::RESOURCE })),
        kind("ID-JAG", "oauth-id-jag+jwt", json!({ "resource": crate::policy::RESOURCE })),
        kind("transaction token", "txntoken+jwt", json!({ "txn": "x-1", "purp": "lookup", "rctx": {} })),
        kind("status list token", "statuslist+jwt", json!({ "status_list": { "bits": 1, "lst": "eNpjAAAAAQAB" } })),
        kind("logout token", "logout+jwt", json!({ "events": {}, "sid": "s-1" })),
        kind("client attestation", "oauth-client-attestation+jwt", json!({ "wallet_name": "agent" })),
        kind("proof of an attested client", "oauth-client-attestation-pop+jwt", json!({ "challenge": "c-1" })),
        kind("introspection response", "token-introspection+jwt", json!({ "token_introspection": { "active": true } })),
        kind("authorization request", "oauth-authz-req+jwt", json!({ "response_type": "code" })),
        kind("key binding", "kb+jwt", json!({ "nonce": "n-1", "sd_hash": "hash" })),
        kind("workload identity token", "wit+jwt", json!({ "cnf": key })),
        kind("workload proof", "wpt+jwt", json!({ "wth": "hash" })),
        kind("entity statement", "entity-statement+jwt", json!({ "jwks": { "keys": [] } })),
    ]
}
