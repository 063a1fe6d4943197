//! What a test chooses before the proxy starts.

use crate::cluster::{Answer, Call, Scripted};
use crate::host::{Host, Settings, Shared};
use crate::machine::Core;
use crate::module;
use crate::native;
use crate::proxy::{Proxy, Refused};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use wasmtime::Module;

/// A proxy that has not started yet.
pub struct Builder {
    settings: Settings,
    workers: usize,
    main_thread: bool,
    module: Option<Module>,
    missing: Vec<String>,
    cold: bool,
    clusters: BTreeMap<String, Scripted>,
    properties: Vec<(Vec<String>, Vec<u8>)>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            settings: Settings {
                configuration: Vec::new(),
                vm_id: "accredit".into(),
                environment: BTreeMap::new(),
                headers_stop: true,
                buffer_limit: 1024 * 1024,
                log_level: 1,
            },
            workers: 1,
            main_thread: false,
            module: None,
            missing: Vec::new(),
            cold: false,
            clusters: BTreeMap::new(),
            properties: Vec::new(),
        }
    }
}

impl Builder {
    /// The plugin configuration. Every cluster it names exists, and holds its calls until the test scripts it.
    pub fn policy(mut self, policy: impl AsRef<[u8]>) -> Self {
        self.settings.configuration = policy.as_ref().to_vec();
        self
    }

    /// How many worker VMs there are.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// Adds the VM of the main thread, which gets no stream but ticks like the others.
    pub fn main_thread(mut self) -> Self {
        self.main_thread = true;
        self
    }

    /// Turns `allow_on_headers_stop_iteration` off, as Istio and Envoy Gateway do: a pause in the headers callback stops
    /// everything, and no body callback comes until resume.
    pub fn stop_all_on_headers(mut self) -> Self {
        self.settings.headers_stop = false;
        self
    }

    /// How much of a body Envoy holds for the filter; 1 MiB by default.
    pub fn buffer_limit(mut self, bytes: usize) -> Self {
        self.settings.buffer_limit = bytes;
        self
    }

    /// An environment variable of the VMs.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.settings.environment.insert(name.into(), value.into());
        self
    }

    /// The level `proxy_get_log_level` tells: `trace` 0 … `critical` 5; `debug` by default.
    pub fn log_level(mut self, level: u32) -> Self {
        self.settings.log_level = level;
        self
    }

    /// The `vm_id`, by which other VMs find the queues of this one.
    pub fn vm_id(mut self, vm_id: &str) -> Self {
        self.settings.vm_id = vm_id.into();
        self
    }

    /// Scripts a cluster for calls the filter makes while it starts.
    pub fn cluster(mut self, name: &str, script: impl FnMut(&Call) -> Answer + 'static) -> Self {
        self.clusters.insert(name.into(), Scripted { script: Some(Box::new(script)), version: 1 });
        self
    }

    /// Leaves out a cluster although the policy names it.
    pub fn without_cluster(mut self, name: &str) -> Self {
        self.missing.push(name.into());
        self
    }

    /// Leaves the workers without the request that a running proxy has had: they have not heard of revocations yet.
    pub fn cold(mut self) -> Self {
        self.cold = true;
        self
    }

    /// Sets a property of the proxy and all of its streams.
    pub fn property(mut self, path: &[&str], value: impl AsRef<[u8]>) -> Self {
        self.properties.push((path.iter().map(|part| (*part).to_owned()).collect(), value.as_ref().to_vec()));
        self
    }

    /// Another module instead of the filter, in binary or text form.
    pub fn module(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.module = Some(Module::new(module::engine(), bytes).unwrap());
        self.cold()
    }

    /// Starts it; a refusal fails the test.
    #[track_caller]
    pub fn start(self) -> Proxy {
        self.try_start()
            .unwrap_or_else(|refused| panic!("the filter refused its configuration:\n{}", refused.log.join("\n")))
    }

    /// Starts it: every VM is created, started and configured, and any `false` or trap on the way is a refusal.
    pub fn try_start(mut self) -> Result<Proxy, Refused> {
        let module = self.module.take().unwrap_or_else(|| module::filter().clone());
        let mut host = Host::new(self.settings.clone());
        host.clusters = self.known();
        host.properties = defaults();
        host.properties.extend(std::mem::take(&mut self.properties));
        host.foreign.insert(native::NAME.into(), Box::new(native::verify));
        let host = Rc::new(RefCell::new(host));
        let mut core = Core { host: Rc::clone(&host), vms: Vec::new(), module };
        for vm in 0..self.workers + usize::from(self.main_thread) {
            core.boot(vm).map_err(|error| refused(&host, error))?;
        }
        let core = Rc::new(core);
        let proxy = Proxy { core, workers: self.workers, allowed: RefCell::new(BTreeSet::new()) };
        if !self.cold {
            (0..self.workers).for_each(|worker| proxy.warm(worker));
        }
        Ok(proxy)
    }

    fn known(&mut self) -> BTreeMap<String, Scripted> {
        let policy: Value = serde_json::from_slice(&self.settings.configuration).unwrap_or_default();
        let mut clusters = std::mem::take(&mut self.clusters);
        for name in named(&policy) {
            clusters.entry(name).or_default();
        }
        clusters.retain(|name, _| !self.missing.contains(name));
        clusters
    }
}

fn refused(host: &Shared, last: String) -> Refused {
    let lines = host.borrow().log.iter().map(|line| line.text.clone()).chain([last]).collect();
    Refused { log: lines }
}

/// Every cluster a policy names, wherever it does.
fn named(policy: &Value) -> Vec<String> {
    match policy {
        Value::Object(members) => {
            let own = members.get("cluster").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(members.values().flat_map(named)).collect()
        }
        Value::Array(items) => items.iter().flat_map(named).collect(),
        _ => Vec::new(),
    }
}

/// The properties of an ordinary proxy and connection, in the encodings Envoy uses.
fn defaults() -> BTreeMap<Vec<String>, Vec<u8>> {
    let texts = [
        ("plugin_name", "accredit"),
        ("plugin_root_id", "accredit"),
        ("plugin_vm_id", "accredit"),
        ("xds.node.id", "proxy-1"),
        ("xds.cluster_name", "upstream"),
        ("xds.route_name", "default"),
        ("source.address", "10.0.0.7:40000"),
        ("destination.address", "10.0.0.1:10000"),
        ("connection.tls_version", "TLSv1.3"),
    ];
    let numbers =
        [("source.port", 40_000_u64), ("destination.port", 10_000), ("connection.id", 7), ("connection_id", 7)];
    let mut properties: BTreeMap<Vec<String>, Vec<u8>> =
        texts.iter().map(|(path, value)| (split(path), value.as_bytes().to_vec())).collect();
    properties.extend(numbers.iter().map(|(path, value)| (split(path), value.to_le_bytes().to_vec())));
    properties.insert(split("connection.mtls"), vec![0]);
    properties
}

fn split(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}
