//! The one table of denials: reason, status, challenge, code, sentence.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::challenge;
use crate::policy::{Denials, Mode, Protocol, Server};
use crate::reply::Reply;
use crate::scope::Scopes;
use crate::wire::audit::Remedy;

/// How a challenge answers a denial.
///
/// [RFC 6750 §3](https://www.rfc-editor.org/rfc/rfc6750#section-3)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// None: a client must not try to get a better token.
    Silent,
    /// Asks for a token, names no error: none was sent.
    Ask,
    /// `invalid_token`: another token may do.
    InvalidToken,
    /// `insufficient_scope`: the same token with more scopes would do.
    InsufficientScope,
    /// `invalid_dpop_proof`: the same token with another proof would do.
    ///
    /// [RFC 9449 §7.1](https://www.rfc-editor.org/rfc/rfc9449#section-7.1)
    InvalidProof,
    /// `use_dpop_nonce`: the same token with a proof that holds this nonce would do.
    ///
    /// [RFC 9449 §9](https://www.rfc-editor.org/rfc/rfc9449#section-9)
    UseNonce,
}

/// One row of the table.
struct Row {
    name: &'static str,
    status: u16,
    challenge: Challenge,
    code: i32,
    say: &'static str,
}

macro_rules! table {
    ($($(#[$doc:meta])* $variant:ident $name:ident $status:literal $challenge:ident $code:literal $say:literal;)*) => {
        /// Why a request was denied: a closed list.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn row(self) -> Row {
                match self {
                    $(Self::$variant => Row {
                        name: stringify!($name),
                        status: $status,
                        challenge: Challenge::$challenge,
                        code: $code,
                        say: $say,
                    },)*
                }
            }
        }
    };
}

