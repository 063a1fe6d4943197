//! What the sender of a token request proves to hold, and what its token is bound to.

use std::time::Duration;

use accredit_policy::token::{dpop, hex, native};
use axum::http::HeaderMap;
use sha2::{Digest as _, Sha256};

use super::client::Caller;
use crate::agents::{Agent, Binding};
use crate::app::App;
use crate::bond::Bond;
use crate::clock;
use crate::error::{ApiError, Code};

/// How long a proof is remembered after it was made: longer than any check would take it.
const REMEMBERED: Duration = Duration::from_secs(120);

/// What the token that `caller` asks for as `agent` is bound to: the key of its proof, if it sends one, and what its
/// registration asks for.
pub async fn bind(app: &App, caller: &Caller, agent: &Agent) -> Result<Bond, ApiError> {
    let key = match proof(&caller.headers)? {
        Some(proof) => Some(prove(app, proof).await?),
        None => None,
    };
    match (agent.profile.bound, key, caller.certificate()) {
        // [RFC 9449 §5.2](https://www.rfc-editor.org/rfc/rfc9449#section-5.2)
        (Binding::Dpop, None, _) => {
            Err(ApiError::new(Code::InvalidRequest, "this client's tokens are bound to a key: send a `DPoP` proof"))
        }
        (Binding::Mtls, _, None) => {
            Err(ApiError::new(Code::InvalidRequest, "this client's tokens are bound to a certificate: show one"))
        }
        (Binding::Mtls, key, Some(certificate)) => Ok(Bond { key, certificate: Some(certificate.sha256) }),
        (Binding::Dpop | Binding::None, key, _) => Ok(Bond { key, certificate: None }),
    }
}

/// The one header.
///
/// [RFC 9449 §4.3](https://www.rfc-editor.org/rfc/rfc9449#section-4.3), check 1
fn proof(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut lines = headers.get_all("dpop").iter();
    let Some(first) = lines.next() else {
        return Ok(None);
    };
    let one = first.to_str().ok().filter(|_| lines.next().is_none());
    one.map(Some).ok_or_else(|| invalid("`DPoP` stands twice or is no text"))
}

/// Checks a proof for a token request, which counts once, and gives its key's thumbprint.
async fn prove(app: &App, proof: &str) -> Result<[u8; 32], ApiError> {
    let url = format!("{}/token", app.issuer.url());
    let checked = dpop::offered(proof, ("POST", &url), native::absent, clock::now());
    let (proof, key) = checked.map_err(|refusal| invalid(refusal.note))?;
    // [RFC 9449 §11.1](https://www.rfc-editor.org/rfc/rfc9449#section-11.1): the hash bounds what is kept of a `jti`.
    let name = Sha256::new().chain_update(key).chain_update(&proof.id).finalize();
    match app.store.once("dpop", &hex(&name), proof.made.plus(REMEMBERED)).await? {
        true => Ok(key),
        false => Err(invalid("the proof was used before")),
    }
}

fn invalid(why: &'static str) -> ApiError {
    ApiError::new(Code::InvalidDpopProof, "the `DPoP` proof does not hold").because(why)
}
