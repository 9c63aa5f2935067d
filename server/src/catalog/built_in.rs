//! Files of models that are built into the program: what this project trained itself (`assets/models`).

use std::path::Path;

use super::Error;

/// Path below `assets/models`, and the bytes.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/models.rs"));

/// Writes the built-in file `asset` to `path`.
pub(super) fn write(asset: &str, path: &Path) -> Result<(), Error> {
    let file = FILES.iter().find(|(name, _)| *name == asset);
    let (_, bytes) = file.ok_or_else(|| Error::NotBuiltIn { asset: asset.to_owned() })?;
    std::fs::write(path, bytes).map_err(Error::io(path))
}