// Codes: JSON-RPC 2.0 §5.1 below -32600, MCP 2026-07-28 at -32020 and -32022, our own outside the reserved range.
table! {
    /// No `Authorization` header.
    TokenMissing token_missing 401 Ask -31001 "an access token is required";
    /// Not a token at all, or not one we can read strictly.
    TokenMalformed token_malformed 401 InvalidToken -31001 "the access token is malformed";
    /// The signature does not hold.
    TokenSignature token_signature 401 InvalidToken -31001 "the access token's signature is not valid";
    /// Past its end.
    TokenExpired token_expired 401 InvalidToken -31001 "the access token has expired";
    /// Before its beginning.
    TokenNotYetValid token_not_yet_valid 401 InvalidToken -31001 "the access token is not valid yet";
    /// Of an issuer this server does not accept.
    TokenIssuer token_issuer 401 InvalidToken -31001 "the access token's issuer is not accepted here";
    /// For another server.
    TokenAudience token_audience 401 InvalidToken -31001 "the access token was issued for another resource";
    /// Another kind of token.
    TokenType token_type 401 InvalidToken -31001 "the token is not an access token";
    /// Signed in a way this issuer does not sign.
    TokenAlgorithm token_algorithm 401 InvalidToken -31001 "the access token's algorithm is not accepted";
    /// Signed with a key the issuer does not publish.
    TokenKeyUnknown token_key_unknown 401 InvalidToken -31001 "the access token's key is not known";
    /// Valid for longer than allowed.
    TokenLifetime token_lifetime 401 InvalidToken -31001 "the access token lives too long";
    /// Bound to another sender, or not bound where it has to be.
    SenderUnbound sender_unbound 401 InvalidToken -31001 "the access token is not bound to its sender as it has to be";
    /// The proof of its sender does not hold.
    SenderProofInvalid sender_proof_invalid 401 InvalidProof -31001 "the proof of possession is not valid";
    /// The proof of its sender lacks the server's nonce.
    SenderNonce sender_nonce 401 UseNonce -31001 "the proof of possession needs the server's nonce";
    /// Taken back by its issuer.
    Revoked revoked 401 InvalidToken -31001 "the access token was revoked";
    /// A scope is missing.
    ScopeMissing scope_missing 403 InsufficientScope -31001 "the access token lacks a scope this call needs";
    /// The tool is not in the policy.
    ToolUnknown tool_unknown 403 Silent -31001 "the tool is not permitted";
    /// The method is not in the policy.
    MethodUnknown method_unknown 403 Silent -31001 "the method is not permitted";
    /// Nobody knows the task, or another started it.
    TaskUnknown task_unknown 403 Silent -31001 "no such task";
    /// The condition of the rule does not hold.
    ConditionFalse condition_false 403 Silent -31001 "the call is not permitted with these arguments";
    /// The condition of the rule has no result.
    ConditionError condition_error 403 Silent -31001 "whether the call is permitted cannot be told";
    /// The chain of actors is too long.
    ChainTooDeep chain_too_deep 403 Silent -31001 "the delegation chain is too deep";
    /// An actor of the chain is not accepted here.
    ChainActor chain_actor 403 Silent -31001 "an actor of the delegation chain is not accepted here";
    /// An actor stands twice in the chain.
    ChainLoop chain_loop 403 Silent -31001 "the delegation chain has a loop";
    /// The chain of actors cannot be read.
    ChainMalformed chain_malformed 403 Silent -31001 "the delegation chain is malformed";
    /// No server of the policy matches.
    ServerUnmatched server_unmatched 403 Silent -31001 "no such resource";
    /// A page of this origin may not call.
    OriginInvalid origin_invalid 403 Silent -31001 "pages of this origin may not call";
    /// The broker refused to mint.
    CredentialRefused credential_refused 403 Silent -31001 "no credential was issued for this call";
    /// The request cannot be read strictly.
    RequestMalformed request_malformed 400 Silent -32600 "the request is malformed";
    /// The body is not strict JSON.
    RequestUnparsable request_malformed 400 Silent -32700 "the request body is not valid JSON";
    /// The protocol version is not one we judge.
    VersionUnsupported request_malformed 400 Silent -32022 "the protocol version is not supported";
    /// The protocol version of an agent is not one we judge: `VersionNotSupportedError` of A2A.
    AgentVersion request_malformed 400 Silent -32009 "the protocol version is not supported";
    /// Headers and body disagree.
    HeaderMismatch header_mismatch 400 Silent -32020 "headers and body disagree";
    /// The body is larger than the limit.
    RequestTooLarge request_too_large 413 Silent -32600 "the request body is too large";
    /// The session is another principal's, or none.
    SessionForeign session_foreign 404 Silent -31002 "no such session";
    /// The issuer's keys cannot be had.
    KeysUnavailable keys_unavailable 503 Silent -31003 "the token cannot be checked now";
    /// Whether the token was revoked cannot be known.
    RevocationStale revocation_stale 503 Silent -31003 "whether the token was revoked cannot be known now";
    /// The broker cannot be reached, or does not answer as it should.
    BrokerUnavailable broker_unavailable 503 Silent -31003 "no credential can be issued now";
    /// The keys of sessions cannot be had from the broker.
    SessionsUnavailable broker_unavailable 503 Silent -31003 "the session cannot be checked now";
    /// The call could not be recorded.
    AuditUnavailable audit_unavailable 503 Silent -31003 "the call cannot be recorded now";
    /// The proxy did not do what was asked of it.
    HostFailed host_failed 503 Silent -31003 "the request cannot be handled now";
    /// The upstream refused our credential.
    UpstreamRefused upstream_refused 502 Silent -31004 "the upstream refused the credential";
    /// The upstream's answer cannot be read strictly, and it lists what not everybody may see.
    UpstreamMalformed upstream_malformed 502 Silent -31004 "the upstream's answer cannot be shown";
    /// The client went away before there was a decision.
    ClientGone client_gone 499 Silent -31003 "the client went away";
}

impl Reason {
    /// The stable name, as in records and metrics.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        self.row().status
    }

    /// The challenge that goes with it.
    pub fn challenge(self) -> Challenge {
        self.row().challenge
    }

    /// Whether it is about the call itself, and not about its token, its sender or the state of the proxy.
    pub fn is_of_the_call(self) -> bool {
        let rules = matches!(self, Self::ScopeMissing | Self::ToolUnknown | Self::MethodUnknown | Self::TaskUnknown);
        let conditions = matches!(self, Self::ConditionFalse | Self::ConditionError);
        let chains = matches!(self, Self::ChainTooDeep | Self::ChainActor | Self::ChainLoop);
        let form = matches!(self, Self::RequestMalformed | Self::RequestUnparsable | Self::RequestTooLarge);
        let eras = matches!(self, Self::VersionUnsupported | Self::AgentVersion | Self::HeaderMismatch);
        rules || conditions || chains || form || eras
    }

    /// The sentence for the caller.
    pub fn say(self) -> &'static str {
        self.row().say
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A decision not to let a request through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// The tool that was asked for, where there was one.
    pub tool: Option<String>,
    /// All scopes the call needs, where scopes would have helped.
    pub required: Scopes,
    /// The entry of the policy that denied, where one did.
    pub by: Option<Box<By>>,
    /// Whether the rule that denied is enforced.
    pub mode: Mode,
    /// For the operator's log; never sent.
    pub note: String,
}

