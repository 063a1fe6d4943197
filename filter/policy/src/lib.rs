//! What an agent may do, decided without I/O.
//!
//! Bytes, keys and the time go in as arguments; what the shell has to do comes out as values. The proxy's filter,
//! the broker and the command line run this same code.
//!
//! ```text
//! bytes of the policy ──▶ config ──▶ Policy
//!                                      │
//! headers, body, keys ──▶ Stream ──────┤
//!                           │          ▼
//!                           │   token ─▶ Verified ─▶ sender ─▶ Bound ─┐
//!                           │   mcp   ─▶ Call ───────────────────────┼─▶ decide ──▶ Permit | Denial
//!                           ▼                                        │
//!                        Effects ◀───────────────────────────────────┘
//! ```

pub mod a2a;
pub mod call;
pub mod catalogue;
pub mod challenge;
pub mod config;
pub mod decide;
pub mod denial;
pub mod feed;
pub mod fetch;
pub mod headers;
pub mod history;
pub mod http;
pub mod json;
pub mod jsonrpc;
pub mod keys;
pub mod lists;
pub mod mcp;
pub mod metadata;
pub mod nonce;
pub mod origin;
pub mod outbox;
pub mod pattern;
pub mod policy;
pub mod replay;
pub mod reply;
pub mod resource;
pub mod reuse;
pub mod revocation;
pub mod rules;
pub mod scope;
pub mod secret;
pub mod sender;
pub mod session;
pub mod stream;
pub mod tasks;
pub mod time;
pub mod token;
pub mod watch;
pub mod wire;

#[cfg(test)]
mod testing;

pub use denial::{Denial, Reason};
pub use policy::Policy;
pub use secret::Secret;
pub use time::Time;
