//! The module under test, built and compiled once per process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use wasmtime::{Config, Engine, Module};

/// The engine all guests of this process share.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut config = Config::new();
        // A panic prints where it happened; the profile keeps the names.
        config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(32));
        Engine::new(&config).unwrap()
    })
}

/// The filter as it is shipped.
pub(crate) fn filter() -> &'static Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| {
        let path = wasm();
        Module::from_file(engine(), &path).unwrap_or_else(|error| panic!("{}: {error:#}", path.display()))
    })
}

/// Where the filter's bytes are. They are built first, with the profile that ships, unless `FILTER_WASM` names others.
pub fn wasm() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| std::env::var_os("FILTER_WASM").map_or_else(build, PathBuf::from)).clone()
}

fn build() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    // Cargo holds no lock while tests run; without this a stale module would pass.
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--profile", "wasm", "--target", "wasm32-wasip1", "-p", "accredit-filter"])
        .current_dir(workspace)
        // Set by the outer cargo for the native build; they would invalidate this one.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .unwrap();
    assert!(status.success(), "the filter does not build");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), |target| workspace.join(target));
    target.join("wasm32-wasip1/wasm/accredit_filter.wasm")
}
