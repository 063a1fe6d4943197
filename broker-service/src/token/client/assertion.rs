//! Assertions signed with the client's own key.
//!
//! [RFC 7523 §2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2)

use accredit_policy::token::assertion::{self, ALGORITHMS, Assertion, Expected};
use accredit_policy::token::jwk::{BadKeySet, Reading, Usage};
use accredit_policy::token::{KeySet, hex, native};
use sha2::{Digest as _, Sha256};

use super::{Failure, Shown};
use crate::app::App;
use crate::clock;

/// [RFC 7523 §8.1](https://www.rfc-editor.org/rfc/rfc7523#section-8.1)
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Keys of nobody, one for each algorithm a client may use; the private halves were thrown away.
///
/// An assertion of a client that is not known is checked with them, so that it takes as long as that of one that is.
pub fn decoys() -> Result<KeySet, BadKeySet> {
    let reading = Reading { accepted: ALGORITHMS, usage: Usage::Signature };
    KeySet::parse(include_bytes!("decoys.json"), reading)
}

/// Reads an assertion and its `kind`; the client is the one it says.
///
/// [RFC 7521 §4.2](https://www.rfc-editor.org/rfc/rfc7521#section-4.2)
pub(super) fn read<'a>(assertion: &'a str, kind: Option<&str>) -> Option<Shown<'a>> {
    let id = assertion::claimed(assertion).filter(|_| kind == Some(TYPE))?;
    Some(Shown::Assertion { id, assertion })
}

/// Checks everything but whether it was seen before.
pub(super) fn check(app: &App, id: &str, keys: &KeySet, assertion: &str) -> Result<Assertion, Failure> {
    let (issuer, endpoint) = (app.issuer.url(), format!("{}/token", app.issuer.url()));
    let audiences = [issuer, &endpoint];
    let expected = Expected { client: id, keys, decoys: &app.decoys, audiences: &audiences };
    let checked = assertion::check(assertion, &expected, native::absent, clock::now());
    checked.map_err(|refusal| Failure::Unproved(refusal.note))
}

/// Makes sure that the assertion was not seen before, by any replica.
///
/// [RFC 7523 §3](https://www.rfc-editor.org/rfc/rfc7523#section-3), item 7
pub(super) async fn spend(app: &App, id: &str, assertion: &Assertion) -> Result<(), Failure> {
    // Hashed, so that what is kept of a `jti` has a bound; no identifier holds the byte between the two.
    let name = Sha256::new().chain_update(id).chain_update([0]).chain_update(&assertion.id).finalize();
    match app.store.once("assertion", &hex(&name), assertion.until).await? {
        true => Ok(()),
        false => Err(Failure::Unproved("the assertion was used before")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_decoy_for_every_algorithm() {
        let decoys = decoys().unwrap();
        assert!(ALGORITHMS.iter().all(|algorithm| decoys.find(None, *algorithm).is_some()));
    }

    #[test]
    fn an_assertion_counts_only_under_its_type() {
        let assertion = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZ2VudC03In0.AA";
        assert_eq!(read(assertion, Some(TYPE)).and_then(|shown| shown.id().map(str::to_owned)), Some("agent-7".into()));
        assert!(read(assertion, None).is_none());
        assert!(read(assertion, Some("urn:ietf:params:oauth:client-assertion-type:saml2-bearer")).is_none());
    }
}
