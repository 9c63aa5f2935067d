//! What packed weights were made of, and by whom: as long as this is the same, so are they.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use jnana_kernels::PackedMatrix;
use serde::{Deserialize, Serialize};

use crate::weights::Quantization;
use crate::{Error, Result};

/// Every field has to be equal. Files are told by their size and the time of their last change: to hash gigabytes at each
/// start would take longer than to pack them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Version of the program: another one may quantise in another way.
    program: String,
    /// The order of the panels.
    layout: u32,
    quantize: Option<String>,
    /// Where the weights lie.
    source: String,
    files: Vec<SourceFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct SourceFile {
    name: String,
    bytes: u64,
    /// Nanoseconds since 1970.
    changed: u64,
}

impl Identity {
    /// Of the file or folder `source`.
    pub(super) fn of(source: &Path, quantize: Option<Quantization>) -> Result<Self> {
        let source = fs::canonicalize(source).map_err(Error::io("look at", source))?;
        let mut files: Vec<SourceFile> =
            weight_files(&source)?.iter().map(|file| SourceFile::of(file)).collect::<Result<_>>()?;
        files.sort_unstable();
        Ok(Self {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            layout: PackedMatrix::LAYOUT,
            quantize: quantize.map(|quantize| quantize.to_string()),
            source: source.to_string_lossy().into_owned(),
            files,
        })
    }

    /// The same for all versions of the same weights, so that a new one takes the place of the old.
    pub(super) fn file_name(&self) -> String {
        let mut hasher = DefaultHasher::new();
        (&self.source, &self.quantize).hash(&mut hasher);
        let name = Path::new(&self.source).file_name().unwrap_or_default().to_string_lossy();
        format!("{name}-{:016x}.packed", hasher.finish())
    }
}

impl SourceFile {
    fn of(path: &Path) -> Result<Self> {
        let about = fs::metadata(path).map_err(Error::io("look at", path))?;
        let changed = about.modified().map_err(Error::io("look at", path))?;
        let since = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, bytes: about.len(), changed: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX) })
    }
}

/// The file itself, or those of a folder that have weights in them.
fn weight_files(source: &Path) -> Result<Vec<PathBuf>> {
    if source.is_file() {
        return Ok(vec![source.to_owned()]);
    }
    let entries = fs::read_dir(source).map_err(Error::io("read", source))?;
    let files = entries.flatten().map(|entry| entry.path());
    Ok(files.filter(|file| file.extension().is_some_and(|it| it == "safetensors")).collect())
}
