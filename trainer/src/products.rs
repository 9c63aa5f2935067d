//! What a finished run leaves behind: a projector, an adapter in PEFT's format, or a whole model.

use std::path::{Path, PathBuf};

use candle_core::{DType, Var};
use jnana_models::export::{copy_tokenizer, with_dtype, write_config};
use jnana_models::projector::{Projector, ProjectorInfo};

use crate::assemble::below;
use crate::card::{Changes, write_card};
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
    write_card(&from, &to, Changes { space: recipe.space.as_deref(), ..Changes::default() })
}
