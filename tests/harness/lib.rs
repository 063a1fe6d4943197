//! The harness: the built filter in a stateful fake Envoy, and what tests need around it.
//!
//! ```no_run
//! # use harness::{Answer, Issuer, Proxy, Request};
//! # use serde_json::json;
//! # let (policy, call) = (json!({}), json!({}));
//! let issuer = Issuer::new("https://idp.example.test");
//! let proxy = Proxy::start(policy.to_string());
//! proxy.cluster("broker").answer(|call| Answer::json(200, json!({ "active": true })));
//!
//! let exchange = proxy.run(Request::post("/crm/mcp").bearer(&issuer.token().sign()).json(&call));
//! assert_eq!(exchange.forwarded().json(), call);
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `proxy`, `builder` | what a test holds: workers, clock, log, metrics, delivery of callouts |
//! | `stream`, `request` | one exchange, from both sides |
//! | `cluster`, `feed` | what the filter's own calls are answered |
//! | `issuer` | test tokens, sound and broken |
//! | `native` | signatures, checked as Envoy's own function does |
//! | `check` | what has to hold in every test |
//! | `machine`, `flow` | Envoy: callbacks in their order; what is held and what is let go |
//! | `host`, `traffic` | the state behind the hostcalls, process-wide and per stream |
//! | `boot`, `vm`, `hostcalls`, `wasi`, `abi`, `module` | the guest and its imports |
//! | `sdk` | conversations between the official SDKs, recorded |
//! | `parts` | real third-party services, each started by the test that needs it |
//! | `agent`, `stack`, `tools`, `site`, `wire` | the real thing: agents, the whole deployment, a tool server, an issuer's site, odd clients |
//! | `authority` | certificates for TLS |
//!
//! The fake Envoy reads no clock and never sleeps: the same test always runs the same way.

mod abi;
pub mod agent;
pub mod authority;
mod boot;
mod builder;
pub mod check;
mod cluster;
mod feed;
mod flow;
mod headers;
mod host;
mod hostcalls;
pub mod issuer;
mod machine;
pub mod module;
mod native;
pub mod parts;
mod proxy;
mod request;
pub mod sdk;
pub mod site;
pub mod stack;
mod stream;
pub mod tools;
mod traffic;
mod vm;
mod wasi;
pub mod wire;

pub use builder::Builder;
pub use check::audit_records;
pub use cluster::{Answer, Call, Cluster};
pub use feed::Feed;
pub use headers::Headers;
pub use host::{Line, START};
pub use issuer::{Alg, Holder, Issuer, Token};
pub use proxy::{Exception, Proxy, Refused};
pub use request::{End, Request, Response};
pub use stream::{Outcome, Reply, Stream, Upstream};
