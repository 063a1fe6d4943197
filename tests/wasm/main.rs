//! The built filter against a stateful fake Envoy.

mod host;
