//! The command line.

mod agents;
mod audit;
mod explain;
mod keys;
mod leases;
mod policy;
mod remote;
mod revoke;
mod secrets;
mod serve;
mod table;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Credentials and audit for agents behind Envoy.
#[derive(Debug, Parser)]
#[command(name = "accredit", version)]
pub struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the keys that sign tokens, and make new ones.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Run the broker.
    Serve {
        /// The broker's configuration.
        #[arg(long)]
        config: PathBuf,
    },
    /// Check, explain and describe policies.
    #[command(subcommand)]
    Policy(Policy),
    /// Register, list, suspend and retire agents.
    #[command(subcommand)]
    Agents(agents::Agents),
    /// Search, follow, export, sum up and verify the audit.
    #[command(subcommand)]
    Audit(Box<audit::Audit>),
    /// List and take back credentials that were minted.
    #[command(subcommand)]
    Leases(leases::Leases),
    /// Take back tokens, agents, subjects, keys, issuers, servers and tools, and give them again.
    #[command(subcommand)]
    Revoke(revoke::Revoke),
    /// Put, list and remove secrets of targets, and change the key that seals them.
    #[command(subcommand)]
    Secrets(secrets::Secrets),
}

#[derive(Debug, Subcommand)]
enum Policy {
    /// Check a policy file and report everything that is wrong with it.
    Check {
        /// The policy, YAML or JSON.
        file: PathBuf,
        /// How to print the verdict.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Say what the filter would do with a request, without a proxy.
    Explain(explain::Explain),
    /// Print the JSON Schema of the policy file.
    Schema,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

impl Output {
    /// Prints `answer`, for people as `text` says it.
    fn print(self, answer: &serde_json::Value, text: impl Fn(&serde_json::Value) -> String) {
        match self {
            Self::Text => println!("{}", text(answer)),
            Self::Json => println!("{answer}"),
        }
    }
}

impl Command {
    /// Runs it; `Ok` holds the exit code, `Err` is a failure to be reported.
    pub async fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self.verb {
            Verb::Keys(keys) => keys.run().await,
            Verb::Serve { config } => serve::run(&config).await.map(|()| ExitCode::SUCCESS),
            Verb::Policy(Policy::Check { file, output }) => policy::check(&file, output),
            Verb::Policy(Policy::Explain(explain)) => explain.run(),
            Verb::Policy(Policy::Schema) => policy::schema(),
            Verb::Agents(agents) => agents.run().await,
            Verb::Audit(audit) => audit.run().await,
            Verb::Leases(leases) => leases.run().await,
            Verb::Revoke(revoke) => revoke.run().await,
            Verb::Secrets(secrets) => secrets.run().await,
        }
    }
}
