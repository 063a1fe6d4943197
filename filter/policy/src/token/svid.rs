//! SPIFFE JWT-SVIDs: tokens of a workload's identity, without scopes of their own.
//!
//! [SPIFFE JWT-SVID](https://spiffe.io/docs/latest/spiffe-specs/jwt-svid/)

use serde_json::{Map, Value};

use super::Refusal;
use super::alg::Algorithm;
use super::claims::{malformed, optional};
use crate::denial::Reason;
use crate::pattern::Pattern;
use crate::policy::Issuer;
use crate::scope::Scopes;

/// The algorithms a JWT-SVID may be signed with, of those we know.
///
/// [§2.1](https://spiffe.io/docs/latest/spiffe-specs/jwt-svid/#21-algorithm): Ed25519 is not among them.
pub const ALGORITHMS: &[Algorithm] = &[
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
];

/// Judges the header beyond what every token's has to be: no parameters but `alg`, `kid` and `typ`.
///
/// [§2.2, §2.3](https://spiffe.io/docs/latest/spiffe-specs/jwt-svid/#2-jose-header): `typ` is absent, `JWT` or `JOSE`.
pub fn header(names: &Map<String, Value>) -> Result<(), Refusal> {
    if names.keys().any(|name| !matches!(name.as_str(), "alg" | "kid" | "typ")) {
        return Err(malformed("a JWT-SVID's header has a parameter besides `alg`, `kid` and `typ`"));
    }
    match names.get("typ").map(Value::as_str) {
        None | Some(Some("JWT" | "JOSE")) => Ok(()),
        Some(_) => Err(Refusal::new(Reason::TokenType, "`typ` is not a JWT-SVID's")),
    }
}

/// The workload's SPIFFE ID, which has to be of the issuer's trust domain.
///
/// [§3.1](https://spiffe.io/docs/latest/spiffe-specs/jwt-svid/#31-subject)
pub fn identity(claims: &Map<String, Value>, issuer: &Issuer) -> Result<String, Refusal> {
    let id = optional(claims, "sub")?.ok_or(malformed("`sub` is missing"))?;
    match within(&id, &issuer.identifier) && well_formed(&id) {
        true => Ok(id),
        false => Err(Refusal::new(Reason::TokenIssuer, "`sub` is no SPIFFE ID of the trust domain")),
    }
}

/// Whether `id` names a workload of the trust domain `domain`, which is written `spiffe://name`.
pub fn within(id: &str, domain: &str) -> bool {
    id.strip_prefix(domain).is_some_and(|path| path.starts_with('/'))
}

/// Whether `text` is a trust domain as the policy names it: `spiffe://name`.
///
/// [SPIFFE-ID §2.1](https://spiffe.io/docs/latest/spiffe-specs/spiffe-id/#21-trust-domain)
pub fn domain(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    let name = text.strip_prefix("spiffe://");
    name.is_some_and(|name| (1..=255).contains(&name.len()) && name.bytes().all(legal))
}

/// [SPIFFE-ID §2.2](https://spiffe.io/docs/latest/spiffe-specs/spiffe-id/#22-path): plain segments, none empty, none that
/// moves elsewhere.
pub fn well_formed(id: &str) -> bool {
    let Some((name, path)) = id.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let segment = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(legal);
    id.len() <= 2048 && domain(&format!("spiffe://{name}")) && path.split('/').all(segment)
}

/// The scopes of the workload `id`: those the policy grants it, and those of its token.
pub fn granted(grants: &[(Pattern, Scopes)], id: &str, mut scopes: Scopes) -> Scopes {
    grants.iter().filter(|(pattern, _)| pattern.matches(id)).for_each(|(_, more)| scopes.extend(more));
    scopes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_header_has_three_parameters_at_most() {
        let judge = |value: Value| header(value.as_object().unwrap()).map_err(|refusal| refusal.reason);
        for sound in [json!({}), json!({ "alg": "ES256", "kid": "k", "typ": "JWT" }), json!({ "typ": "JOSE" })] {
            assert_eq!(judge(sound), Ok(()));
        }
        assert_eq!(judge(json!({ "alg": "ES256", "x": 1 })), Err(Reason::TokenMalformed));
        for typ in [json!("at+jwt"), json!("jwt"), json!("application/JWT"), json!(null)] {
            assert_eq!(judge(json!({ "typ": typ })), Err(Reason::TokenType), "{typ}");
        }
    }

    #[test]
    fn identities_are_of_the_domain_and_well_formed() {
        assert!(within("spiffe://prod.example/a", "spiffe://prod.example"));
        for other in
            ["spiffe://prod.example", "spiffe://prod.example.evil/a", "spiffe://prod/a", "https://prod.example/a"]
        {
            assert!(!within(other, "spiffe://prod.example"), "{other}");
        }
        assert!(well_formed("spiffe://prod.example/ns/agents/sa/planner-1"));
        for bad in ["spiffe://prod/", "spiffe://prod//a", "spiffe://prod/a/", "spiffe://prod/../a", "spiffe://prod/%61"]
        {
            assert!(!well_formed(bad), "{bad}");
        }
        assert!(
            domain("spiffe://prod.example-1") && !domain("spiffe://Prod") && !domain("spiffe://") && !domain("prod")
        );
        assert!(!domain("spiffe://prod/a") && !domain("spiffe://prod:8080"));
    }

    #[test]
    fn grants_add_up() {
        let scopes = |text| Scopes::parse(text).unwrap();
        let pattern = |text| Pattern::parse(text).unwrap();
        let grants = [
            (pattern("spiffe://prod/agents/*"), scopes("crm:read")),
            (pattern("spiffe://prod/agents/admin"), scopes("crm:admin")),
        ];
        let of = |id| granted(&grants, id, scopes("own")).to_string();
        assert_eq!(of("spiffe://prod/agents/admin"), "crm:admin crm:read own");
        assert_eq!(of("spiffe://prod/agents/x"), "crm:read own");
        assert_eq!(of("spiffe://prod/other"), "own");
    }
}
