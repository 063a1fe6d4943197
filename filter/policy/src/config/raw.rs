//! The policy file as it is written. No rule lives here; `check.rs` turns it into a [`Policy`](crate::Policy).

use std::collections::BTreeMap;

use serde_json::Value;

use super::field::Field;
use super::unit::{Size, Span};
use crate::object;

type List<T> = Vec<Field<T>>;
type Named<T> = BTreeMap<String, Field<T>>;

object! {
    /// Which agents may call which tools of which servers.
    pub struct File requires ["version", "issuers", "broker", "servers"] {
        /// The revision of this format: `1`.
        pub version: u64,
        /// Who issues tokens, by a name of your choice.
        pub issuers: Named<Issuer>,
        /// Where credentials are minted and audit records kept.
        pub broker: Broker,
        /// The protected resources, by a name of your choice.
        pub servers: Named<Server>,
        /// The keys of MCP sessions; the broker's unless given.
        pub session_key: SessionKey,
        /// How records reach the broker.
        pub audit: Audit,
        /// How the broker's revocations are followed.
        pub revocation: Revocation,
        /// Shows agent, tool and decision to Envoy's access log; `true` unless given.
        pub access_log: bool,
        /// When calls are decided: `hold` for their body, or `early_headers` on hosts that cannot hold headers, where only
        /// requests of revision 2026-07-28 can be judged; `hold` unless given.
        pub body: String,
    }
}

object! {
    /// One token issuer.
    pub struct Issuer requires ["issuer", "jwks", "algorithms"] {
        /// `oauth` for access tokens, `spiffe` for JWT-SVIDs; `oauth` unless given.
        pub kind: String,
        /// The exact `iss` of its tokens; for `spiffe` the trust domain, as `spiffe://name`.
        pub issuer: String,
        /// Its public keys.
        pub jwks: Jwks,
        /// The signature algorithms accepted from it.
        pub algorithms: List<String>,
        /// The accepted `typ` header; `at+jwt` unless given, `any` takes all but those of other kinds of token.
        pub typ: String,
        /// The claim that names the agent; `client_id` unless given.
        pub agent_claim: String,
        /// The claim that holds the scopes; `scope` unless given.
        pub scope_claim: String,
        /// How far clocks may be apart; `30s` unless given, at most `60s`.
        pub clock_skew: Span,
        /// The longest accepted time from `iat` to `exp`; `1h` unless given.
        pub max_token_lifetime: Span,
        /// For `spiffe`: the scopes of workloads, by SPIFFE ID or by prefix ending in `*`.
        pub grants: Named<List<String>>,
        /// The peers its tokens may come from, by SPIFFE ID or by prefix ending in `*`; any unless given.
        pub workloads: List<String>,
        /// Asks the status lists its tokens name.
        pub status: Status,
    }
}

object! {
    /// How status lists are had.
    pub struct Status requires ["cluster"] {
        /// The Envoy cluster through which to fetch them.
        pub cluster: String,
        /// How old a list may be; `5m` unless given.
        pub max_age: Span,
        /// Where lists may be besides the origins of `issuer` and `jwks.url`, as `https://host` each.
        pub origins: List<String>,
    }
}

object! {
    /// Public keys: either `keys`, or `url` with `cluster`.
    pub struct Jwks {
        /// The keys themselves, as JSON Web Keys.
        pub keys: List<Value>,
        /// Where to fetch them.
        pub url: String,
        /// The Envoy cluster through which to fetch them.
        pub cluster: String,
        /// How often to fetch them; `5m` unless given.
        pub refresh: Span,
    }
}

object! {
    /// The broker as the proxy reaches it.
    pub struct Broker requires ["cluster", "authority"] {
        /// The Envoy cluster of the broker.
        pub cluster: String,
        /// The `:authority` to send.
        pub authority: String,
        /// How long to wait for an answer; `500ms` unless given.
        pub timeout: Span,
        /// How the proxy authenticates; leave out where the cluster carries a client certificate.
        pub client: Client,
    }
}

object! {
    /// The keys of MCP sessions, the same for all proxies that serve the same clients.
    pub struct SessionKey requires ["env"] {
        /// The environment variable of Envoy that holds them: one of at least 32 characters, earlier ones after white space.
        pub env: String,
    }
}

object! {
    /// The proxy as an OAuth client of the broker.
    pub struct Client requires ["id", "secret_env"] {
        /// Its client identifier.
        pub id: String,
        /// The environment variable of Envoy that holds its secret.
        pub secret_env: String,
    }
}