/// What denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// The entry of the policy, below its server.
    pub rule: String,
    /// The actor it does not accept.
    pub actor: Option<String>,
}

impl Denial {
    /// A denial for `reason`, explained to the operator by `note`.
    pub fn new(reason: Reason, note: impl Into<String>) -> Self {
        Self { reason, tool: None, required: Scopes::default(), by: None, mode: Mode::Enforce, note: note.into() }
    }

    /// The same, by the entry `rule` of the policy.
    pub fn by(self, rule: impl Into<String>) -> Self {
        Self { by: Some(Box::new(By { rule: rule.into(), actor: None })), ..self }
    }

    /// The least that would have let it through what denied it, for who holds the scopes `held`.
    pub fn remedy(&self, held: &Scopes) -> Option<Remedy> {
        let scopes = Remedy::of(&self.required.without(held));
        let (rule, actor) = self.by.as_deref().map_or((None, None), |by| (Some(by.rule.clone()), by.actor.clone()));
        let remedy = Remedy { rule, actor, ..scopes };
        (remedy != Remedy::default()).then_some(remedy)
    }

    /// The answer on the wire: status, challenge, and a JSON-RPC error or the problem's details.
    ///
    /// `server` is the one that matched, `id` the request's as it stands in the body, `decision` the record's.
    pub fn reply(&self, server: Option<&Server>, id: Option<&str>, decision: &str) -> Reply {
        let row = self.reason.row();
        let http = server.is_some_and(|server| matches!(server.protocol, Protocol::Http(_)));
        let body = if http { self.problem(&row, decision) } else { self.body(&row, id, decision) };
        // A call that has an identifier can be told in the protocol's own words. A session is judged before its call is
        // read: only a 404 makes a client open another.
        if id.is_some() && server.is_some_and(|server| server.denials == Denials::JsonRpc) {
            return Reply::json(200, body);
        }
        let kind = if http { "application/problem+json" } else { "application/json" };
        let mut reply = Reply::of(row.status, kind, body);
        if let Some(challenge) = server.and_then(|server| challenge::render(self, server)) {
            reply = reply.with("www-authenticate", challenge);
        }
        if row.status == 503 {
            reply = reply.with("retry-after", "1");
        }
        reply
    }

    fn body(&self, row: &Row, id: Option<&str>, decision: &str) -> String {
        let data = self.data(row, decision);
        let error = json!({ "code": row.code, "message": row.say, "data": data });
        let id = id.and_then(|id| serde_json::from_str(id).ok()).unwrap_or(Value::Null);
        json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string()
    }

    /// [RFC 9457 §3](https://www.rfc-editor.org/rfc/rfc9457#section-3): without a `type` the status says what kind of problem
    /// it is; our own members say the rest.
    fn problem(&self, row: &Row, decision: &str) -> String {
        let problem = Problem { status: row.status, detail: row.say, data: self.data(row, decision) };
        serde_json::to_string(&problem).unwrap_or_default()
    }

    fn data<'a>(&'a self, row: &Row, decision: &'a str) -> Data<'a> {
        let versions = match self.reason {
            Reason::VersionUnsupported => Some(crate::mcp::VERSIONS),
            Reason::AgentVersion => Some(crate::a2a::VERSIONS),
            _ => None,
        };
        Data {
            reason: row.name,
            tool: self.tool.as_deref(),
            required_scopes: &self.required,
            supported: versions,
            decision_id: decision,
        }
    }
}

/// The problem details of a denial on an HTTP API.
#[derive(Serialize)]
struct Problem<'a> {
    status: u16,
    detail: &'static str,
    #[serde(flatten)]
    data: Data<'a>,
}

/// The `data` of a JSON-RPC error; members that do not apply are left out.
#[derive(Serialize)]
struct Data<'a> {
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<&'a str>,
    #[serde(skip_serializing_if = "Scopes::is_empty")]
    required_scopes: &'a Scopes,
    #[serde(skip_serializing_if = "Option::is_none")]
    supported: Option<&'static [&'static str]>,
    decision_id: &'a str,
}
