//! What anyone may know of this authorization server.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::json;

use crate::app::App;
use accredit_policy::wire::exchange;

/// `GET /.well-known/oauth-authorization-server`
///
/// [RFC 8414 §2](https://www.rfc-editor.org/rfc/rfc8414#section-2)
pub async fn document(State(app): State<App>) -> impl IntoResponse {
    let url = app.issuer.url();
    Json(json!({
        "issuer": url,
        "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/jwks.json"),
        "grant_types_supported": ["client_credentials", exchange::GRANT],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "authorization_details_types_supported": [exchange::TOOL_CALL],
        // No grant uses it, and nothing answers there; but the official SDKs of MCP for Python and TypeScript take no
        // document without it, and then find no token endpoint either.
        "authorization_endpoint": format!("{url}/authorize"),
        "response_types_supported": [],
    }))
}

/// `GET /jwks.json`
///
/// [RFC 7517 §5](https://www.rfc-editor.org/rfc/rfc7517#section-5)
pub async fn jwks(State(app): State<App>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "public, max-age=60")], Json(app.issuer.jwks()))
}
