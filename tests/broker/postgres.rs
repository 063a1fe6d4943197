//! The contract of the store once more, on PostgreSQL: the same tests, see `POSTGRES` in `support.rs`.

mod agents;
mod audit;
mod binding;
mod client;
mod clients;
mod crash;
mod delegate;
mod exchange;
mod feed;
mod foreign;
mod grants;
mod id_jag;
mod introspect;
mod issue;
mod keys;
mod lease;
mod model;
mod replicas;
mod revoke;
mod roles;
mod session;
mod signals;
mod support;
mod team;
