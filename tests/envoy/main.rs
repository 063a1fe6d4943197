//! Everything as it runs: real Envoy with the built filter, the broker, a real MCP server, real MCP clients.
//!
//! Without an Envoy the tests say so and pass, except under `CI`; without the SDKs of MCP those that talk to them
//! fail. `scripts/setup` installs both.

mod agents;
mod attacks;
mod binding;
mod bodies;
mod bypasses;
mod canary;
mod conversations;
mod discovery;
mod early;
mod feed;
mod flood;
mod hall;
mod intent;
mod lists;
mod native;
mod outage;
mod protocols;
mod reload;
mod revocation;
mod rotation;
mod scene;
mod sessions;
mod start;
mod tls;
mod tokens;
mod vectors;
