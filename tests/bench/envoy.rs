//! One Envoy per variant, and the CPU time it has used.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::stack::broker::SECRET;
use harness::stack::{self, Process};
use serde_json::{Value, json};

use crate::Failure;
use crate::token::Mint;
use crate::variant::Variant;

/// What the Envoys share.
pub struct Site<'a> {
    pub dir: &'a Path,
    pub backend: u16,
    pub broker: u16,
    pub mint: &'a Mint,
}

/// A running Envoy; it ends when dropped.
pub struct Envoy {
    pub variant: &'static Variant,
    /// Where its gateway listens.
    pub address: String,
    process: Process,
}

impl Envoy {
    pub async fn start(variant: &'static Variant, site: &Site<'_>, workers: usize) -> Result<Self, Failure> {
        let dir = site.dir.join(variant.name);
        let [gateway, admin] = free()?;
        let files = [("envoy.json", config(variant, site, gateway, admin)), ("jwks.json", site.mint.jwks())];
        fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        for (name, content) in files {
            fs::write(dir.join(name), format!("{content:#}")).map_err(|error| format!("{name}: {error}"))?;
        }
        let mut command = Command::new(stack::envoy::binary().ok_or("there is no Envoy: run scripts/setup")?);
        command.args(["--config-path", "envoy.json", "--concurrency", &workers.to_string(), "--disable-hot-restart"]);
        command.args(["--log-level", "warning"]).env("ACCREDIT_PROXY_SECRET", SECRET);
        let process = Process::spawn("envoy", &mut command, &dir);
        let ready = process.ready(&format!("http://127.0.0.1:{admin}/ready")).await;
        let process = ready.map_err(|failure| format!("{}: {failure}", variant.name))?;
        Ok(Self { variant, address: format!("127.0.0.1:{gateway}"), process })
    }

    /// The CPU time of all its threads so far, to the nanosecond.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        let tasks = format!("/proc/{}/task", self.process.pid());
        let failed = |error| format!("{}: its CPU time cannot be read: {error}", self.variant.name);
        let threads = fs::read_dir(tasks).map_err(failed)?;
        let spent = threads.map(|thread| {
            let text = fs::read_to_string(thread.map_err(failed)?.path().join("schedstat")).map_err(failed)?;
            let nanos = text.split(' ').next().and_then(|first| first.parse().ok());
            nanos.map(Duration::from_nanos).ok_or_else(|| format!("found `{text}` in `schedstat`"))
        });
        spent.sum()
    }
}

/// `envoy/envoy.yaml` with the filters of `variant` and without an access log: this measures the filters.
fn config(variant: &Variant, site: &Site, gateway: u16, admin: u16) -> Value {
    let shipped = include_str!("../../envoy/envoy.yaml");
    let mut config: Value = serde_saphyr::from_str(shipped).expect("envoy.yaml is YAML");
    let manager = stack::envoy::manager(&mut config);
    manager["access_log"] = json!([]);
    // The client of a call that is broken off sees it then, and not a second later.
    manager["delayed_close_timeout"] = json!("0s");
    let filters = manager["http_filters"].as_array_mut().expect("it has filters");
    let ours = filters.remove(0);
    filters.splice(0..0, (variant.filters)(ours, site.mint));
    for (pointer, port) in [
        ("/admin/address", admin),
        ("/static_resources/listeners/0/address", gateway),
        ("/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address", site.backend),
        ("/static_resources/clusters/1/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address", site.broker),
    ] {
        let address = config.pointer_mut(pointer).expect("envoy.yaml has this address");
        address["socket_address"]["port_value"] = port.into();
    }
    config
}

/// Two ports of loopback that nothing listens on.
fn free() -> Result<[u16; 2], Failure> {
    let failed = |error| format!("loopback has no free port: {error}");
    let bind = || TcpListener::bind("127.0.0.1:0").map_err(failed);
    // Both are held until both are chosen, so they differ.
    let held = [bind()?, bind()?];
    let port = |listener: &TcpListener| listener.local_addr().map_or(0, |address| address.port());
    Ok(held.each_ref().map(port))
}
