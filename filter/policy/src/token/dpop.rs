//! DPoP proofs: that the sender of a token holds the key it is bound to.
//!
//! [RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)

use std::time::Duration;

use fluent_uri::Uri;
use serde_json::{Map, Value};

use super::claims;
use super::jwk;
use super::jws::{Compact, Header};
use super::native::Native;
use super::typ::Typ;
use super::{Refusal, base64url};
use crate::denial::Reason;
use crate::nonce::Nonce;
use crate::time::Time;

/// How far the clock of a client may be ahead.
const AHEAD: Duration = Duration::from_secs(5);

/// The longest `jti`, in bytes.
const JTI: usize = 256;

/// What a server asks of proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// How old a proof may be.
    pub max_age: Duration,
    /// Whether it has to hold a nonce of ours.
    pub nonce: bool,
}

impl Default for Demand {
    fn default() -> Self {
        Self { max_age: Duration::from_secs(60), nonce: false }
    }
}

/// The request a proof has to be for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its public URL, without query.
    pub url: &'a str,
    /// SHA-256 of the token it comes with.
    pub token: &'a [u8; 32],
    /// The thumbprint the token is bound to.
    pub key: &'a [u8; 32],
    /// What the server asks for.
    pub demand: Demand,
    /// The nonces in force.
    pub nonce: &'a Nonce,
}

/// A proof in order. Its holder gave it a name, under which it may be seen once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Its `jti`.
    pub id: String,
    /// When it was made, as its holder says.
    pub made: Time,
}

/// Checks a proof that comes with a token: everything but whether it was seen before.
///
/// [RFC 9449 §4.3](https://www.rfc-editor.org/rfc/rfc9449#section-4.3), checks 2 to 12; the caller has made sure of check 1,
/// that there is one proof.
pub fn check(proof: &str, expected: &Expected<'_>, native: Native, now: Time) -> Result<Proof, Refusal> {
    let (claims, _) = signed(proof, Some(expected.key), native)?;
    made_for(&claims, expected.method, expected.url)?;
    let ath = claims.get("ath").and_then(Value::as_str).and_then(base64url);
    if ath.as_deref() != Some(&expected.token[..]) {
        return refuse("`ath` is not the token's hash");
    }
    let proof = fresh(&claims, expected.demand.max_age, now)?;
    if expected.demand.nonce {
        let nonce = claims.get("nonce").and_then(Value::as_str);
        match nonce.map(|nonce| expected.nonce.accepts(nonce, now)) {
            Some(true) => {}
            _ => return Err(Refusal::new(Reason::SenderNonce, "`nonce` is missing or not one in force")),
        }
    }
    Ok(proof)
}

/// Checks a proof that comes with a request for a token, whose method and URL are given: everything but whether it was seen
/// before. Out comes the thumbprint of its key too, which the token has to be bound to.
///
/// [RFC 9449 §5](https://www.rfc-editor.org/rfc/rfc9449#section-5)
pub fn offered(
    proof: &str,
    (method, url): (&str, &str),
    native: Native,
    now: Time,
) -> Result<(Proof, [u8; 32]), Refusal> {
    let (claims, key) = signed(proof, None, native)?;
    made_for(&claims, method, url)?;
    Ok((fresh(&claims, Demand::default().max_age, now)?, key))
}

/// Takes the proof apart and checks its signature with the key it carries, which has to be `bound` where a token is bound
/// already. Out: what it says, and its key's thumbprint.
fn signed(proof: &str, bound: Option<&[u8; 32]>, native: Native) -> Result<(Map<String, Value>, [u8; 32]), Refusal> {
    let own = |refusal: Refusal| invalid(refusal.note);
    let compact = Compact::parse(proof).map_err(own)?;
    let header = Header::read(&compact.parameters).map_err(own)?;
    Typ::new("dpop+jwt").check(header.typ.as_deref()).map_err(|_| invalid("`typ` is not a proof's"))?;
    let carried = compact.parameters.get("jwk").and_then(Value::as_object);
    let carried = carried.and_then(|jwk| jwk::carried(jwk, header.algorithm));
    let (verifier, thumbprint) = carried.ok_or(invalid("`jwk` is not a strong public key for `alg`"))?;
    if bound.is_some_and(|bound| *bound != thumbprint) {
        return refuse("the proof's key is not the one the token is bound to");
    }
    if !verifier.accepts(&compact.signature, compact.signed.as_bytes(), native) {
        return refuse("the signature does not hold");
    }
    Ok((claims::object(&compact.payload).map_err(own)?, thumbprint))
}

