//! `broker.yaml` as it is written. No rule lives here.

use std::collections::BTreeMap;

use accredit_policy::config::field::Field;
use accredit_policy::config::unit::Span;
use accredit_policy::object;
use serde_json::Value;

type List<T> = Vec<Field<T>>;
type Named<T> = BTreeMap<String, Field<T>>;

object! {
    /// The broker's configuration. Relative paths start at the folder of this file.
    pub struct File {
        /// The revision of this format: `1`.
        pub version: u64,
        /// The public URL of this broker, the `iss` of its tokens.
        pub issuer: String,
        /// Where to listen: address and port.
        pub listen: String,
        /// Lets `listen` be more than loopback although there is no TLS.
        pub insecure: bool,
        /// Makes the listener speak TLS, and HTTP no more without it.
        pub tls: Tls,
        /// How many connections there may be, and how long things may take.
        pub limits: Limits,
        /// The folder of the database, made when it is missing.
        pub data: String,
        /// The database, where it is not a file in `data`.
        pub store: Store,
        /// The policy file, the same the proxies enforce.
        pub policy: String,
        /// Who may read the audit.
        pub operators: Operators,
        /// The proxies that may exchange tokens and deliver records, by client identifier.
        pub proxies: Named<Proxy>,
        /// Agents to register at start.
        pub agents: List<Agent>,
        /// The credentials there are, by the names the policy uses.
        pub credentials: Named<Credential>,
        /// What wraps the keys that seal secrets at rest; a key file among the data, made when it is missing, unless given.
        pub secrets: Secrets,
        /// How long the keys live with which proxies seal MCP sessions.
        pub session_keys: SessionKeys,
        /// The identity providers whose assertions (ID-JAG) agents may bring for tokens, by a name for people.
        pub enterprise: Named<Enterprise>,
        /// Who may send security events (RFC 8935, Shared Signals) that revoke tokens, by a name for the record.
        pub signals: Named<Signal>,
        /// How far agents may hand on tasks.
        pub delegation: Delegation,
        /// When the keys take turns that sign tokens.
        pub signing_keys: SigningKeys,
        /// How long records are kept, and where they and checkpoints of them go.
        pub audit: Audit,
    }
}

object! {
    /// The audit.
    pub struct Audit {
        /// How long records are kept, such as `400d`; for ever unless given.
        pub keep: Span,
        /// Where signed checkpoints go beside the database: whoever can write that cannot take back what was said there.
        pub checkpoints: Checkpoints,
        /// An OpenTelemetry collector that gets all records.
        pub otlp: Otlp,
    }
}

object! {
    /// Where checkpoints go: `file`, `url`, or both.
    pub struct Checkpoints {
        /// A file they are appended to, one a line.
        pub file: String,
        /// Where they are posted to, each as a signed note.
        pub url: String,
    }
}

object! {
    /// An OpenTelemetry collector that takes logs over OTLP/HTTP in JSON.
    pub struct Otlp {
        /// The whole URL, such as `https://collector.internal/v1/logs`.
        pub url: String,
        /// A file with headers for every request, one a line, such as `authorization: Bearer …`.
        pub headers_file: String,
        /// A file with the certificates that the collector's may be signed by, beside those of the system.
        pub ca_file: String,
        /// The most records one request has; `512` unless given, which is the most.
        pub batch: u64,
    }
}

object! {
    /// The database, where it is not a file.
    pub struct Store {
        /// PostgreSQL.
        pub postgres: Postgres,
    }
}

object! {
    /// A database that several brokers share.
    pub struct Postgres {
        /// A file that holds its URL, such as `postgres://accredit:…@db.internal/accredit`.
        pub url_file: String,
        /// How many records of the audit a partition holds, of those made from now on; `4194304` unless given.
        pub partition: u64,
    }
}

