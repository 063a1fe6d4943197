//! Everything as it runs: real Envoy with the built filter, the broker, a real MCP server, real MCP clients.
//!
//! Without an Envoy the tests say so and pass, except under `CI`; `scripts/setup` installs one.

mod agents;
mod binding;
mod bodies;
mod early;
mod native;
mod outage;
mod revocation;
mod rotation;
mod scene;
mod start;
mod tls;
mod tokens;
mod vectors;
