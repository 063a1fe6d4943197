//! `cnf`: which key the sender of a token has to hold.

use serde_json::{Map, Value};

use super::{Refusal, base64url};
use crate::denial::Reason;

/// What a token is bound to. At least one of the two is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// The SHA-256 thumbprint of the key that signs DPoP proofs.
    ///
    /// [RFC 9449 §6.1](https://www.rfc-editor.org/rfc/rfc9449#section-6.1)
    pub key: Option<[u8; 32]>,
    /// The SHA-256 of the client certificate's DER.
    ///
    /// [RFC 8705 §3.1](https://www.rfc-editor.org/rfc/rfc8705#section-3.1)
    pub certificate: Option<[u8; 32]>,
}

impl Confirmation {
    /// Reads the claim `cnf`; `None` for a token that is not bound.
    ///
    /// [RFC 7800 §3.1](https://www.rfc-editor.org/rfc/rfc7800#section-3.1) lets one ignore members one does not know.
    /// Where no other is there, that would make a bearer token of a bound one, so such a token is refused.
    pub fn read(claims: &Map<String, Value>) -> Result<Option<Self>, Refusal> {
        let Some(value) = claims.get("cnf") else {
            return Ok(None);
        };
        let broken = || Refusal::new(Reason::TokenMalformed, "`cnf` cannot be read");
        let members = value.as_object().ok_or_else(broken)?;
        let digest = |name| match members.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().and_then(sha256).map(Some).ok_or_else(broken),
        };
        let (key, certificate) = (digest("jkt")?, digest("x5t#S256")?);
        match (key, certificate) {
            (None, None) => Err(Refusal::new(Reason::SenderUnbound, "`cnf` binds in a way that is not known here")),
            _ => Ok(Some(Self { key, certificate })),
        }
    }
}

/// A SHA-256 digest in base64url.
fn sha256(text: &str) -> Option<[u8; 32]> {
    base64url(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(claims: Value) -> Result<Option<Confirmation>, Reason> {
        Confirmation::read(claims.as_object().unwrap()).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn reads_the_two_bindings_that_can_be_checked() {
        let zeros = super::super::encode(&[0; 32]);
        let both = json!({ "cnf": { "jkt": zeros, "x5t#S256": zeros, "kid": "k" } });
        let confirmation = read(both).unwrap().unwrap();
        assert_eq!((confirmation.key, confirmation.certificate), (Some([0; 32]), Some([0; 32])));
        assert_eq!(read(json!({})), Ok(None));
    }

    #[test]
    fn a_binding_that_cannot_be_checked_is_not_ignored() {
        for cnf in [json!({}), json!({ "jwk": {} }), json!({ "kid": "k" })] {
            assert_eq!(read(json!({ "cnf": cnf })), Err(Reason::SenderUnbound), "{cnf}");
        }
        let hex = "0".repeat(64);
        for cnf in [json!(null), json!("k"), json!({ "jkt": 1 }), json!({ "jkt": "AA" }), json!({ "x5t#S256": hex })] {
            assert_eq!(read(json!({ "cnf": cnf })), Err(Reason::TokenMalformed), "{cnf}");
        }
    }
}