object! {
    /// TLS 1.2 and 1.3. The files are read again when they change.
    pub struct Tls {
        /// The broker's certificate and what chains it to a root, PEM.
        pub certificate_file: String,
        /// Its key, PEM; refused when others than the owner may read it.
        pub key_file: String,
        /// Authorities of clients, PEM: clients are asked for certificates, and one that is shown has to chain to one of
        /// them. Nobody has to show one.
        pub client_ca_file: String,
    }
}

object! {
    /// How many connections there may be, and how long things may take.
    pub struct Limits {
        /// The most connections at one time; `1024` unless given. More wait.
        pub connections: u64,
        /// For each of handshake, head and body of a request; `10s` unless given.
        pub request: Span,
        /// From a request's head to its answer; `30s` unless given.
        pub answer: Span,
        /// For what has begun when the process is told to stop; `10s` unless given.
        pub drain: Span,
        /// How often one agent may ask for tokens, and about them; 50 in a second and 100 at once unless given.
        pub token: Rate,
        /// How often it may fail from one address to prove who one is; 5 in a second and 50 at once unless given.
        pub failures: Rate,
    }
}

object! {
    /// A rate.
    pub struct Rate {
        /// How many in a second.
        pub per_second: u64,
        /// How many at once, ahead of that.
        pub burst: u64,
    }
}

object! {
    /// Who may read the audit.
    pub struct Operators {
        /// A file that holds their bearer token.
        pub token_file: String,
    }
}

object! {
    /// One proxy, known by a secret, by its certificate or by either.
    pub struct Proxy {
        /// A file that holds its secret.
        pub secret_file: String,
        /// A URI or DNS name in its certificate; takes `tls.client_ca_file`.
        pub san: String,
        /// More of them.
        pub sans: List<String>,
    }
}

object! {
    /// One agent.
    pub struct Agent {
        /// Its client identifier.
        pub id: String,
        /// Its name for people; the identifier unless given.
        pub name: String,
        /// Who answers for it.
        pub owner: String,
        /// What it is for.
        pub purpose: String,
        /// How it proves who it is: `client_secret_basic` (default), `private_key_jwt` or `tls_client_auth`.
        pub method: String,
        /// A file that holds its secret.
        pub secret_file: String,
        /// Its public keys, for `private_key_jwt`.
        pub jwks: Value,
        /// What its certificate has to say, for `tls_client_auth`.
        pub certificate: Certificate,
        /// Which grants it may use: `client_credentials` (default), `token_exchange`, `jwt_bearer`.
        pub grants: List<String>,
        /// The scopes it may ask for.
        pub scopes: List<String>,
        /// The resources it may ask for.
        pub resources: List<String>,
        /// Its own addresses as a resource: the audiences of tokens others hand to it.
        pub accepts: List<String>,
        /// How long its tokens live; `10m` unless given, at most `1h`.
        pub token_lifetime: Span,
        /// Agents it may hand a task on to: names, or beginnings with `*`; nobody unless given.
        pub may_delegate_to: List<String>,
        /// Workflows it may start.
        pub triggers: List<String>,
        /// To what its tokens have to be bound: `none` (default), `dpop` or `mtls`.
        pub bound: String,
        /// When its time is over, such as `2027-01-31T00:00:00Z`.
        pub expires_at: String,
        /// After how long without use it is suspended, such as `720h`.
        pub unused_for: Span,
    }
}

object! {
    /// What a certificate has to say: one of these.
    pub struct Certificate {
        /// A URI among its alternative names.
        pub uri: String,
        /// A DNS name among them.
        pub dns: String,
        /// Its subject, as RFC 4514 writes it.
        pub subject: String,
    }
}

object! {
    /// One credential; its kind knows more keys.
    pub struct Credential {
        /// How it is made: `aws`, `github`, `jwt`, `oauth`, `openbao`, `postgres` or `static`.
        pub kind: String,
        /// How long it lives; `60s` unless given, and never longer than the agent's token.
        pub ttl: Span,
        /// How long a proxy may use it again for the same agent, subject, chain, server, tool and scope; not at all unless
        /// given.
        pub reuse: Span,
        /// Whether it ends with the call it was minted for (`call`) or with its time (`expiry`), where its target takes
        /// credentials back; `call` unless given, or unless it has `reuse`.
        pub until: String,
        /// The headers it is put into, with its parts as `{token}`; each kind has its own usual ones.
        pub headers: Named<String>,
    }
}

