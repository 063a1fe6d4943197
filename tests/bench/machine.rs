//! Where and with what it was measured.

use std::fs;
use std::process::Command;

use harness::{module, stack};
use serde_json::{Value, json};

/// The machine, the versions and the size of the filter.
pub fn describe() -> Value {
    json!({
        "cpu": cpu(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim_end(),
        "envoy": envoy(),
        "accredit": env!("CARGO_PKG_VERSION"),
        "wasm_bytes": fs::metadata(module::wasm()).map_or(0, |file| file.len()),
    })
}

fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "unknown".into(), |(_, name)| name.into())
}

/// `1.40.0` of `…  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
fn envoy() -> String {
    let output = stack::envoy::binary().and_then(|envoy| Command::new(envoy).arg("--version").output().ok());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.split('/').rev().nth(3).unwrap_or("unknown").into()
}
