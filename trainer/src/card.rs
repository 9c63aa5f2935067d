//! `jnana.json` of a model that was made from another one.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use jnana_core::model_card::CardFile;
use jnana_models::projector::Projector;

use crate::{Error, Result};

/// What a card says otherwise than the one that it is made from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Changes<'a> {
    /// Id of the model.
    pub name: Option<&'a str>,
    /// Id of the embedding space.
    pub space: Option<&'a str>,
    /// Projectors to lay beside the model, by the id of the plugin whose encoder they go with.
    pub projectors: &'a [(String, PathBuf)],
}

/// Writes the card of the model at `from` with `changes` as that of the model at `to`: a folder, or a GGUF file. None where
/// `from` has none and there is nothing to say. Projectors go with it unless they are for another space than the new one;
/// an adapter does not, for it is merged or left out.
///
/// # Errors
/// When there is a card that cannot be read, a projector is for another space, or something cannot be written.
pub fn write_card(from: &Path, to: &Path, changes: Changes) -> Result<()> {
    let Changes { name, space, projectors } = changes;
    let read = CardFile::read(from)?;
    if read.is_none() && name.is_none() && space.is_none() && projectors.is_empty() {
        return Ok(());
    }
    let (mut card, at) = read.unwrap_or_else(|| (CardFile::new(), from.to_owned()));
    card.name = name.map(str::to_owned).or(card.name);
    card.base = None;
    card.adapter = None;
    if space.is_some_and(|space| card.space.as_deref() != Some(space)) {
        card.space = space.map(str::to_owned);
        card.projectors.clear();
    }
    for file in card.projectors.values() {
        copy(&at.with_file_name(file), &below(to, file))?;
    }
    for (plugin, projector) in projectors {
        check_space(projector, card.space.as_deref())?;
        let file = PathBuf::from(format!("{plugin}.projector.safetensors"));
        copy(projector, &below(to, &file))?;
        card.projectors.insert(plugin.clone(), file);
    }
    Ok(card.write(to)?)
}

/// Where `file` lies beside the model `model`.
fn below(model: &Path, file: &Path) -> PathBuf {
    let folder = if model.is_dir() { model } else { model.parent().unwrap_or(model) };
    folder.join(file)
}

fn check_space(projector: &Path, space: Option<&str>) -> Result<()> {
    let loaded = Projector::load(projector, DType::F32, &Device::Cpu)?;
    let own = loaded.info().space.as_str();
    if space == Some(own) {
        return Ok(());
    }
    let expected = format!("a projector into the model's space {}", space.unwrap_or("(none)"));
    let got = format!("one into {own}; --space says which one the model was tuned into");
    Err(Error::File { path: projector.to_owned(), expected, got })
}

fn copy(source: &Path, target: &Path) -> Result<()> {
    let real = |path: &Path| path.canonicalize().ok();
    // Copied onto itself, a file would be empty.
    if target.exists() && real(source) == real(target) {
        return Ok(());
    }
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    }
    std::fs::copy(source, target).map(drop).map_err(Error::io("copy", source))
}