object! {
    /// What wraps the keys that seal secrets at rest: one of `key_file` and `openbao`.
    pub struct Secrets {
        /// A file with 64 hex digits that only its owner may read.
        pub key_file: String,
        /// A key of OpenBao.
        pub openbao: Transit,
        /// What has wrapped them until now, while it is changed.
        pub previous: Previous,
    }
}

object! {
    /// What has wrapped the keys until now: one of `key_file` and `openbao`.
    pub struct Previous {
        /// A file with 64 hex digits that only its owner may read.
        pub key_file: String,
        /// A key of OpenBao.
        pub openbao: Transit,
    }
}

object! {
    /// A key of OpenBao's transit engine.
    pub struct Transit {
        /// OpenBao's address, `https://…`.
        pub address: String,
        /// A file with a token that may encrypt and decrypt with the key.
        pub token_file: String,
        /// Where the engine is mounted; `transit` unless given.
        pub mount: String,
        /// The key's name.
        pub key: String,
        /// A file with the certificates that OpenBao's may be signed by, beside those of the system.
        pub ca_file: String,
    }
}

object! {
    /// How long the keys of sessions live.
    pub struct SessionKeys {
        /// How long a key seals; `24h` unless given.
        pub rotate: Span,
        /// How long it opens after that; `24h` unless given. An older session has to be opened anew.
        pub overlap: Span,
    }
}

object! {
    /// One enterprise's identity provider.
    pub struct Enterprise {
        /// The exact `iss` of its assertions.
        pub issuer: String,
        /// Its public keys.
        pub jwks: Keys,
        /// The signature algorithms accepted from it.
        pub algorithms: List<String>,
    }
}

object! {
    /// Public keys: either `keys` or `url`.
    pub struct Keys {
        /// The keys themselves, as JSON Web Keys.
        pub keys: List<Value>,
        /// Where to fetch them.
        pub url: String,
        /// How often to fetch them; `5m` unless given.
        pub refresh: Span,
    }
}

object! {
    /// One transmitter of security events.
    pub struct Signal {
        /// The exact `iss` of its events.
        pub issuer: String,
        /// Its public keys.
        pub jwks: Keys,
        /// The signature algorithms accepted from it.
        pub algorithms: List<String>,
        /// Whom its events are for; the broker's `issuer` unless given.
        pub audience: String,
        /// A file that holds the bearer token it has to send, besides its signature.
        pub secret_file: String,
        /// Whose agents, subjects and tokens it may revoke, by `iss`; its own unless given.
        pub issuers: List<String>,
        /// What subjects without an issuer are names of; takes one entry in `issuers`.
        pub subjects: Subjects,
        /// How old an event may be when it comes, `1m` to `168h`; `10m` unless given.
        pub max_age: Span,
    }
}

object! {
    /// What subjects without an issuer are names of. They are left aside unless given.
    pub struct Subjects {
        /// Subjects of format `email`: `subject`, a `sub` of tokens.
        pub email: String,
        /// Subjects of format `opaque`: `agent`, `subject`, or `token`, a `jti`.
        pub opaque: String,
    }
}

object! {
    /// How far agents may hand on tasks.
    pub struct Delegation {
        /// The most agents a task may go through, `0` to `16`; `3` unless given.
        pub max_depth: u64,
    }
}

object! {
    /// When the keys take turns that sign tokens.
    pub struct SigningKeys {
        /// How long a key signs; `720h` unless given.
        pub rotate: Span,
        /// How long it is published before that; `10m` unless given. Whoever keeps a key set for longer may refuse tokens.
        pub lead: Span,
    }
}