/// Whether the proof is for this request.
fn made_for(claims: &Map<String, Value>, method: &str, url: &str) -> Result<(), Refusal> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("htm") != Some(method) {
        return refuse("`htm` is not the request's method");
    }
    // Two URLs that cannot be read are not the same one.
    let url = normal(url).ok_or(invalid("the request's URL is none a proof can be for"))?;
    match text("htu").and_then(normal) == Some(url) {
        true => Ok(()),
        false => refuse("`htu` is not the request's URL"),
    }
}

/// The proof's name, if it is young enough to be remembered by it.
fn fresh(claims: &Map<String, Value>, max_age: Duration, now: Time) -> Result<Proof, Refusal> {
    let made = window(claims, max_age, now)?;
    let id = claims.get("jti").and_then(Value::as_str).filter(|id| (1..=JTI).contains(&id.len()));
    let id = id.ok_or(invalid("`jti` is missing, empty or too long"))?;
    Ok(Proof { id: id.to_owned(), made })
}

/// Judges when the proof was made, and returns it.
fn window(claims: &Map<String, Value>, max_age: Duration, now: Time) -> Result<Time, Refusal> {
    let made = claims::date(claims, "iat").ok().flatten().ok_or(invalid("`iat` is missing or no time"))?;
    if made > now.plus(AHEAD) {
        return refuse("`iat` is in the future");
    }
    if now >= made.plus(max_age) {
        return refuse("the proof is too old");
    }
    Ok(made)
}

/// A URL without query and fragment, in the normal form of
/// [RFC 3986 §6.2.2 and §6.2.3](https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2).
fn normal(url: &str) -> Option<String> {
    let bare = url.split(['?', '#']).next()?;
    let uri = Uri::parse(bare).ok()?.normalize();
    let plain = uri.authority().is_some_and(|authority| !authority.has_userinfo());
    let rooted = if uri.path().is_empty() { format!("{uri}/") } else { uri.to_string() };
    plain.then_some(rooted)
}

fn invalid(note: &'static str) -> Refusal {
    Refusal::new(Reason::SenderProofInvalid, note)
}

