//! The credential a tool call must carry, verified with `jsonwebtoken`: none of the project's own
//! code takes part, so a mistake in it cannot hide here.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use tokio::sync::Mutex;

/// Checks credentials of one issuer for one audience; fetches the issuer's keys when it meets a new `kid`.
pub struct Verifier {
    jwks: String,
    issuer: String,
    audience: String,
    keys: Mutex<JwkSet>,
    http: reqwest::Client,
}

/// What a verified credential says, as far as this server cares.
#[derive(Clone, Debug, Deserialize)]
pub struct Claims {
    #[serde(default)]
    scope: String,
    /// Whom the call is for; goes into the log.
    pub sub: Option<String>,
    /// Who calls; goes into the log.
    pub client_id: Option<String>,
    /// Identifies the credential; goes into the log.
    pub jti: Option<String>,
}

impl Claims {
    /// Whether `scope` is one of the space-separated scopes.
    pub fn holds(&self, scope: &str) -> bool {
        self.scope.split(' ').any(|held| held == scope)
    }
}

/// Why a call is not executed.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// No `Authorization`, or more than one, or another scheme than Bearer.
    Missing,
    /// The JWT does not verify; the text is for the log reader.
    Invalid(String),
    /// The JWT verifies and lacks this scope.
    Scope(&'static str),
    /// The issuer's keys cannot be fetched.
    Keys(String),
}

impl Verifier {
    /// `jwks` is the URL of the key set; `issuer` and `audience` are what `iss` and `aud` must hold.
    pub fn new(jwks: String, issuer: String, audience: String) -> Self {
        // The key set is on loopback; a proxy of the environment must not come between.
        let http = reqwest::Client::builder().no_proxy().build().expect("a plain HTTP client builds");
        Self { jwks, issuer, audience, keys: Mutex::new(JwkSet { keys: vec![] }), http }
    }

    /// In: the request's headers. Out: the claims of the one bearer JWT in it, all checks passed.
    ///
    /// # Errors
    /// The first check that fails.
    pub async fn verify(&self, headers: &HeaderMap) -> Result<Claims, Refusal> {
        let token = bearer(headers).ok_or(Refusal::Missing)?;
        let head = decode_header(token).map_err(invalid)?;
        let key = self.key(head.kid.as_deref().unwrap_or_default()).await?;
        let algorithm = algorithm(&key).filter(|algorithm| *algorithm == head.alg);
        let algorithm = algorithm.ok_or_else(|| invalid("`alg` is not the key's"))?;
        let mut rules = Validation::new(algorithm);
        rules.leeway = 0;
        rules.validate_nbf = true;
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&[&self.audience]);
        let key = DecodingKey::from_jwk(&key).map_err(invalid)?;
        Ok(decode::<Claims>(token, &key, &rules).map_err(invalid)?.claims)
    }

    /// The key named `kid`, from memory or from one fetch.
    async fn key(&self, kid: &str) -> Result<Jwk, Refusal> {
        let mut keys = self.keys.lock().await;
        if keys.find(kid).is_none() {
            *keys = self.fetch().await.map_err(|error| Refusal::Keys(error.to_string()))?;
        }
        keys.find(kid).cloned().ok_or_else(|| invalid(format!("no key `{kid}`")))
    }

    async fn fetch(&self) -> reqwest::Result<JwkSet> {
        self.http.get(&self.jwks).send().await?.error_for_status()?.json().await
    }
}

/// The token of the only `Authorization` header; the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let value = all.next().filter(|_| all.next().is_none())?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// One key, one algorithm: the token never chooses (RFC 8725 §3.1).
fn algorithm(key: &Jwk) -> Option<Algorithm> {
    match &key.algorithm {
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => Some(Algorithm::ES256),
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P384 => Some(Algorithm::ES384),
        AlgorithmParameters::RSA(_) => Some(Algorithm::RS256),
        AlgorithmParameters::OctetKeyPair(_) => Some(Algorithm::EdDSA),
        _ => None,
    }
}

fn invalid(why: impl ToString) -> Refusal {
    Refusal::Invalid(why.to_string())
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let bearer = |text: &str| [(header::WWW_AUTHENTICATE, format!("Bearer{text}"))];
        match self {
            Self::Missing => (StatusCode::UNAUTHORIZED, bearer(""), "one bearer credential is needed").into_response(),
            Self::Invalid(why) => (StatusCode::UNAUTHORIZED, bearer(" error=\"invalid_token\""), why).into_response(),
            Self::Scope(scope) => {
                let challenge = format!(" error=\"insufficient_scope\", scope=\"{scope}\"");
                (StatusCode::FORBIDDEN, bearer(&challenge), format!("`{scope}` is needed")).into_response()
            }
            Self::Keys(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
        }
    }
}
