//! DPoP proofs for one request, one token and one key. RFC 9449 has no vectors of its own.

use crate::policy::{RESOURCE, owner};
use crate::token::{PAST, encode, plain};
use aws_lc_rs::digest::{SHA256, digest};
use harness::issuer::corrupt;
use harness::{Alg, Token};
use serde_json::{Value, json};

const REFUSED: Option<&str> = Some("sender_proof_invalid");

/// What all proofs are judged for, and the proofs.
pub fn document() -> Value {
    let token = plain().sign();
    json!({
        "now": PAST, "method": "POST", "url": RESOURCE, "token": token, "thumbprint": thumbprint(),
        "cases": cases(&hash(&token)),
    })
}

fn cases(ath: &str) -> Vec<Value> {
    let sound = || proof(ath);
    let rs = sound().alg(Alg::Rs256).without_header("kid");
    let private = {
        let mut jwk = public(Alg::Es256);
        jwk["d"] = json!(encode([7; 32]));
        jwk
    };
    let cases: Vec<(&str, String, Option<&str>)> = vec![
        ("sound", sound().sign(), None),
        ("a minute old, less a second", sound().claim("iat", PAST - 59).sign(), None),
        (
            "the URL in another spelling",
            sound().claim("htu", "HTTPS://Gateway.Example.com:443/crm/mcp?q=1#f").sign(),
            None,
        ),
        ("a minute old", sound().claim("iat", PAST - 60).sign(), REFUSED),
        ("of the future", sound().claim("iat", PAST + 6).sign(), REFUSED),
        ("without `iat`", sound().without("iat").sign(), REFUSED),
        ("`iat` is a text", sound().claim("iat", PAST.to_string()).sign(), REFUSED),
        ("another method", sound().claim("htm", "GET").sign(), REFUSED),
        ("the method in small letters", sound().claim("htm", "post").sign(), REFUSED),
        ("another path", sound().claim("htu", "https://gateway.example.com/hr/mcp").sign(), REFUSED),
        ("another host", sound().claim("htu", "https://evil.example/crm/mcp").sign(), REFUSED),
        ("another scheme", sound().claim("htu", "http://gateway.example.com/crm/mcp").sign(), REFUSED),
        ("a user in the URL", sound().claim("htu", "https://a@gateway.example.com/crm/mcp").sign(), REFUSED),
        ("another token's hash", sound().claim("ath", hash("other")).sign(), REFUSED),
        ("without the token's hash", sound().without("ath").sign(), REFUSED),
        ("without `jti`", sound().without("jti").sign(), REFUSED),
        ("an empty `jti`", sound().claim("jti", "").sign(), REFUSED),
        ("a `jti` of 257 bytes", sound().claim("jti", "j".repeat(257)).sign(), REFUSED),
        ("an access token's type", sound().header("typ", "at+jwt").sign(), REFUSED),
        ("without a type", sound().without_header("typ").sign(), REFUSED),
        ("without its key", sound().without_header("jwk").sign(), REFUSED),
        ("with its private key", sound().header("jwk", private).sign(), REFUSED),
        ("with a shared key", sound().header("jwk", json!({ "kty": "oct", "k": encode([7; 32]) })).sign(), REFUSED),
        ("with a key for another algorithm", sound().header("jwk", public(Alg::Es384)).sign(), REFUSED),
        ("with a key that says another algorithm", sound().header("jwk", marked("alg", "ES384")).sign(), REFUSED),
        ("with a key for encryption", sound().header("jwk", marked("use", "enc")).sign(), REFUSED),
        ("of a key the token is not bound to", rs.header("jwk", public(Alg::Rs256)).sign(), REFUSED),
        ("signed by another key", sound().sign_foreign(), REFUSED),
        ("with one bit changed", corrupt(&sound().sign()), REFUSED),
        ("unsigned", sound().unsigned(), REFUSED),
        ("signed with a shared key", sound().sign_hmac(b"secret"), REFUSED),
        ("with `crit`", sound().header("crit", json!(["htm"])).sign(), REFUSED),
        ("with `b64: false`", sound().header("b64", false).sign(), REFUSED),
    ];
    cases.into_iter().map(|(name, proof, reason)| case(name, &proof, reason)).collect()
}

fn case(name: &str, proof: &str, reason: Option<&str>) -> Value {
    json!({ "row": "proof", "name": name, "proof": proof, "reason": reason })
}

fn proof(ath: &str) -> Token {
    let token = owner().token().alg(Alg::Es256).without_header("kid");
    let token = token.header("typ", "dpop+jwt").header("jwk", public(Alg::Es256));
    let bare = ["iss", "sub", "client_id", "aud", "nbf", "exp", "scope"].into_iter().fold(token, Token::without);
    bare.claim("iat", PAST).claim("jti", "proof-1").claim("htm", "POST").claim("htu", RESOURCE).claim("ath", ath)
}

/// The holder's key with one member more.
fn marked(name: &str, value: &str) -> Value {
    let mut jwk = public(Alg::Es256);
    jwk[name] = json!(value);
    jwk
}

/// A public key with the members that make it one, and no others.
fn public(alg: Alg) -> Value {
    let mut jwk = owner().jwk(alg);
    let members = jwk.as_object_mut().expect("a key is an object");
    members.retain(|name, _| !matches!(name.as_str(), "use" | "alg" | "kid"));
    jwk
}

/// [RFC 7638 §3](https://www.rfc-editor.org/rfc/rfc7638#section-3): members in the order of their names.
fn thumbprint() -> String {
    hash(&public(Alg::Es256).to_string())
}

fn hash(text: &str) -> String {
    encode(digest(&SHA256, text.as_bytes()))
}
