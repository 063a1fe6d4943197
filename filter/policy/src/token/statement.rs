//! Signed objects that are proved with keys the caller holds: our own tokens, and what clients sign.

use serde_json::{Map, Value};

use super::alg::Algorithm;
use super::jwk::KeySet;
use super::jws::Compact;
use super::native::Native;
use super::{Refusal, claims, typ};
use crate::denial::Reason;

/// Whose signature counts, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// Its public keys.
    pub keys: &'a KeySet,
    /// Keys of nobody, tried where it has none that fits, for the time that takes.
    pub decoys: &'a KeySet,
    /// The algorithms it may use.
    pub algorithms: &'a [Algorithm],
    /// The media types that are expected, in lower case and without `application/`; `None` for an object without one.
    pub types: &'a [Option<&'a str>],
}

/// Takes `text` apart, checks its signature, and gives what it says: one strict object, of which nothing was judged yet.
///
/// [RFC 7515 §5.2](https://www.rfc-editor.org/rfc/rfc7515#section-5.2), with the rules for all our tokens: no `crit`, no key
/// of its own, no name twice.
pub fn open(text: &str, signer: &Signer<'_>, native: Native) -> Result<Map<String, Value>, Refusal> {
    let compact = Compact::parse(text)?;
    let header = compact.header()?;
    let named = header.typ.as_deref().map(typ::bare);
    if !signer.types.contains(&named.as_deref()) {
        return Err(Refusal::new(Reason::TokenType, "`typ` is not the expected one"));
    }
    if !signer.algorithms.contains(&header.algorithm) {
        return Err(Refusal::new(Reason::TokenAlgorithm, "the signer may not use this algorithm"));
    }
    let key = signer.keys.find(header.key.as_deref(), header.algorithm);
    let tried = key.or_else(|| signer.decoys.find(None, header.algorithm));
    let holds = tried.is_some_and(|key| key.verifier().accepts(&compact.signature, compact.signed.as_bytes(), native));
    match (key, holds) {
        (Some(_), true) => claims::object(&compact.payload),
        (Some(_), false) => Err(Refusal::new(Reason::TokenSignature, "the signature does not hold")),
        (None, _) => Err(Refusal::new(Reason::TokenKeyUnknown, "no key of the signer fits")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::jwk::{Reading, Usage};
    use super::super::native;
    use super::*;
    use crate::testing::{jwk, sign};

    const HEADER: &str = r#"{"alg":"EdDSA","kid":"k1","typ":"at+jwt"}"#;

    fn verdict(text: &str, algorithms: &[Algorithm]) -> Result<Map<String, Value>, Reason> {
        let keys = KeySet::read(&[jwk()], Reading { accepted: algorithms, usage: Usage::Signature }).unwrap();
        let signer = Signer { keys: &keys, decoys: &KeySet::default(), algorithms, types: &[Some("at+jwt")] };
        open(text, &signer, native::absent).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn what_the_signer_said_comes_out() {
        let said = verdict(&sign(HEADER, r#"{"a":1}"#, 1), &[Algorithm::EdDsa]).unwrap();
        assert_eq!(Value::Object(said), json!({ "a": 1 }));
    }

    #[test]
    fn a_decoy_signs_for_nobody() {
        let reading = Reading { accepted: &[Algorithm::EdDsa], usage: Usage::Signature };
        let decoys = KeySet::read(&[jwk()], reading).unwrap();
        let (keys, algorithms) = (KeySet::default(), &[Algorithm::EdDsa]);
        let signer = Signer { keys: &keys, decoys: &decoys, algorithms, types: &[Some("at+jwt")] };
        let verdict = open(&sign(HEADER, "{}", 1), &signer, native::absent);
        assert_eq!(verdict.unwrap_err().reason, Reason::TokenKeyUnknown);
    }

    #[test]
    fn each_step_can_refuse() {
        for (reason, header, payload, seed, algorithms) in [
            (Reason::TokenType, r#"{"alg":"EdDSA","kid":"k1"}"#, "{}", 1, &[Algorithm::EdDsa]),
            (Reason::TokenType, r#"{"alg":"EdDSA","kid":"k1","typ":"JWT"}"#, "{}", 1, &[Algorithm::EdDsa]),
            (Reason::TokenAlgorithm, HEADER, "{}", 1, &[Algorithm::Es256]),
            (Reason::TokenKeyUnknown, r#"{"alg":"EdDSA","kid":"k2","typ":"at+jwt"}"#, "{}", 1, &[Algorithm::EdDsa]),
            (Reason::TokenSignature, HEADER, "{}", 3, &[Algorithm::EdDsa]),
            (Reason::TokenMalformed, HEADER, r#"{"a":1,"a":2}"#, 1, &[Algorithm::EdDsa]),
            (Reason::TokenMalformed, r#"{"alg":"EdDSA","typ":"at+jwt","crit":["a"]}"#, "{}", 1, &[Algorithm::EdDsa]),
            (Reason::TokenMalformed, r#"{"alg":"EdDSA","typ":"at+jwt","jwk":{}}"#, "{}", 1, &[Algorithm::EdDsa]),
        ] {
            assert_eq!(verdict(&sign(header, payload, seed), algorithms), Err(reason), "{header} {payload}");
        }
    }
}
