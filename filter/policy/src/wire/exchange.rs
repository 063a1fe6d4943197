//! The proxy's exchange: an agent's token against a credential for one call.
//!
//! [RFC 8693 §2](https://www.rfc-editor.org/rfc/rfc8693#section-2) with the call itself in
//! [RFC 9396](https://www.rfc-editor.org/rfc/rfc9396) `authorization_details`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::call::{Arguments, Call, Target};
use crate::json;
use crate::mcp::Era;
use crate::secret::Secret;

/// The grant type of token exchange.
pub const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The type of the agent's token and of what comes back.
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The `type` of our authorization details.
pub const TOOL_CALL: &str = "tool_call";

/// The call a credential is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// Always [`TOOL_CALL`].
    pub r#type: String,
    /// The server's name in the policy.
    pub server: String,
    /// What is called; a tool unless given.
    #[serde(default, skip_serializing_if = "Kind::is_usual")]
    pub kind: Kind,
    /// The method; `tools/call` unless given.
    #[serde(default = "usual", skip_serializing_if = "is_usual")]
    pub method: String,
    /// The tool, or whatever else the method is about; empty where it is about nothing.
    pub tool: String,
    /// The credential's name.
    pub credential: String,
    /// `sha-256:` and the arguments' digest in lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments_digest: Option<String>,
    /// The arguments the rule lets the broker see, to narrow the credential by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, Vec<String>>,
    /// The proxy's `x-request-id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The trace the call belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// What is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A tool.
    #[default]
    Tool,
    /// A prompt.
    Prompt,
    /// A resource.
    Resource,
    /// A method that is about none of these.
    Method,
}

impl Kind {
    fn is_usual(&self) -> bool {
        *self == Self::Tool
    }
}

const USUAL: &str = "tools/call";

fn usual() -> String {
    USUAL.into()
}

fn is_usual(method: &str) -> bool {
    method == USUAL
}

impl ToolCall {
    /// The call as it is decided.
    pub fn call(&self) -> Call<'_> {
        let object = Cow::Borrowed(self.tool.as_str());
        let target = match self.kind {
            Kind::Tool => Target::Tool(object),
            Kind::Prompt => Target::Prompt(object),
            Kind::Resource => Target::Resource(object),
            Kind::Method => Target::Method,
        };
        Call {
            id: None,
            method: Cow::Borrowed(&self.method),
            target,
            era: Era::Modern,
            arguments: Arguments::None,
            tasks: false,
        }
    }
}

impl From<&Target<'_>> for Kind {
    fn from(target: &Target<'_>) -> Self {
        match target {
            Target::Tool(_) | Target::Task(_) => Self::Tool,
            Target::Prompt(_) => Self::Prompt,
            Target::Resource(_) => Self::Resource,
            Target::Session
            | Target::List(_)
            | Target::Subscription(..)
            | Target::Card
            | Target::Method
            | Target::Unlisted => Self::Method,
        }
    }
}

/// The form the proxy posts.
pub fn form(token: &Secret, resource: &str, scope: &str, call: &ToolCall) -> Secret {
    // A struct of strings always serializes; an empty text would be refused by the broker.
    let details = serde_json::to_string(&[call]).unwrap_or_default();
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", GRANT)
        .append_pair("subject_token", token.reveal())
        .append_pair("subject_token_type", ACCESS_TOKEN)
        .append_pair("resource", resource)
        .append_pair("scope", scope)
        .append_pair("authorization_details", &details);
    Secret::new(form.finish())
}

/// The value of `Authorization` for a client with a secret.
///
/// [RFC 6749 §2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1): both parts form-encoded, then joined.
pub fn basic(id: &str, secret: &Secret) -> Secret {
    let coded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Secret::new(format!("{}:{}", coded(id), coded(secret.reveal())));
    Secret::new(format!("Basic {}", STANDARD.encode(pair.reveal())))
}

/// What the broker answers: the credential, as headers to set on the upstream request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The credential itself, or a stand-in where it is no single text.
    pub access_token: String,
    /// [`ACCESS_TOKEN`].
    pub issued_token_type: String,
    /// `Bearer`, or `N_A`.
    pub token_type: String,
    /// Seconds it lives.
    pub expires_in: u64,
    /// The scope it carries.
    pub scope: String,
    /// The lease in the broker's store.
    pub lease_id: String,
    /// What to set on the upstream request.
    pub headers: BTreeMap<String, String>,
    /// For how many seconds it may be used again, for calls that differ in nothing the broker looks at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<u64>,
}

/// What the filter keeps of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Header names in lower case and their values.
    pub headers: Vec<(String, Secret)>,
    /// The lease in the broker's store.
    pub lease: String,
    /// Seconds it lives.
    pub lifetime: u64,
    /// Seconds it may be used again.
    pub reuse: u64,
}

/// Why there is no credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The broker decided against this call, with this OAuth error code.
    ByPolicy(String),
    /// The broker does not know this proxy.
    Client,
    /// No usable answer.
    Failed(&'static str),
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPolicy(code) => write!(formatter, "the broker answered `{code}`"),
            Self::Client => {
                formatter.write_str("the broker does not accept this proxy's credentials (hint: check `broker.client`)")
            }
            Self::Failed(what) => formatter.write_str(what),
        }
    }
}

/// An answer as it came, from whoever gave it.
#[derive(Clone, Debug, Default)]
pub struct Response<'a> {
    /// `None` when there was no `:status`: reset, or too large for the host.
    pub status: Option<u16>,
    /// `content-type`.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// The largest answer that is read.
