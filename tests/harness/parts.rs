//! Real parts of other makers, each started by the test that needs it, on loopback.
//!
//! | file | part |
//! |---|---|
//! | `github` | GitHub's side of an App, held to GitHub's own description of its API |
//! | `moto` | moto: AWS's STS and IAM, which check signatures, policies and trust when told to |
//! | `oidc` | oidc-provider: a foreign authorization server |
//! | `openbao` | OpenBao: secrets of databases, SSH certificates, encryption, and what only a policy allows |
//! | `postgres` | PostgreSQL: a private cluster, one for all tests of a process or one to kill |
//! | `tied` | how their processes end with ours |
//!
//! `scripts/setup` installs them. Where it could not, the function that starts a part says so and answers `None`, and
//! the test ends there; under `CI` nothing is skipped.

mod github;
mod moto;
mod oidc;
mod openbao;
mod postgres;
mod tied;

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub use github::{GitHub, Grant, Trouble};
pub use moto::{Keys, Moto};
pub use oidc::{Format, Oidc, Request, Settings};
pub use openbao::OpenBao;
pub use postgres::{Fsync, Postgres};

/// What `variable` names, else what `installed` finds. When there is neither, says what the test misses.
///
/// # Panics
/// Under `CI`, where a test must not be skipped unseen.
fn find(part: &str, variable: &str, installed: impl FnOnce() -> Option<PathBuf>) -> Option<PathBuf> {
    let named = std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    let found = named.or_else(installed);
    let missing = || format!("a test needs {part}: run scripts/setup, which tells of {variable}");
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "{}", missing());
    if found.is_none() {
        // Not by `eprintln`, which shows only with tests that fail.
        writeln!(std::io::stderr(), "skipped: {}", missing()).ok();
    }
    found
}

/// A file that `scripts/setup` makes.
fn setup(name: &str) -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/parts").join(name);
    file.exists().then_some(file)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.expect("loopback has a free port").port()
}

fn text(answer: &Value, pointer: &str) -> String {
    let text = answer.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("no `{pointer}` in {answer}")).to_owned()
}
