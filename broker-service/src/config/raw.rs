//! `broker.yaml` as it is written. No rule lives here.

use std::collections::BTreeMap;

use accredit_policy::config::field::Field;
use accredit_policy::config::unit::Span;
use accredit_policy::object;

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
        /// The folder of database and signing key, made when it is missing.
        pub data: String,
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
        /// How long the keys live with which proxies seal MCP sessions.
        pub session_keys: SessionKeys,
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
    /// One proxy.
    pub struct Proxy {
        /// A file that holds its secret.
        pub secret_file: String,
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
        /// A file that holds its secret.
        pub secret_file: String,
        /// The scopes it may ask for.
        pub scopes: List<String>,
        /// The resources it may ask for.
        pub resources: List<String>,
        /// How long its tokens live; `10m` unless given, at most `1h`.
        pub token_lifetime: Span,
    }
}

object! {
    /// One credential; its kind knows more keys.
    pub struct Credential {
        /// How it is made: `jwt`.
        pub kind: String,
        /// How long it lives; `60s` unless given, and never longer than the agent's token.
        pub ttl: Span,
        /// How long a proxy may use it again for the same agent, subject, chain, server, tool and scope; not at all unless
        /// given.
        pub reuse: Span,
        /// The headers it is put into, with its parts as `{token}`; each kind has its own usual ones.
        pub headers: Named<String>,
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
