//! The media type of a token, so that one kind cannot pass for another.

use super::Refusal;
use crate::denial::Reason;

/// Which `typ` an issuer's tokens must carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typ {
    /// Every type, and none at all. Has to be spelled out in the policy.
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

    /// Judges the `typ` of a header.
    ///
    /// [RFC 7515 §4.1.9](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.9): a value without `/` stands for
    /// `application/` and itself, and media types compare without case.
    pub fn check(&self, typ: Option<&str>) -> Result<(), Refusal> {
        match self {
            Self::Any => Ok(()),
            Self::Only(wanted) if typ.map(bare).as_ref() == Some(wanted) => Ok(()),
            Self::Only(_) => Err(Refusal::new(Reason::TokenType, "`typ` is not an access token's")),
        }
    }
}

fn bare(text: &str) -> String {
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
        assert!(Typ::new("any").check(None).is_ok());
    }
}
