//! What is compared: Envoy with one set of HTTP filters or another.

use harness::module;
use serde_json::{Value, json};

use crate::token::Mint;

/// One Envoy.
pub struct Variant {
    pub name: &'static str,
    /// Its filters before the router. In: the shipped filter, and the keys of the run.
    pub filters: fn(Value, &Mint) -> Vec<Value>,
}

/// Envoy alone.
pub const BARE: &str = "bare";
/// Envoy with our filter.
pub const ACCREDIT: &str = "accredit";

pub static VARIANTS: [Variant; 4] = [
    Variant { name: BARE, filters: |_, _| Vec::new() },
    Variant { name: "native", filters: |_, _| native() },
    Variant { name: "native_uncached", filters: |_, _| uncached(native()) },
    Variant { name: ACCREDIT, filters: |shipped, mint| vec![accredit(shipped, mint)] },
];

fn native() -> Vec<Value> {
    serde_saphyr::from_str(include_str!("native.yaml")).expect("native.yaml is a list of filters")
}

fn uncached(mut filters: Vec<Value>) -> Vec<Value> {
    let provider = filters[0].pointer_mut("/typed_config/providers/corp").and_then(Value::as_object_mut);
    provider.and_then(|provider| provider.remove("jwt_cache_config")).expect("native.yaml has a cache");
    filters
}

/// The filter as shipped, with the policy of the benchmark.
fn accredit(mut shipped: Value, mint: &Mint) -> Value {
    let config = &mut shipped["typed_config"]["config"];
    config["configuration"]["value"] = policy(mint).to_string().into();
    config["vm_config"]["code"]["local"]["filename"] = json!(module::wasm().canonicalize().expect("it is built"));
    shipped
}

/// `policy.yaml` with the keys of the run.
pub fn policy(mint: &Mint) -> Value {
    let mut policy: Value = serde_saphyr::from_str(include_str!("policy.yaml")).expect("policy.yaml is YAML");
    policy["issuers"]["corp"]["jwks"] = mint.jwks();
    policy
}
