//! `WWW-Authenticate`: one line, the same for the same principal and call.

use crate::denial::{Challenge, Denial};
use crate::metadata;
use crate::policy::{Sender, Server};
use crate::token::Algorithm;

/// The challenge for a denial, if it is one a better token could mend.
///
/// [RFC 6750 §3](https://www.rfc-editor.org/rfc/rfc6750#section-3) for `error` and `scope`,
/// [RFC 9728 §5.1](https://www.rfc-editor.org/rfc/rfc9728#section-5.1) for `resource_metadata`,
/// [RFC 9449 §7.1](https://www.rfc-editor.org/rfc/rfc9449#section-7.1) for `algs`. Everything inside the quotes comes from
/// the policy, where scopes and URLs were checked: nothing of the request can break out.
pub fn render(denial: &Denial, server: &Server) -> Option<String> {
    let error = match denial.reason.challenge() {
        Challenge::Silent => return None,
        Challenge::Ask => None,
        Challenge::InvalidToken => Some("invalid_token"),
        Challenge::InsufficientScope => Some("insufficient_scope"),
        Challenge::InvalidProof => Some("invalid_dpop_proof"),
        Challenge::UseNonce => Some("use_dpop_nonce"),
    };
    let scheme = scheme(denial, server);
    let mut parameters = Vec::new();
    parameters.extend(error.map(|error| format!("error=\"{error}\"")));
    if !denial.required.is_empty() {
        parameters.push(format!("scope=\"{}\"", denial.required));
    }
    if scheme == "DPoP" {
        parameters.push(format!("algs=\"{}\"", dpop_algorithms().join(" ")));
    }
    parameters.push(format!("resource_metadata=\"{}\"", metadata::url(&server.resource)));
    Some(format!("{scheme} {}", parameters.join(", ")))
}

/// The algorithms a proof may be signed with, under the names of RFC 7518 and RFC 8037.
pub fn dpop_algorithms() -> Vec<&'static str> {
    Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect()
}

/// The scheme the next attempt has to use: where only bound keys pass, asking for a bearer token would mislead.
fn scheme(denial: &Denial, server: &Server) -> &'static str {
    match denial.reason.challenge() {
        Challenge::InvalidProof | Challenge::UseNonce => "DPoP",
        _ if server.sender == Sender::Dpop => "DPoP",
        _ => "Bearer",
    }
}
