//! Which weights a model is made of, by their content.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jnana_api::conversations::WeightHashes;
use sha2::{Digest, Sha256};

use crate::assistant::{Identity, Sources};
use crate::files;

/// Hex digits of an id: enough to tell all generations of a server apart.
const ID: usize = 12;

/// Reads everything that `sources` name. `core` is the hash of the weights where it is known already: those of a large model
/// take seconds.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn identify(sources: &Sources, core: Option<String>) -> Result<Identity> {
    let core = core.map_or_else(|| hash_all(&weight_files(&sources.weights)?), Ok)?;
    let of_adapter = |file: &str| sources.adapter.as_ref().map(|folder| hash(&folder.join(file))).transpose();
    let projectors = sources.projectors.iter();
    let weights = WeightHashes {
        core,
        adapter: of_adapter("adapter_model.safetensors")?,
        projectors: projectors
            .map(|(plugin, file)| Ok((plugin.clone(), hash(file)?)))
            .collect::<Result<_>>()?,
    };
    // The same matrices at another scale, or in another space, are another generation.
    let rest = (of_adapter("adapter_config.json")?, &sources.space);
    let digest = Sha256::digest(serde_json::to_vec(&(&weights, rest))?);
    Ok(Identity { id: hex::encode(digest)[..ID].to_owned(), weights })
}

/// The files with the weights, in the order of their names.
fn weight_files(weights: &Path) -> Result<Vec<PathBuf>> {
    if weights.is_file() {
        return Ok(vec![weights.to_owned()]);
    }
    let entries = std::fs::read_dir(weights).with_context(|| weights.display().to_string())?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let is = |file: &PathBuf, extension: &str| file.extension().is_some_and(|found| found == extension);
    // Projectors may lie beside the weights.
    let is_weights =
        |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("model"));
    let checkpoint = files.iter().filter(|file| is(file, "safetensors") && is_weights(file));
    let checkpoint: Vec<PathBuf> = checkpoint.cloned().collect();
    if !checkpoint.is_empty() {
        return Ok(checkpoint);
    }
    files.retain(|file| is(file, "gguf"));
    anyhow::ensure!(!files.is_empty(), "{} holds no weights", weights.display());
    Ok(files)
}

/// The hash of one file; of several that of what `sha256sum` prints for them.
fn hash_all(files: &[PathBuf]) -> Result<String> {
    if let [file] = files {
        return hash(file);
    }
    let mut lines = String::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        lines += &format!("{}  {name}\n", hash(file)?);
    }
    Ok(hex::encode(Sha256::digest(lines)))
}

/// The sha256 of a file in hex.
pub(super) fn hash(file: &Path) -> Result<String> {
    files::hash::<Sha256>(file).with_context(|| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_everything_that_answers_follow_from() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("adapter")).unwrap();
        for name in ["w.gguf", "p", "adapter/adapter_model.safetensors", "adapter/adapter_config.json"] {
            std::fs::write(at(name), name).unwrap();
        }
        let sources = Sources {
            model: folder.path().to_owned(),
            weights: at("w.gguf"),
            adapter: Some(at("adapter")),
            name: None,
            space: Some("s".to_owned()),
            projectors: [("see".to_owned(), at("p"))].into(),
        };
        let first = identify(&sources, None).unwrap();
        assert_eq!(first.id.len(), ID);
        assert_eq!(first.weights.core, hex::encode(Sha256::digest("w.gguf")));
        assert_eq!(identify(&sources, Some(first.weights.core.clone())).unwrap(), first);
        assert_ne!(identify(&Sources { space: None, ..sources.clone() }, None).unwrap().id, first.id);
        assert_ne!(identify(&Sources { adapter: None, ..sources.clone() }, None).unwrap().id, first.id);
        std::fs::write(at("adapter/adapter_config.json"), "another scale").unwrap();
        let second = identify(&sources, None).unwrap();
        assert_eq!(second.weights, first.weights);
        assert_ne!(second.id, first.id);
    }

    #[test]
    fn several_files_have_the_hash_of_their_list_and_projectors_are_no_weights() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in
            [("model-1.safetensors", "a"), ("model-2.safetensors", "b"), ("see.projector.safetensors", "")]
        {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let line = |content: &str, name: &str| format!("{}  {name}\n", hex::encode(Sha256::digest(content)));
        let list = line("a", "model-1.safetensors") + &line("b", "model-2.safetensors");
        let found = hash_all(&weight_files(folder.path()).unwrap()).unwrap();
        assert_eq!(found, hex::encode(Sha256::digest(list)));
    }
}
