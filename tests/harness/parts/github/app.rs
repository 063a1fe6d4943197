//! The App: its key, and how GitHub judges what it signs.

use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).expect("a key can be made"));

/// The private key, as GitHub lets one download it: PKCS #1 in PEM.
pub(super) fn private_key() -> String {
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&*KEY).expect("the key can be written");
    // PKCS #8 puts a head of always the same length before the PKCS #1 form of a key of this size.
    let text = STANDARD.encode(&pkcs8.as_ref()[26..]);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n", lines.join("\n"))
}

/// Whether `jwt` is the App's, or GitHub's words for what is wrong with it.
///
/// [Claims of an App's JWT](https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app)
pub(super) fn judge(jwt: &str, names: &[&str]) -> Result<(), &'static str> {
    let key = DecodingKey::from_rsa_der(KEY.public_key().as_ref());
    let mut rules = Validation::new(Algorithm::RS256);
    rules.required_spec_claims.clear();
    (rules.validate_exp, rules.validate_aud) = (false, false);
    let token = jsonwebtoken::decode::<Value>(jwt, &key, &rules);
    let claims = token.map_err(|_| "A JSON web token could not be decoded")?.claims;
    let now = UNIX_EPOCH.elapsed().expect("it is later than 1970").as_secs();
    let (issued, expires) = (claims["iat"].as_u64(), claims["exp"].as_u64());
    if issued.is_none_or(|issued| issued > now) {
        return Err("'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued");
    }
    let expires = expires.filter(|expires| *expires > now);
    let expires = expires.ok_or("'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires")?;
    if expires > now + 600 {
        return Err("'Expiration time' claim ('exp') is too far in the future");
    }
    let issuer = claims["iss"].as_str().map(str::to_owned).or_else(|| claims["iss"].as_u64().map(|id| id.to_string()));
    let known = issuer.is_some_and(|issuer| names.contains(&issuer.as_str()));
    known.then_some(()).ok_or("Integration not found")
}
