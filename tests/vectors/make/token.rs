//! The token all cases start from: good from 2023 until 2100, so that it holds under every clock a test may have.

use crate::policy::{CORP, RESOURCE, owner};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::{Alg, Token};
use serde_json::{Value, json};

/// 2023-11-14, in Unix seconds.
pub const PAST: u64 = 1_700_000_000;
/// 2100-01-01.
pub const FAR: u64 = 4_102_444_800;

/// A token of `issuer` that is in order, signed with the key `kid`.
pub fn of(issuer: &str, kid: &str, alg: Alg) -> Token {
    let token = owner().token().alg(alg).kid(kid).claim("iss", issuer).audience(RESOURCE);
    token.claim("iat", PAST).claim("nbf", PAST).claim("exp", FAR).claim("jti", format!("{kid}-1"))
}

/// A token of the issuer that signs with everything.
pub fn sound(alg: Alg) -> Token {
    of(CORP, &alg.name().to_lowercase(), alg)
}

/// The same with ES256, as most cases need no other.
pub fn plain() -> Token {
    sound(Alg::Es256)
}

/// The public key of `alg` under another name.
pub fn jwk(kid: &str, alg: Alg) -> Value {
    let mut jwk = owner().jwk(alg);
    jwk["kid"] = json!(kid);
    jwk
}

/// Header, payload and signature of a token, as they stand in it.
pub fn parts(token: &str) -> [String; 3] {
    let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts.try_into().expect("three parts")
}

/// A token with another signature.
pub fn resigned(token: &str, signature: &[u8]) -> String {
    let [header, payload, _] = parts(token);
    format!("{header}.{payload}.{}", encode(signature))
}

pub fn signature(token: &str) -> Vec<u8> {
    let [_, _, signature] = parts(token);
    decode(&signature)
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("it is base64url")
}
