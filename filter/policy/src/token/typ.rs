//! The media type of a token, so that one kind cannot pass for another.

use super::Refusal;
use crate::denial::Reason;

/// Which `typ` an issuer's tokens must carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typ {
    /// Every type, and none at all, but those that say they are something else. Has to be spelled out in the policy.
    Any,
    /// This media type, without `application/`, in lower case.
    Only(String),
}

impl Typ {
    /// Reads the policy's word for it.
    pub fn new(text: &str) -> Self {
        match text {
            "any" => Self::Any,
            _ => Self::Only(bare(text)),
        }
    }

    /// Whether the issuer's tokens are access tokens of RFC 9068.
    pub fn is_access_token(&self) -> bool {
        *self == Self::Only("at+jwt".into())
    }

    /// Judges the `typ` of a header.
    ///
    /// [RFC 7515 §4.1.9](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.9): a value without `/` stands for
    /// `application/` and itself, and media types compare without case.
    pub fn check(&self, typ: Option<&str>) -> Result<(), Refusal> {
        match self {
            Self::Any if typ.map(bare).is_none_or(|typ| !FOREIGN.contains(&typ.as_str())) => Ok(()),
            Self::Any => Err(Refusal::new(Reason::TokenType, "`typ` is another kind of token's")),
            Self::Only(wanted) if typ.map(bare).as_ref() == Some(wanted) => Ok(()),
            Self::Only(_) => Err(Refusal::new(Reason::TokenType, "`typ` is not an access token's")),
        }
    }
}

/// Kinds of token that are never access tokens, whatever an issuer's tokens look like.
///
/// [RFC 8725 §3.11](https://www.rfc-editor.org/rfc/rfc8725#section-3.11); the names are in the media types registry and in
/// the drafts that define them.
const FOREIGN: &[&str] = &[
    "dpop+jwt",
    "entity-statement+jwt",
    "introspection+jwt",
    "token-introspection+jwt",
    "kb+jwt",
    "logout+jwt",
    "oauth-authz-req+jwt",
    "oauth-client-attestation+jwt",
    "oauth-client-attestation-pop+jwt",
    "oauth-id-jag+jwt",
    "secevent+jwt",
    "statuslist+jwt",
    "txntoken+jwt",
    "wit+jwt",
    "wpt+jwt",
];

/// A media type as it is compared.
pub(super) fn bare(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    lower.strip_prefix("application/").map_or(lower.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_tokens_pass_under_both_spellings() {
        let typ = Typ::new("at+jwt");
        assert!(typ.check(Some("at+jwt")).is_ok());
        assert!(typ.check(Some("application/AT+JWT")).is_ok());
    }

    #[test]
    fn other_kinds_of_token_do_not_pass() {
        let typ = Typ::new("at+jwt");
        for other in [None, Some("JWT"), Some("dpop+jwt"), Some("secevent+jwt"), Some("text/at+jwt"), Some("")] {
            assert_eq!(typ.check(other).unwrap_err().reason, Reason::TokenType, "{other:?}");
        }
    }

    #[test]
    fn any_type_is_none_that_says_it_is_something_else() {
        let any = Typ::new("any");
        for typ in [None, Some("JWT"), Some("at+jwt"), Some("anything")] {
            assert!(any.check(typ).is_ok(), "{typ:?}");
        }
        for typ in FOREIGN.iter().copied().chain(["application/SecEvent+JWT"]) {
            assert_eq!(any.check(Some(typ)).unwrap_err().reason, Reason::TokenType, "{typ}");
        }
    }
}
