//! The broker as its clients see it: over HTTP, with its real database; and the command line.

mod agents;
mod audit;
mod aws;
mod binding;
mod cli;
mod client;
mod clients;
mod exchange;
mod explain;
mod foreign;
mod github;
mod introspect;
mod issue;
mod limit;
mod oauth;
mod odd;
mod parts;
mod revoke;
mod secrets;
mod session;
mod start;
mod support;
mod targets;
mod transport;
