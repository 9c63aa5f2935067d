//! The peers: built or installed by their packages' names, in pinned versions, outside of the repository.

pub mod llama;
pub mod python;
pub mod whisper;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;

/// Where peers, and what is measured with them, are kept from one run to the next.
pub fn cache() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("jnana/peers"))
}

/// Builds `targets` of the project in `source`, for this machine's processor; what was built before is kept.
fn cmake(source: &Path, build: &Path, options: &[&str], targets: &[&str]) -> Result<()> {
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(source).arg("-B").arg(build);
    configure.args(["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON"]);
    shell::run(configure.args(options.iter().map(|option| format!("-D{option}"))))?;
    // A number, since without one as many compilers start as there are files.
    let jobs = std::thread::available_parallelism()?.to_string();
    let mut make = Command::new("cmake");
    make.arg("--build").arg(build).args(["--parallel", &jobs, "--target"]).args(targets);
    shell::run(&mut make)
}
