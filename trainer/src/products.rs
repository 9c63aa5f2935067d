//! What a finished run leaves behind: a projector, an adapter in PEFT's format, or a whole model; and what goes with a model
//! beside its weights.

use std::path::{Path, PathBuf};

use candle_core::{DType, Var};
use jnana_core::model_card::CardFile;
use jnana_models::export::{copy_tokenizer, with_dtype, write_config};
use jnana_models::projector::{Projector, ProjectorInfo};

use crate::assemble::below;
use crate::learner::Learner;
use crate::recipe::{Recipe, Stage};
use crate::train::run::Run;
use crate::{Error, Result};

/// The folder of a model within that of its run.
const MODEL: &str = "model";

/// Writes what was trained into the run's folder: `projector.safetensors`, `adapter/`, `model/`. Returns what there is.
/// [`complete`] makes the model one that can be served.
///
/// # Errors
/// When the folder cannot be written.
pub fn write<'a>(
    learner: &Learner,
    variables: impl Iterator<Item = (&'a str, &'a Var)>,
    recipe: &Recipe,
    run: &Run,
) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    if let Some(projector) = &learner.projector {
        let path = run.folder().join("projector.safetensors");
        into_space(projector, recipe.space.as_deref())?.save(&path)?;
        written.push(path);
    }
    if let Some(adapter) = &learner.adapter {
        let folder = run.folder().join("adapter");
        adapter.save(&folder, &recipe.decoder.model.display().to_string(), DType::F32)?;
        written.push(folder);
    }
    if recipe.stage == Stage::Pretrain {
        let folder = run.folder().join(MODEL);
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let path = folder.join("model.safetensors");
        crate::train::checkpoint::write_tensors(
            &path,
            &variables.map(|(n, v)| (n.to_owned(), v.as_tensor().clone())).collect(),
        )?;
        written.push(folder);
    }
    Ok(written)
}

/// The same weights, said to be for `space`; for the space that they say where it is `None`.
fn into_space(projector: &Projector, space: Option<&str>) -> Result<Projector> {
    let info = projector.info().clone();
    let space = space.map_or_else(|| info.space.clone(), str::to_owned);
    Ok(projector.clone().with_info(ProjectorInfo { space, ..info })?)
}

/// Lays what serving needs beside the weights that a run of stage 0 left in the folder `run`: `config.json`, tokenizer and
/// `jnana.json` of the folder whose weights were drawn at random, which lies below `models`. Nothing after another stage.
///
/// # Errors
/// When a file cannot be read or written.
pub fn complete(recipe: &Recipe, models: &Path, run: &Path) -> Result<()> {
    if recipe.stage != Stage::Pretrain {
        return Ok(());
    }
    let (from, to) = (below(models, &recipe.decoder.model), run.join(MODEL));
    let path = from.join("config.json");
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let config = serde_json::from_str(&text).map_err(Error::json(&path))?;
    write_config(&to, &with_dtype(config, DType::F32))?;
    copy_tokenizer(&from, &to)?;
    write_card(&from, &to, None, recipe.space.as_deref())
}

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
