//! The programs under test, built once per process: what runs is never older than the source.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where the built programs are.
pub(super) struct Programs {
    pub(super) accredit: PathBuf,
    pub(super) tools: PathBuf,
}

impl Programs {
    /// Builds them in the profile of this very program. `ACCREDIT` names a broker to run instead, such as a released one.
    pub(super) fn built() -> &'static Self {
        static PROGRAMS: OnceLock<Programs> = OnceLock::new();
        PROGRAMS.get_or_init(|| {
            let named = std::env::var_os("ACCREDIT").filter(|path| !path.is_empty()).map(|path| root().join(path));
            build(if named.is_some() { &["demo-tools"] } else { &["accredit", "demo-tools"] });
            let dir = target().join(if cfg!(debug_assertions) { "debug" } else { "release" });
            Self { accredit: named.unwrap_or_else(|| dir.join("accredit")), tools: dir.join("demo-tools") }
        })
    }
}

/// The repository.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is a folder of the repository")
}

/// Cargo's target directory.
pub(super) fn target() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(|target| root().join(target));
    named.unwrap_or_else(|| root().join("target"))
}

fn build(bins: &[&str]) {
    // Cargo holds no lock while tests or the demo run. No `-p`: with the default members the
    // dependencies have the features they already have in `cargo test`, and nothing is built twice.
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet"]).current_dir(root());
    cargo.args(bins.iter().flat_map(|bin| ["--bin", bin]));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "{} cannot be built", bins.join(" and "));
}