fn refuse<T>(note: &'static str) -> Result<T, Refusal> {
    Err(invalid(note))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{encode, native};
    use super::*;
    use crate::testing::{NOW, holder, sign};

    const URL: &str = "https://gateway.example.test/crm/mcp";

    /// The claims of a proof nothing is wrong with.
    fn claims() -> Value {
        json!({ "htm": "POST", "htu": URL, "iat": NOW.seconds(), "jti": "p1", "ath": encode(&[9; 32]) })
    }

    fn header() -> Value {
        json!({ "alg": "EdDSA", "typ": "dpop+jwt", "jwk": holder().0 })
    }

    fn verdict(header: &Value, claims: &Value, seed: u8, demand: Demand) -> Result<Proof, Refusal> {
        let key = holder().1;
        let nonce = Nonce::new([5; 32]);
        let expected = Expected { method: "POST", url: URL, token: &[9; 32], key: &key, demand, nonce: &nonce };
        let proof = sign(&header.to_string(), &claims.to_string(), seed);
        check(&proof, &expected, native::absent, NOW)
    }

    fn judge(header: &Value, claims: &Value) -> Option<Reason> {
        verdict(header, claims, 3, Demand::default()).err().map(|refusal| refusal.reason)
    }

    #[test]
    fn a_proof_for_this_request_holds() {
        assert_eq!(judge(&header(), &claims()), None);
        let mut other = header();
        other["typ"] = json!("application/DPoP+JWT");
        other["alg"] = json!("Ed25519");
        assert_eq!(judge(&other, &claims()), None);
    }

    #[test]
    fn each_claim_has_to_fit() {
        let now = NOW.seconds();
        for (name, value) in [
            ("htm", json!("post")),
            ("htm", json!("GET")),
            ("htm", Value::Null),
            ("htu", json!("https://gateway.example.test/crm")),
            ("htu", json!("http://gateway.example.test/crm/mcp")),
            ("htu", json!("https://gateway.example.test:8443/crm/mcp")),
            ("htu", json!("https://u@gateway.example.test/crm/mcp")),
            ("htu", json!("https://gateway.example.test/crm%2Fmcp")),
            ("htu", json!("/crm/mcp")),
            ("htu", Value::Null),
            ("ath", json!(encode(&[8; 32]))),
            ("ath", json!(encode(&[9; 31]))),
            ("ath", Value::Null),
            ("iat", json!(now - 60)),
            ("iat", json!(now + 6)),
            ("iat", json!("now")),
            ("iat", Value::Null),
            ("jti", json!("")),
            ("jti", json!("x".repeat(257))),
            ("jti", json!(1)),
            ("jti", Value::Null),
        ] {
            let mut claims = claims();
            claims[name] = value.clone();
            assert_eq!(judge(&header(), &claims), Some(Reason::SenderProofInvalid), "{name} {value}");
        }
    }

    #[test]
    fn a_url_counts_in_its_normal_form_and_without_its_query() {
        for url in [
            "HTTPS://Gateway.Example.Test:443/crm/mcp",
            "https://gateway.example.test/crm/./x/../mcp",
            "https://gateway.example.test/%63rm/mcp?a=b#c",
        ] {
            let mut claims = claims();
            claims["htu"] = json!(url);
            assert_eq!(judge(&header(), &claims), None, "{url}");
        }
        assert_eq!(normal("https://gw"), normal("https://gw:443/"));
    }

    #[test]
    fn a_url_that_cannot_be_read_is_no_ones() {
        let (key, nonce) = (holder().1, Nonce::new([5; 32]));
        for url in ["https://gateway.example.test/agents/a|b", "https://gateway.example.test/%zz", ""] {
            for htu in [json!(url), json!("https://evil.example.test/^"), json!("?"), Value::Null] {
                let mut claims = claims();
                claims["htu"] = htu.clone();
                let demand = Demand::default();
                let expected = Expected { method: "POST", url, token: &[9; 32], key: &key, demand, nonce: &nonce };
                let proof = sign(&header().to_string(), &claims.to_string(), 3);
                assert!(check(&proof, &expected, native::absent, NOW).is_err(), "{url} {htu}");
            }
        }
    }

    #[test]
    fn the_header_has_to_be_a_proofs() {
        let with = |name: &str, value: Value| {
            let mut header = header();
            header[name] = value;
            header
        };
        let private = {
            let mut jwk = holder().0;
            jwk["d"] = json!("AAAA");
            jwk
        };
        for header in [
            with("typ", json!("JWT")),
            with("typ", json!("at+jwt")),
            with("alg", json!("none")),
            with("alg", json!("HS256")),
            with("alg", json!("ES256")),
            with("crit", json!(["x"])),
            with("jku", json!("https://evil.example")),
            with("jwk", private),
            with("jwk", json!("key")),
            with("jwk", crate::testing::jwk()),
            json!({ "alg": "EdDSA", "typ": "dpop+jwt" }),
        ] {
            assert_eq!(judge(&header, &claims()), Some(Reason::SenderProofInvalid), "{header}");
        }
        let foreign = verdict(&header(), &claims(), 1, Demand::default()).unwrap_err();
        assert_eq!(foreign.note, "the signature does not hold");
    }

    #[test]
    fn a_nonce_is_asked_for_where_the_server_does() {
        let demand = Demand { nonce: true, ..Demand::default() };
        let mut claims = claims();
        assert_eq!(verdict(&header(), &claims, 3, demand).unwrap_err().reason, Reason::SenderNonce);
        claims["nonce"] = json!("made-up");
        assert_eq!(verdict(&header(), &claims, 3, demand).unwrap_err().reason, Reason::SenderNonce);
        claims["nonce"] = json!(Nonce::new([5; 32]).current(NOW));
        assert!(verdict(&header(), &claims, 3, demand).is_ok());
    }

    #[test]
    fn a_proof_without_a_token_tells_the_key_to_bind_to() {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove("ath");
        let offer = |claims: &Value, url: &str, seed: u8| {
            let proof = sign(&header().to_string(), &claims.to_string(), seed);
            offered(&proof, ("POST", url), native::absent, NOW).ok()
        };
        assert_eq!(offer(&claims, URL, 3), Some((Proof { id: "p1".into(), made: NOW }, holder().1)));
        assert_eq!(offer(&claims, "https://gateway.example.test/token", 3), None, "another URL");
        assert_eq!(offer(&claims, URL, 1), None, "another key's signature");
        for (name, value) in [("htm", json!("GET")), ("iat", json!(NOW.seconds() - 60)), ("jti", json!(""))] {
            let mut claims = claims.clone();
            claims[name] = value;
            assert_eq!(offer(&claims, URL, 3), None, "{name}");
        }
    }

    #[test]
    fn a_proof_says_its_name_and_when_it_was_made() {
        let fresh = |claims: &Value| verdict(&header(), claims, 3, Demand::default()).unwrap();
        let mut later = claims();
        later["iat"] = json!(NOW.seconds() - 10);
        assert_eq!(fresh(&claims()), Proof { id: "p1".into(), made: NOW });
        assert_eq!(fresh(&later), Proof { id: "p1".into(), made: Time::from_seconds(NOW.seconds() - 10) });
    }
}
