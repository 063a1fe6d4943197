//! The deployments of `envoy/`: what is shipped can be read, fits together, and the filter takes it.

mod compose;
mod images;
mod istio;

use harness::Proxy;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Gateway, Envoy's admin interface, broker, tool server.
const PORTS: [u64; 4] = [10_000, 10_001, 10_002, 10_003];

const COMPOSE: &str = "envoy/docker-compose.yml";
const ISTIO: &str = "envoy/istio/envoyfilter.yaml";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("not YAML: {error}\n{text}"))
}

/// Every document of a file.
fn documents(file: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn sole(file: &str) -> Value {
    let mut all = documents(file);
    assert_eq!(all.len(), 1, "{file} is one document");
    all.remove(0)
}

/// Every file below `envoy/` whose name ends like this, as a path in the repository.
fn files(suffixes: &[&str]) -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // What an operator or the demo made there is not shipped.
            let made = ["secrets", "data"].iter().any(|name| path.ends_with(name));
            match path.is_dir() {
                true if !made => walk(&path, found),
                true => {}
                false => found.push(path),
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("envoy"), &mut found);
    let names = found.iter().map(|path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
    names.filter(|name| suffixes.iter().any(|suffix| name.ends_with(suffix))).collect()
}

/// Every string value, and every number as text, wherever it stands.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// Every value under this name, wherever it stands.
fn under<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    let children: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => Vec::new(),
    };
    value.get(name).into_iter().chain(children.into_iter().flat_map(|child| under(child, name))).collect()
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|item| item.as_str().unwrap()).collect()
}

/// A deployment of the filter: where it is shipped, and its `Wasm` message.
struct Sample {
    file: &'static str,
    whole: Value,
    plugin: Value,
}

impl Sample {
    fn all() -> Vec<Self> {
        ["envoy/envoy.yaml", ISTIO].map(Self::of).into()
    }

    fn of(file: &'static str) -> Self {
        let whole = sole(file);
        let message = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
        let messages = under(&whole, "typed_config");
        let plugins: Vec<_> = messages.into_iter().filter(|found| found["@type"] == message).collect();
        assert_eq!(plugins.len(), 1, "{file} holds the filter once");
        let plugin = plugins[0]["config"].clone();
        Self { file, whole, plugin }
    }

    fn policy(&self) -> Value {
        let text = self.plugin["configuration"]["value"].as_str();
        let text = text.unwrap_or_else(|| panic!("{}: the policy is a string", self.file));
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{}: the policy is not JSON: {error}", self.file))
    }
}

#[test]
fn every_yaml_file_can_be_read() {
    let files = files(&[".yaml", ".yml"]);
    assert!(files.len() >= 6, "{files:?}");
    for file in &files {
        let all = documents(file);
        assert!(!all.is_empty() && all.iter().all(Value::is_object), "{file} has an empty document");
    }
}

#[test]
fn the_filter_takes_every_policy() {
    for sample in Sample::all() {
        let policy = sample.policy();
        let secret = policy["broker"]["client"]["secret_env"].as_str().unwrap();
        let started = Proxy::builder().policy(policy.to_string()).env(secret, &"5".repeat(64)).try_start();
        if let Err(refused) = started {
            panic!("{}: {}", sample.file, refused.log.join("\n"));
        }
    }
}

#[test]
fn the_host_is_told_what_the_filter_relies_on() {
    for Sample { file, whole, plugin } in Sample::all() {
        let sample = Sample { file, whole: whole.clone(), plugin: plugin.clone() };
        let policy = sample.policy();
        assert_eq!(plugin["allow_on_headers_stop_iteration"], true, "{file}");
        assert_eq!(plugin["failure_policy"], "FAIL_RELOAD", "{file}");
        assert!(plugin.get("fail_open").is_none(), "{file}");
        assert!(plugin["vm_config"]["vm_id"].as_str().is_some_and(|id| !id.is_empty()), "{file}: `vm_id`");
        assert_eq!(plugin["configuration"]["@type"], "type.googleapis.com/google.protobuf.StringValue", "{file}");
        assert!(plugin["vm_config"]["code"]["local"]["filename"].is_string(), "{file}: a local module");

        let variables = &plugin["vm_config"]["environment_variables"];
        assert_eq!(list(&variables["host_env_keys"]), [policy["broker"]["client"]["secret_env"].as_str().unwrap()]);
        assert!(variables.get("key_values").is_none(), "{file}: a secret does not stand in a file of settings");

        let largest = under(&policy, "request").into_iter().map(bytes).max().expect("a limit");
        for bound in ["per_connection_buffer_limit_bytes", "initial_stream_window_size"] {
            let bounds = under(&whole, bound);
            assert_eq!(bounds.len(), 1, "{file}: `{bound}`");
            assert!(bounds[0].as_u64().unwrap() >= largest, "{file}: `{bound}` is below `limits.request`");
        }
        // Two ways to write a path, or a header's name, are two ways around a rule.
        for (name, value) in [
            ("normalize_path", Value::Bool(true)),
            ("merge_slashes", Value::Bool(true)),
            ("path_with_escaped_slashes_action", "REJECT_REQUEST".into()),
            ("headers_with_underscores_action", "REJECT_REQUEST".into()),
        ] {
            assert_eq!(under(&whole, name), [&value], "{file}: `{name}`");
        }
    }
}

/// A size of the policy.
fn bytes(size: &Value) -> u64 {
    let text = size.as_str().unwrap();
    let mebibytes = text.strip_suffix("MiB").unwrap_or_else(|| panic!("`{text}` in MiB"));
    mebibytes.parse::<u64>().unwrap() << 20
}
