//! Model files, through the product's own command.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;

/// What the tests read: the default models (the first brings SmolLM2, which it is made of), the multilingual Whisper and
/// GPT-2's tokenizer.
pub const FOR_TESTS: &[&str] =
    &["jnana-135m", "efficientnet-lite0", "whisper-tiny.en", "whisper-base", "gpt2"];

/// `jnana models pull NAMES`; no names pull the default set.
pub fn pull(jnana: &Path, names: &[&str]) -> Result<()> {
    shell::run(Command::new(jnana).args(["models", "pull"]).args(names))
}

/// Where `jnana models pull` lays them.
pub fn folder() -> Result<PathBuf> {
    Ok(home()?.join("models"))
}

/// The product's own rule for its home folder.
pub fn home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("JNANA_HOME") {
        return Ok(home.into());
    }
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let data = data.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share")));
    Ok(data.context("neither JNANA_HOME nor HOME is set")?.join("jnana"))
}
