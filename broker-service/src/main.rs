//! `accredit`: the broker, and the operator's command line.

mod admin;
mod agents;
mod app;
mod audit;
mod bond;
mod chain;
mod checkpoint;
mod clock;
mod command;
mod config;
mod credential;
mod delegation;
mod enterprise;
mod error;
mod foreign;
mod issuer;
mod keys;
mod lease;
mod limit;
mod listener;
mod metadata;
mod metrics;
mod note;
mod operator;
mod outbound;
mod proxies;
mod retention;
mod revocations;
mod seal;
mod secrets;
mod sessions;
mod signals;
mod signer;
mod store;
mod token;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;
use command::Command;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Runs one command; 0 is done, 1 refused or found wanting, 2 wrong usage.
#[tokio::main]
async fn main() -> ExitCode {
    match Command::parse().run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
