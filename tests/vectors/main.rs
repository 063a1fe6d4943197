//! Tokens, keys and proofs an attacker would bring, and what another verifier says of them.

mod attacks;
mod differential;
mod file;
mod host;
mod mcp;
mod monotone;
mod readers;
mod seeds;
mod wasm;
mod wycheproof;
