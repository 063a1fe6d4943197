//! The contract of the store once more, on PostgreSQL: the same tests, see `POSTGRES` in `support.rs`.

mod agents;
mod audit;
mod exchange;
mod foreign;
mod issue;
mod session;
mod support;
