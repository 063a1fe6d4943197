//! What a token is bound to: a key its holder has proved to have, the certificate of its connection, both, or nothing.

use accredit_policy::token::confirmation::Confirmation;
use accredit_policy::token::encode;
use serde_json::{Map, Value, json};

/// Keys the sender of a request has proved to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bond {
    /// The thumbprint of the key of its DPoP proof.
    pub key: Option<[u8; 32]>,
    /// The SHA-256 of its client certificate.
    pub certificate: Option<[u8; 32]>,
}

impl Bond {
    /// The claim `cnf` of a token that is bound.
    ///
    /// [RFC 9449 §6.1](https://www.rfc-editor.org/rfc/rfc9449#section-6.1),
    /// [RFC 8705 §3.1](https://www.rfc-editor.org/rfc/rfc8705#section-3.1)
    pub fn cnf(&self) -> Option<Value> {
        let members = [("jkt", self.key), ("x5t#S256", self.certificate)];
        let bound = members.into_iter().filter_map(|(name, digest)| Some((name.to_owned(), json!(encode(&digest?)))));
        Some(bound.collect::<Map<_, _>>()).filter(|members| !members.is_empty()).map(Value::Object)
    }

    /// The `token_type` of the answer.
    ///
    /// [RFC 9449 §5](https://www.rfc-editor.org/rfc/rfc9449#section-5)
    pub fn token_type(&self) -> &'static str {
        if self.key.is_some() { "DPoP" } else { "Bearer" }
    }

    /// Whether the sender is who a token with this `cnf` is bound to. That is how it counts, an agent's own token as one it
    /// has received: what is bound to another's key is no one else's to exchange.
    ///
    /// [RFC 9449 §6](https://www.rfc-editor.org/rfc/rfc9449#section-6),
    /// [RFC 8705 §3](https://www.rfc-editor.org/rfc/rfc8705#section-3)
    pub fn covers(&self, bound: Option<&Confirmation>) -> bool {
        bound.is_none_or(|bound| {
            (bound.key.is_none() || bound.key == self.key)
                && (bound.certificate.is_none() || bound.certificate == self.certificate)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_what_it_is_bound_to() {
        assert_eq!((Bond::default().cnf(), Bond::default().token_type()), (None, "Bearer"));
        let certificate = Bond { key: None, certificate: Some([0; 32]) };
        assert_eq!(certificate.cnf(), Some(json!({ "x5t#S256": encode(&[0; 32]) })));
        assert_eq!(certificate.token_type(), "Bearer");
        let both = Bond { key: Some([1; 32]), ..certificate };
        assert_eq!(both.cnf(), Some(json!({ "jkt": encode(&[1; 32]), "x5t#S256": encode(&[0; 32]) })));
        assert_eq!(both.token_type(), "DPoP");
    }
}
