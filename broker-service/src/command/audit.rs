//! `accredit audit …`

mod verify;

use std::error::Error;
use std::process::ExitCode;

use clap::Subcommand;

use super::remote::{Remote, To};
use super::table;

/// What is done with the audit.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Print the public key that signs checkpoints, for `verify --key`.
    Key {
        #[command(flatten)]
        to: To,
    },
    /// Check that no record was altered, removed, added or moved, without a broker.
    Verify(verify::Verify),
}

impl Audit {
    /// Runs it.
    pub async fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::Key { to } => {
                let answer = Remote::new(&to.remote)?.get(&["v1", "audit", "key"]).await?;
                to.output.print(&answer, |answer| table::text(answer, "/vkey"));
                Ok(ExitCode::SUCCESS)
            }
            Self::Verify(verify) => verify.run().await,
        }
    }
}
