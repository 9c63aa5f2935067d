//! Files of models that are built into the program: what this project trained itself (`assets/models`) and the list names.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Source};

    #[test]
    fn the_program_carries_what_the_list_names_and_nothing_else() {
        let catalog = Catalog::built_in().unwrap();
        let sources = catalog.models.iter().flat_map(|entry| &entry.files).flat_map(|file| &file.sources);
        let mut named: Vec<&str> = sources
            .filter_map(|source| match source {
                Source::BuiltIn { asset } => Some(asset.as_str()),
                _ => None,
            })
            .collect();
        named.sort_unstable();
        named.dedup();
        let carried: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(carried, named);
    }
}
