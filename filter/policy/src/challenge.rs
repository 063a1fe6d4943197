//! `WWW-Authenticate`: one line, the same for the same principal and call.

use crate::denial::{Challenge, Denial};
use crate::metadata;
use crate::policy::Server;

/// The challenge for a denial, if it is one a better token could mend.
///
/// [RFC 6750 §3](https://www.rfc-editor.org/rfc/rfc6750#section-3) for `error` and `scope`,
/// [RFC 9728 §5.1](https://www.rfc-editor.org/rfc/rfc9728#section-5.1) for `resource_metadata`. Everything inside
/// the quotes comes from the policy, where scopes and URLs were checked: nothing of the request can break out.
pub fn render(denial: &Denial, server: &Server) -> Option<String> {
    let error = match denial.reason.challenge() {
        Challenge::Silent => return None,
        Challenge::Ask => None,
        Challenge::InvalidToken => Some("invalid_token"),
        Challenge::InsufficientScope => Some("insufficient_scope"),
    };
    let mut parameters = Vec::new();
    parameters.extend(error.map(|error| format!("error=\"{error}\"")));
    if !denial.required.is_empty() {
        parameters.push(format!("scope=\"{}\"", denial.required));
    }
    parameters.push(format!("resource_metadata=\"{}\"", metadata::url(&server.resource)));
    Some(format!("Bearer {}", parameters.join(", ")))
}
