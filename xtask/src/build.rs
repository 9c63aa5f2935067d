//! The server with its plugins, and `cargo xtask run`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::machine::{self, Need};
use crate::stage::Stages;
use crate::{app, models, shell};

/// First-party plugins: package, library, and how far it is trusted. A C library inside of one may end its process.
const PLUGINS: &[(&str, &str, &str)] = &[
    ("jnana-vision", "libjnana_vision.so", "full"),
    ("jnana-whisper", "libjnana_whisper.so", "contained"),
    // It starts the program `jnana-trainer`, which a worker's sandbox would not let it.
    ("jnana-trainer-plugin", "libjnana_trainer_plugin.so", "full"),
];

/// Builds the product and serves it.
pub fn run(serve: &[String]) -> Result<()> {
    let mut stages = Stages::new(4);
    stages.stage("what the machine needs", || machine::prepare(&[Need::Wasm, Need::Native, Need::Pip]))?;
    stages.stage("browser app", app::build)?;
    stages.stage("server and plugins (release)", release)?;
    let bin = PathBuf::from("target/release");
    let jnana = install_plugins(&bin)?;
    stages.stage("models", || models::pull(&jnana, &[]))?;
    stages.report();
    shell::run(Command::new(&jnana).arg("serve").args(serve))
}

/// Builds the server and its plugins as users get them.
pub fn release() -> Result<()> {
    let mut cargo = shell::cargo();
    cargo.args(["build", "--release", "--package=jnana-server", "--package=jnana-trainer"]);
    cargo.args(PLUGINS.iter().map(|(package, _, _)| format!("--package={package}")));
    // whisper.cpp is built for this machine's processor: the binary is not for carrying elsewhere.
    shell::run(cargo.env("GGML_NATIVE", "ON"))
}

/// Lays the built plugins into `BIN/plugins`, pinned, where `BIN/jnana` looks for them; returns the program.
pub fn install_plugins(bin: &Path) -> Result<PathBuf> {
    let folder = bin.join("plugins");
    fs::create_dir_all(&folder)?;
    let jnana = bin.join("jnana");
    for (_, library, trust) in PLUGINS {
        let target = folder.join(library);
        // A new file each time: a running server may have the old one mapped.
        if target.exists() {
            fs::remove_file(&target)?;
        }
        fs::copy(bin.join(library), &target).with_context(|| format!("{library} was not built"))?;
        shell::run(Command::new(&jnana).args(["plugin", "pin", "--trust", *trust]).arg(&target))?;
    }
    Ok(jnana)
}
