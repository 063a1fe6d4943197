//! Protected resource metadata: where a client that knows nothing learns whom to ask for a token.
//!
//! [RFC 9728](https://www.rfc-editor.org/rfc/rfc9728)

use serde_json::{Value, json};

use crate::challenge;
use crate::policy::{Policy, Profile, Resource, Sender, Server};
use crate::reply::Reply;
use crate::scope::Scopes;

/// The path prefix of all metadata.
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Where the metadata of `resource` is served: the well-known path before the resource's own.
///
/// [RFC 9728 §3.1](https://www.rfc-editor.org/rfc/rfc9728#section-3.1)
pub fn url(resource: &Resource) -> String {
    format!("{}{WELL_KNOWN}{}", resource.origin(), resource.path())
}

/// The server whose metadata `path` asks for: by its path, or the only one there is.
pub fn server<'p>(policy: &'p Policy, host: &str, path: &str) -> Option<&'p Server> {
    let suffix = path.strip_prefix(WELL_KNOWN)?;
    let mut here = policy.servers().filter(|server| server.matches.host(host));
    if !suffix.is_empty() {
        return here.find(|server| server.resource.path() == suffix);
    }
    let only = here.next()?;
    here.next().is_none().then_some(only)
}

/// Members that say how tokens have to be bound.
const DPOP: &str = "dpop_bound_access_tokens_required";
const ALGORITHMS: &str = "dpop_signing_alg_values_supported";
const MTLS: &str = "tls_client_certificate_bound_access_tokens";

/// The document.
///
/// [RFC 9728 §2](https://www.rfc-editor.org/rfc/rfc9728#section-2)
pub fn reply(policy: &Policy, server: &Server) -> Reply {
    let issuers = server.issuers.iter().filter_map(|name| policy.issuer(name));
    // A trust domain issues no tokens to clients that ask.
    let issuers = issuers.filter(|issuer| issuer.profile == Profile::AccessToken);
    let issuers: Vec<_> = issuers.map(|issuer| &issuer.identifier).collect();
    let mut scopes = Scopes::default();
    server.rules().for_each(|rule| scopes.extend(&rule.scopes));
    let mut document = json!({
        "resource": server.resource.as_str(),
        "authorization_servers": issuers,
        "scopes_supported": scopes,
        "bearer_methods_supported": ["header"],
    });
    let enforced: &[(&str, Value)] = match server.sender {
        Sender::Bearer => &[],
        Sender::Dpop => &[(DPOP, json!(true)), (ALGORITHMS, json!(challenge::dpop_algorithms()))],
        Sender::Mtls => &[(MTLS, json!(true))],
        Sender::Bound => &[(ALGORITHMS, json!(challenge::dpop_algorithms()))],
    };
    if let Some(members) = document.as_object_mut() {
        members.extend(enforced.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    }
    // Browsers read it from other origins; it holds nothing secret.
    Reply::json(200, document.to_string()).with("access-control-allow-origin", "*")
}