object! {
    /// One protected resource.
    pub struct Server requires ["resource", "match", "protocol", "issuers"] {
        /// Its public identifier, which is also the audience tokens must carry.
        pub resource: String,
        /// The requests that are for it.
        pub r#match: Match,
        /// What it speaks: `mcp`, `http` or `a2a`.
        pub protocol: String,
        /// The issuers whose tokens it accepts, by their names above.
        pub issuers: List<String>,
        /// Audiences accepted instead of `resource`, for issuers that cannot name a resource.
        pub audiences: List<String>,
        /// How tokens have to be bound to their sender: `bearer`, `dpop`, `mtls` or `bound`; `bearer` unless given.
        pub sender: String,
        /// What it asks of DPoP proofs.
        pub dpop: Dpop,
        /// The peers requests may come from, by SPIFFE ID or by prefix ending in `*`; any unless given.
        pub workloads: List<String>,
        /// Which chains of actors it accepts; any of up to 16 unless given.
        pub delegation: Delegation,
        /// The tools agents may call, by exact name or by prefix ending in `*`; of `http` by names of your choice, of `a2a`
        /// by the names of its operations in 1.0.
        pub tools: Named<Rule>,
        /// The prompts they may use, likewise.
        pub prompts: Named<Rule>,
        /// The resources they may read, by exact URI or by prefix ending in `*`.
        pub resources: Named<Rule>,
        /// Methods that are about none of these, and those to connect and list, which are open unless they stand here.
        pub methods: Named<Rule>,
        /// The origins whose pages may call besides the resource's own, as `https://host` each.
        pub origins: List<String>,
        /// Whether denied calls are refused (`enforce`) or told and let through (`shadow`); `enforce` unless given.
        pub mode: String,
        /// What `mode: shadow` lets through: `calls` whose token is good, or `all`; `calls` unless given.
        pub shadow: String,
        /// How denied calls are answered: `http` by status, `jsonrpc` with 200 and an error; `http` unless given.
        pub denials: String,
        /// Bounds on what is read.
        pub limits: Limits,
    }
}

object! {
    /// What a server asks of DPoP proofs.
    pub struct Dpop {
        /// How old a proof may be; `60s` unless given.
        pub max_age: Span,
        /// Whether a proof has to hold a nonce of ours; `false` unless given.
        pub nonce: bool,
    }
}

object! {
    /// Which chains of actors a server accepts.
    pub struct Delegation {
        /// How many actors there may be; `16` unless given.
        pub max_depth: u64,
        /// Whom each of them has to be among, by name or by prefix ending in `*`; anyone unless given.
        pub actors: List<String>,
    }
}

object! {
    /// Which requests are for a server: its host, and either its path or the beginning of its paths.
    pub struct Match requires ["host"] {
        /// The host, with its port where clients send one.
        pub host: String,
        /// The one path, without query.
        pub path: String,
        /// The place it is at with all that is below.
        pub path_prefix: String,
    }
}

object! {
    /// What one tool, prompt, resource or method asks for.
    pub struct Rule requires ["scopes"] {
        /// Of `http`: the requests it is for, as in `GET /invoices/{id}` or `GET /files/{path=**}`.
        pub r#match: String,
        /// The scopes a token must hold, all of them.
        pub scopes: List<String>,
        /// The credential the broker mints for the call, by its name there.
        pub credential: String,
        /// Arguments of the call the broker gets to see, to narrow the credential by.
        pub credential_arguments: List<String>,
        /// What has to hold besides, in CEL over `args`, `token`, `agent`, `subject`, `chain` and `request`.
        pub when: String,
        /// Whether calls this rule denies are refused (`enforce`) or told and let through (`shadow`).
        pub mode: String,
        /// When calls are written down: `after` them, or `before` they go upstream too, which waits for the broker's disk;
        /// `after` unless given.
        pub audit: String,
        /// The JSON Schema of the tool's arguments, against which `when` is checked.
        pub arguments: Value,
    }
}

object! {
    /// Bounds on what is read.
    pub struct Limits {
        /// The largest request body; `1MiB` unless given.
        pub request: Size,
        /// The largest answer to a list method; `4MiB` unless given.
        pub list_response: Size,
    }
}

object! {
    /// How records reach the broker.
    pub struct Audit {
        /// `deny` calls or `queue` records while the broker cannot be reached; `deny` unless given.
        pub when_unreachable: String,
        /// How many bytes of records a worker keeps; `4MiB` unless given.
        pub queue: Size,
        /// How often records are sent; `1s` unless given.
        pub flush: Span,
    }
}

object! {
    /// How the broker's revocations are followed.
    pub struct Revocation {
        /// How old what is known of them may be before every call is denied; `30s` unless given.
        pub max_age: Span,
    }
}
