//! The shipped configuration of `envoy/`, with a stack's ports, paths and edits, in the stack's directory.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::envoy;
use super::ports::Ports;
use super::programs::root;

/// What is written and how it is edited on the way.
pub(super) struct Files {
    dir: PathBuf,
    pub(super) policy: Box<dyn FnOnce(String) -> String>,
    pub(super) broker: Box<dyn FnOnce(String) -> String>,
    pub(super) envoy: Box<dyn FnOnce(&mut Value)>,
}

impl Files {
    /// The shipped files as they are.
    pub(super) fn shipped(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            policy: Box::new(|text| text),
            broker: Box::new(|text| text),
            envoy: Box::new(|_| ()),
        }
    }

    /// Writes `policy.yaml`, `broker.yaml`, `envoy.json` and `secrets/`. Out: the directory, absolute.
    pub(super) fn write(self, ports: Ports) -> PathBuf {
        fs::create_dir_all(&self.dir).expect("the stack's directory can be made");
        let dir = self.dir.canonicalize().expect("the stack's directory exists");
        ["admin.token", "proxy.secret", "agent.secret"].iter().for_each(|name| draw(&dir, name));

        let policy = (self.policy)(ports.apply(&shipped("policy.yaml")));
        write(&dir.join("policy.yaml"), &policy);
        write(&dir.join("broker.yaml"), &(self.broker)(ports.apply(&shipped("broker.yaml"))));

        let mut config = yaml("envoy.yaml", &ports.apply(&shipped("envoy.yaml")));
        let filter = envoy::filter(&mut config);
        // The filter reads JSON; a policy that is not even YAML goes to it as it is, to be refused there.
        let policy = serde_saphyr::from_str::<Value>(&policy).map_or(policy, |json| json.to_string());
        filter["configuration"]["value"] = policy.into();
        filter["vm_config"]["code"]["local"]["filename"] = envoy::wasm().into();
        (self.envoy)(&mut config);
        write(&dir.join("envoy.json"), &format!("{config:#}"));
        dir
    }
}

/// The content of `secrets/<name>`.
pub(super) fn secret(dir: &Path, name: &str) -> String {
    let file = dir.join("secrets").join(name);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.trim_end().to_owned()
}

/// Makes `secrets/<name>` from 32 bytes of the system, unless it is there: a stack that starts again
/// in its directory finds its database and its secrets together.
fn draw(dir: &Path, name: &str) {
    let dir = dir.join("secrets");
    fs::create_dir_all(&dir).expect("`secrets` can be made");
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.join(name));
    let Ok(mut file) = file else { return };
    let mut bytes = [0; 32];
    File::open("/dev/urandom").and_then(|mut os| os.read_exact(&mut bytes)).expect("the system has randomness");
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    file.write_all(hex.as_bytes()).expect("a secret can be written");
}

fn shipped(name: &str) -> String {
    let file = root().join("envoy").join(name);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn yaml(name: &str, text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn write(file: &Path, text: &str) {
    fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The policy stands in two shipped files: for people, and as JSON for Envoy.
    #[test]
    fn envoy_yaml_holds_policy_yaml() {
        let mut config = yaml("envoy.yaml", &shipped("envoy.yaml"));
        let inlined = envoy::filter(&mut config)["configuration"]["value"].take();
        let inlined: Value = serde_json::from_str(inlined.as_str().expect("a string")).expect("JSON");
        assert_eq!(inlined, yaml("policy.yaml", &shipped("policy.yaml")));
    }
}
