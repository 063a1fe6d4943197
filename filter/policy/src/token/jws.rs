//! The compact form of a signed token: three parts, one header.

use serde_json::{Map, Value};

use super::alg::Algorithm;
use super::{Refusal, base64url};
use crate::denial::Reason;
use crate::json;

/// The longest token that is read, in bytes.
pub const LENGTH: usize = 8 * 1024;

/// A token taken apart; nothing in it is proved yet.
#[derive(Debug)]
pub struct Compact<'a> {
    /// What was signed: header, dot, payload, as they stand in the token.
    pub signed: &'a str,
    /// The header.
    pub parameters: Map<String, Value>,
    /// The payload's bytes, decoded but not to be believed.
    pub payload: Vec<u8>,
    /// The signature's bytes.
    pub signature: Vec<u8>,
}

/// The header parameters that matter.
#[derive(Debug)]
pub struct Header {
    /// The algorithm it claims.
    pub algorithm: Algorithm,
    /// Which key it claims: at most 256 bytes, compared and never interpreted.
    pub key: Option<String>,
    /// Its media type, as written.
    pub typ: Option<String>,
}

impl<'a> Compact<'a> {
    /// Takes `token` apart.
    ///
    /// [RFC 7515 §5.2](https://www.rfc-editor.org/rfc/rfc7515#section-5.2), steps 1 to 5 and 7.
    pub fn parse(token: &'a str) -> Result<Self, Refusal> {
        Self::bounded(token, LENGTH)
    }

    /// The same for a token of up to `length` bytes.
    pub fn bounded(token: &'a str, length: usize) -> Result<Self, Refusal> {
        if token.len() > length {
            return Err(malformed("longer than is read"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(malformed("not three parts"))?;
        let (header, payload) = signed.split_once('.').ok_or(malformed("not three parts"))?;
        if payload.contains('.') {
            // [RFC 7516 §9](https://www.rfc-editor.org/rfc/rfc7516#section-9): five parts are an encrypted token.
            return Err(malformed("not three parts"));
        }
        let decode = |part| base64url(part).ok_or(malformed("a part is not base64url"));
        let parameters = parameters(&decode(header)?)?;
        Ok(Self { signed, parameters, payload: decode(payload)?, signature: decode(signature)? })
    }

    /// The header of a token whose key comes from its issuer.
    ///
    /// [RFC 8725 §3.10](https://www.rfc-editor.org/rfc/rfc8725#section-3.10): never from the token.
    pub fn header(&self) -> Result<Header, Refusal> {
        match self.parameters.contains_key("jwk") {
            true => Err(malformed("the header has `jwk`")),
            false => Header::read(&self.parameters),
        }
    }
}

impl Header {
    /// Reads the parameters every kind of token has.
    pub fn read(parameters: &Map<String, Value>) -> Result<Self, Refusal> {
        let name = string(parameters, "alg")?.ok_or(malformed("the header has no `alg`"))?;
        let unknown = || Refusal::new(Reason::TokenAlgorithm, "the algorithm is not known");
        let algorithm = Algorithm::parse(&name).ok_or_else(unknown)?;
        let key = string(parameters, "kid")?;
        if key.as_ref().is_some_and(|key| key.len() > 256) {
            return Err(malformed("the `kid` is longer than 256 bytes"));
        }
        Ok(Self { algorithm, key, typ: string(parameters, "typ")? })
    }
}

/// One strict object without the parameters no token may have.
fn parameters(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let text = json::text(bytes).map_err(|_| malformed("the header is not UTF-8"))?;
    let Ok(Value::Object(header)) = json::value(text) else {
        return Err(malformed("the header is not one strict JSON object"));
    };
    if let Some((_, note)) = REFUSED.iter().find(|(name, _)| header.contains_key(*name)) {
        return Err(malformed(note));
    }
    // A token inside this token would be judged by no one.
    match header.contains_key("cty") {
        true => Err(Refusal::new(Reason::TokenType, "the header has `cty`")),
        false => Ok(header),
    }
}

/// Header parameters no accepted token carries.
///
/// - `crit`: [RFC 7515 §4.1.11](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.11), we understand no extension.
/// - `b64`: [RFC 7797 §3](https://www.rfc-editor.org/rfc/rfc7797#section-3), the payload is always encoded.
/// - `zip`: belongs to encryption, [RFC 7516 §4.1.3](https://www.rfc-editor.org/rfc/rfc7516#section-4.1.3).
/// - `jku`, `x5u`, `x5c`: [RFC 8725 §3.10](https://www.rfc-editor.org/rfc/rfc8725#section-3.10), keys come from the
///   issuer and never from the token.
const REFUSED: &[(&str, &str)] = &[
    ("crit", "the header has `crit`"),
    ("b64", "the header has `b64`"),
    ("zip", "the header has `zip`"),
    ("jku", "the header has `jku`"),
    ("x5u", "the header has `x5u`"),
    ("x5c", "the header has `x5c`"),
];

fn string(header: &Map<String, Value>, name: &str) -> Result<Option<String>, Refusal> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(malformed("a header parameter is not a string")),
    }
}

fn malformed(note: &'static str) -> Refusal {
    Refusal::new(Reason::TokenMalformed, note)
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;

    fn parse(header: &str) -> Result<Header, Reason> {
        let token = format!("{}.{}.AA", encode(header.as_bytes()), encode(b"{}"));
        Compact::parse(&token).and_then(|token| token.header()).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn reads_a_plain_header() {
        let header = parse(r#"{"alg":"ES256","kid":"k","typ":"at+jwt","x-unknown":1}"#).unwrap();
        assert_eq!(header.algorithm, Algorithm::Es256);
        assert_eq!((header.key.as_deref(), header.typ.as_deref()), (Some("k"), Some("at+jwt")));
    }

    #[test]
    fn knows_no_algorithm_but_ours() {
        for name in ["none", "None", "nOnE", "HS256", "es256", "RS256 ", "dir", ""] {
            let header = format!(r#"{{"alg":"{name}"}}"#);
            assert_eq!(parse(&header).unwrap_err(), Reason::TokenAlgorithm, "{name}");
        }
    }

    #[test]
    fn refuses_parameters_that_change_the_meaning() {
        for member in [
            r#""crit":["exp"]"#,
            r#""crit":[]"#,
            r#""b64":false"#,
            r#""zip":"DEF""#,
            r#""jwk":{}"#,
            r#""jku":"u""#,
            r#""x5u":"u""#,
            r#""x5c":[]"#,
            r#""alg":"ES256""#,
            r#""kid":1"#,
            r#""typ":null"#,
        ] {
            let header = format!(r#"{{"alg":"ES256",{member}}}"#);
            assert_eq!(parse(&header).unwrap_err(), Reason::TokenMalformed, "{member}");
        }
        assert_eq!(parse(r#"{"alg":"ES256","cty":"JWT"}"#).unwrap_err(), Reason::TokenType);
    }

    #[test]
    fn reads_three_unpadded_parts_only() {
        let header = encode(br#"{"alg":"ES256"}"#);
        let long = "A".repeat(LENGTH);
        for token in [
            String::new(),
            header.clone(),
            format!("{header}.e30"),
            format!("{header}.e30.AA.AA"),
            format!("{header}.e30.AA.AA.AA"),
            format!("{header}.e30.AA=="),
            format!("{header}.e30.AB"),
            format!("{header}.e30.A A"),
            format!("{header}.e3 0.AA"),
            format!("{header}.e30.{long}"),
        ] {
            let refused = Compact::parse(&token).unwrap_err().reason;
            assert_eq!(refused, Reason::TokenMalformed, "{token}");
        }
    }
}
