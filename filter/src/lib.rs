//! The shell around [`accredit_policy`]: callbacks of the host become inputs, effects become calls of the host.
//!
//! | callback | input |
//! |---|---|
//! | `on_http_request_headers` | `Headers` |
//! | `on_http_request_body` | `Grown`, then `Body` when it is asked for |
//! | `on_http_request_trailers` | `Trailers` |
//! | `on_http_call_response` of a stream | `Minted` |
//! | `on_http_call_response` of the root, for keys | `KeysSettled` for every stream that waits |
//! | `on_http_response_headers` | `Answered` |
//! | `on_log` | `Closed` |
//!
//! Nothing is decided here.

mod host;
mod memory;
mod pairs;
mod perform;
mod root;
mod stream;

use proxy_wasm::traits::RootContext;
use proxy_wasm::types::LogLevel;

#[global_allocator]
static HEAP: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

/// The host's entry point.
mod entry {
    use super::*;
    proxy_wasm::main! {{
        // Until the host's own level is known, nothing is hidden from it.
        proxy_wasm::set_log_level(LogLevel::Debug);
        proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(root::Root::default()) });
    }}
}
