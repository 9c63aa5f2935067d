//! What a finished run leaves behind: a projector, an adapter in PEFT's format, or a whole model.

use std::path::PathBuf;

use candle_core::Var;

use crate::learner::Learner;
use crate::recipe::{Recipe, Stage};
use crate::train::run::Run;
use crate::{Error, Result};

/// Writes what was trained into the run's folder: `projector.safetensors`, `adapter/`, `model/`. Returns what there is.
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
        projector.save(&path)?;
        written.push(path);
    }
    if let Some(adapter) = &learner.adapter {
        let folder = run.folder().join("adapter");
        adapter.save(&folder, &recipe.decoder.model.display().to_string())?;
        written.push(folder);
    }
    if recipe.stage == Stage::Pretrain {
        let folder = run.folder().join("model");
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
