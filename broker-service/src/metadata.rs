//! What anyone may know of this authorization server.

use accredit_policy::Policy;
use accredit_policy::policy::Server;
use accredit_policy::scope::Scopes;
use accredit_policy::token::Algorithm;
use accredit_policy::token::assertion::ALGORITHMS;
use accredit_policy::wire::exchange;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::json;

use crate::app::App;
use crate::config::Clients;
use crate::token::id_jag;

/// How clients prove who they are, the last one only where they are asked for certificates.
const METHODS: [&str; 3] = ["client_secret_basic", "private_key_jwt", "tls_client_auth"];

/// `GET /.well-known/oauth-authorization-server`
///
/// [RFC 8414 §2](https://www.rfc-editor.org/rfc/rfc8414#section-2)
pub async fn document(State(app): State<App>) -> impl IntoResponse {
    let url = app.issuer.url();
    let at = |path: &str| format!("{url}{path}");
    let signed = names(ALGORITHMS);
    let methods = match app.clients {
        Clients::Anonymous => METHODS.split_last().map(|(_, others)| others).unwrap_or_default(),
        Clients::Asked => &METHODS,
    };
    Json(json!({
        "issuer": url,
        "token_endpoint": at("/token"),
        "introspection_endpoint": at("/introspect"),
        "revocation_endpoint": at("/revoke"),
        "jwks_uri": at("/jwks.json"),
        "grant_types_supported": ["client_credentials", exchange::GRANT, id_jag::GRANT],
        "authorization_grant_profiles_supported": [id_jag::PROFILE],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": signed,
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": signed,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": signed,
        // [RFC 9449 §5.1](https://www.rfc-editor.org/rfc/rfc9449#section-5.1)
        "dpop_signing_alg_values_supported": names(Algorithm::ALL),
        // [RFC 8705 §3.3](https://www.rfc-editor.org/rfc/rfc8705#section-3.3)
        "tls_client_certificate_bound_access_tokens": app.clients == Clients::Asked,
        "scopes_supported": scopes(&app.policy),
        "authorization_details_types_supported": [exchange::TOOL_CALL],
        // No grant uses it, and nothing answers there; but the official SDKs of MCP for Python and TypeScript take no
        // document without it, and then find no token endpoint either.
        "authorization_endpoint": at("/authorize"),
        "response_types_supported": [],
    }))
}

/// The scopes the servers' tools ask for.
fn scopes(policy: &Policy) -> Scopes {
    let rules = policy.servers().flat_map(Server::rules);
    rules.fold(Scopes::default(), |mut all, rule| {
        all.extend(&rule.scopes);
        all
    })
}

fn names(algorithms: &[Algorithm]) -> Vec<&'static str> {
    algorithms.iter().map(|algorithm| algorithm.name()).collect()
}

/// `GET /jwks.json`
///
/// [RFC 7517 §5](https://www.rfc-editor.org/rfc/rfc7517#section-5)
pub async fn jwks(State(app): State<App>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "public, max-age=60")], Json(app.issuer.jwks()))
}
