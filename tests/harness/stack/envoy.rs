//! A real Envoy: where it is, how it is started, where things are in its configuration.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::files::secret;
use super::ports::Ports;
use super::process::{Failure, Process};
use super::programs::root;
use crate::module;

/// The binary: `ENVOY`, else what `scripts/setup` installs, else none.
pub fn binary() -> Option<PathBuf> {
    let named = std::env::var_os("ENVOY").filter(|path| !path.is_empty()).map(PathBuf::from);
    let installed = || Some(root().join("target/envoy/bin/envoy")).filter(|path| path.exists());
    named.or_else(installed)
}

/// Whether a test that needs Envoy can run; says so when it cannot.
///
/// # Panics
/// Under `CI`, where a test must not be skipped unseen.
pub fn available(test: &str) -> bool {
    let found = binary().is_some();
    let missing = || format!("{test} needs Envoy: run scripts/setup, or name a binary in ENVOY");
    assert!(found || std::env::var_os("CI").is_none(), "{}", missing());
    if !found {
        eprintln!("skipped: {}", missing());
    }
    found
}

/// Starts Envoy from `dir/envoy.json`.
///
/// # Errors
/// Its log, when it ends or does not get ready: a policy that the filter refuses ends it.
///
/// # Panics
/// When there is no Envoy.
pub async fn try_start(dir: &Path, ports: Ports) -> Result<Process, Failure> {
    let binary = binary().expect("Envoy is there: run scripts/setup, or name a binary in ENVOY");
    let mut command = Command::new(binary);
    command.arg("--config-path").arg(dir.join("envoy.json"));
    // Without hot restart there is no base id to share, so any number of Envoys run side by side.
    // What a new configuration replaces goes at once.
    command.args(["--concurrency", "2", "--disable-hot-restart", "--drain-time-s", "0"]);
    command.args(["--log-level", "warning", "--component-log-level", "wasm:info"]);
    command.env("ACCREDIT_PROXY_SECRET", secret(dir, "proxy.secret"));
    let envoy = Process::spawn("envoy", &mut command, dir);
    envoy.ready(&format!("{}/ready", ports.envoy_admin())).await
}

/// The gateway's filter chain in Envoy's configuration.
///
/// # Panics
/// When the configuration has another shape than `envoy/envoy.yaml`.
pub fn chain(config: &mut Value) -> &mut Value {
    config.pointer_mut("/static_resources/listeners/0/filter_chains/0").expect("envoy.yaml has one listener")
}

/// Its HTTP connection manager.
///
/// # Panics
/// When the configuration has another shape than `envoy/envoy.yaml`.
pub fn manager(config: &mut Value) -> &mut Value {
    let path = "/filters/0/typed_config";
    chain(config).pointer_mut(path).expect("the listener has one HTTP connection manager")
}

/// The plugin configuration of the filter.
///
/// # Panics
/// When the configuration has another shape than `envoy/envoy.yaml`.
pub fn filter(config: &mut Value) -> &mut Value {
    let path = "/http_filters/0/typed_config/config";
    manager(config).pointer_mut(path).expect("the filter comes first")
}

/// The built filter, as Envoy is to load it.
pub(super) fn wasm() -> String {
    module::wasm().canonicalize().expect("the filter is built").display().to_string()
}
