//! The broker as its clients see it: over HTTP, with its real database; and the command line.

mod agents;
mod audit;
mod binding;
mod aws;
mod cli;
mod client;
mod clients;
mod exchange;
mod explain;
mod foreign;
mod introspect;
mod issue;
mod limit;
mod github;
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