const SIZE: usize = 64 * 1024;

/// Reads the broker's answer; whatever is not exactly one is a failure.
pub fn read(response: &Response<'_>) -> Result<Credential, Refused> {
    let status = response.status.ok_or(Refused::Failed("the broker's answer broke off"))?;
    if response.body.len() > SIZE {
        return Err(Refused::Failed("the broker's answer is too large"));
    }
    // Envoy itself answers for a broker that is away, in plain text.
    let json = response.content_type.and_then(|kind| kind.split(';').next());
    if json.map(str::trim) != Some("application/json") {
        return Err(Refused::Failed("the broker did not answer in JSON"));
    }
    let text = json::text(response.body).map_err(|_| Refused::Failed("the broker's answer is not UTF-8"))?;
    let value = json::value(text).map_err(|_| Refused::Failed("the broker's answer is not strict JSON"))?;
    match status {
        200 => accept(serde_json::from_value(value).map_err(|_| Refused::Failed("the broker's answer is incomplete"))?),
        // [RFC 6749 §5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2)
        400 | 403 => Err(Refused::ByPolicy(code(&value))),
        401 => Err(Refused::Client),
        _ => Err(Refused::Failed("the broker cannot mint now")),
    }
}

fn accept(answer: Answer) -> Result<Credential, Refused> {
    let Answer { lease_id, headers, expires_in, reuse, .. } = answer;
    let named = |text: &str| (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if headers.is_empty() || !named(&lease_id) {
        return Err(Refused::Failed("the broker's answer names no header or no lease"));
    }
    let settable = |(name, value): (String, String)| match header(&name) && plain(&value) {
        true => Ok((name, Secret::new(value))),
        false => Err(Refused::Failed("the broker's answer sets a header no credential may set")),
    };
    let headers = headers.into_iter().map(settable).collect::<Result<_, _>>()?;
    Ok(Credential { headers, lease: lease_id, lifetime: expires_in, reuse: reuse.unwrap_or_default().min(expires_in) })
}

/// Whether a credential may travel in the header of that name: none that frames or routes the request.
pub fn header(name: &str) -> bool {
    const FRAMING: &[&str] = &[
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    let kept = ["mcp-", "x-accredit-", "x-envoy-", "x-forwarded-"].iter().any(|prefix| name.starts_with(prefix));
    (1..=64).contains(&name.len()) && name.bytes().all(token) && !kept && !FRAMING.contains(&name)
}

/// [RFC 9110 §5.5](https://www.rfc-editor.org/rfc/rfc9110#section-5.5): visible characters and inner spaces.
pub fn plain(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
}

/// The OAuth error code, if it is one.
fn code(value: &serde_json::Value) -> String {
    let word = |code: &&str| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let code = value.get("error").and_then(serde_json::Value::as_str);
    code.filter(word).unwrap_or("no error code").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &str) -> Result<Credential, Refused> {
        let body = format!(
            r#"{{"access_token":"t","issued_token_type":"x","token_type":"Bearer","expires_in":60,"scope":"s","lease_id":"l","headers":{headers}}}"#
        );
        read(&Response { status: Some(200), content_type: Some("application/json"), body: body.as_bytes() })
    }

    #[test]
    fn takes_the_headers_of_a_credential() {
        let credential = answer(r#"{"authorization":"Bearer t"}"#).unwrap();
        assert_eq!(credential.headers, [("authorization".to_owned(), Secret::new("Bearer t"))]);
    }

    #[test]
    fn sets_no_header_that_frames_or_routes() {
        for bad in [
            "{}",
            r#"{"host":"x"}"#,
            r#"{":path":"x"}"#,
            r#"{"content-length":"0"}"#,
            r#"{"Authorization":"x"}"#,
            r#"{"transfer-encoding":"chunked"}"#,
            r#"{"a":"b\r\nc: d"}"#,
            r#"{"a b":"c"}"#,
            r#"{"x-envoy-retry-on":"5xx"}"#,
            r#"{"mcp-name":"x"}"#,
            r#"{"a":""}"#,
            r#"{"a":"b","a":"c"}"#,
            r#"{"a":1}"#,
        ] {
            assert!(matches!(answer(bad), Err(Refused::Failed(_))), "{bad}");
        }
    }

    #[test]
    fn trusts_no_status_alone() {
        let read = |status, content_type, body: &str| {
            read(&Response { status, content_type, body: body.as_bytes() }).unwrap_err()
        };
        let json = Some("application/json");
        assert!(matches!(read(None, None, ""), Refused::Failed(_)));
        assert!(matches!(read(Some(200), Some("text/plain"), "ok"), Refused::Failed(_)));
        assert!(matches!(read(Some(200), json, "{}"), Refused::Failed(_)));
        assert!(matches!(read(Some(503), json, "{}"), Refused::Failed(_)));
        assert!(matches!(read(Some(204), json, "{}"), Refused::Failed(_)));
        assert_eq!(read(Some(401), json, r#"{"error":"invalid_client"}"#), Refused::Client);
        assert_eq!(read(Some(400), json, r#"{"error":"invalid_target"}"#), Refused::ByPolicy("invalid_target".into()));
        assert_eq!(read(Some(403), json, r#"{"error":"<b>"}"#), Refused::ByPolicy("no error code".into()));
    }
}
