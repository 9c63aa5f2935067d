//! whisper.cpp, from the sources that our own plugin's dependency carries: the same version with its own settings, and
//! all of the processor that it can use.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::bench::peers;
use crate::shell;

/// What tables call it.
pub const NAME: &str = "whisper.cpp";

/// The crate with the sources.
const CRATE: &str = "whisper-rs-sys";

/// Builds a program that times it, once for each version.
pub fn build() -> Result<PathBuf> {
    let sources = shell::crate_folder(CRATE)?;
    let version = sources.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let build = peers::cache()?.join(format!("whisper.cpp-of-{version}"));
    let option = format!("WHISPER_SOURCES={}", sources.join("whisper.cpp").display());
    let source = std::path::absolute(Path::new("xtask/bench/whisper"))?;
    peers::cmake(&source, &build, &[option.as_str(), "BUILD_SHARED_LIBS=OFF"], &["whisper-peer"])?;
    Ok(build.join("whisper-peer"))
}
