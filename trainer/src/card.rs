//! `jnana.json` of a model that was made from another one.

use std::path::Path;

use jnana_core::model_card::CardFile;

use crate::{Error, Result};

/// Writes the card of the model at `from`, another `name` and `space` in it where they are given, as that of the model at
/// `to`: a folder, or a GGUF file. None where `from` has none and there is nothing to say. Projectors go with it unless
/// they are for another space than the new one; an adapter does not, for it is merged or left out.
///
/// # Errors
/// When there is a card that cannot be read, or something cannot be written.
pub fn write_card(from: &Path, to: &Path, name: Option<&str>, space: Option<&str>) -> Result<()> {
    let read = CardFile::read(from)?;
    if read.is_none() && name.is_none() && space.is_none() {
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
        copy_below(&at, file, to)?;
    }
    Ok(card.write(to)?)
}

/// Copies `file`, which lies below the folder of the card at `at`, to the same place below the model at `to`.
fn copy_below(at: &Path, file: &Path, to: &Path) -> Result<()> {
    let folder = if to.is_dir() { to } else { to.parent().unwrap_or(to) };
    let (source, target) = (at.with_file_name(file), folder.join(file));
    let real = |path: &Path| path.canonicalize().ok();
    // Copied onto itself, a file would be empty.
    if target.exists() && real(&source) == real(&target) {
        return Ok(());
    }
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    }
    std::fs::copy(&source, &target).map(drop).map_err(Error::io("copy", &source))
}
