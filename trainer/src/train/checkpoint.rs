//! All that a run needs to go on, as a folder that is either whole or not there.
//!
//! ```text
//! weights.safetensors    what is trained
//! optimizer.safetensors  the optimiser's means
//! state.json             where the run is
//! recipe.toml            the run's recipe
//! ```
//!
//! A new checkpoint is written beside the old one as `last.new` and reaches the disk, the old one becomes `last.old`, the new
//! one `last`, the old one goes. A kill between any two of these leaves a whole checkpoint under one of the names.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use jnana_models::weights::SafetensorsWriter;
use jnana_models::write_whole;
use serde::{Deserialize, Serialize};

use super::run::{Run, sync};
use crate::data::plan::Cursor;
use crate::{Error, Result};

/// Version of the format.
const FORMAT: u32 = 1;

const WEIGHTS: &str = "weights.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
const RECIPE: &str = "recipe.toml";
const FILES: [&str; 4] = [WEIGHTS, OPTIMIZER, STATE, RECIPE];

/// Which of a run's checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The newest.
    Last,
    /// The one that measured best.
    Best,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Best => "best",
        }
    }
}

/// Where a run is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Steps done.
    pub step: u64,
    /// Batches done.
    pub cursor: Cursor,
    /// [`Examples::fingerprint`](crate::session::Examples::fingerprint) of what is learned from.
    #[serde(default)]
    pub examples: Option<String>,
    /// Positions that the network was shown, padding not counted.
    pub positions: u64,
    /// Steps that the optimiser counts.
    pub optimizer_steps: u64,
    /// What the next masks of the adapter's dropout follow from.
    #[serde(default)]
    pub dropout: Option<u64>,
    /// The best measurement so far, where there was one.
    pub best: Option<f64>,
    /// Measurements since then.
    #[serde(default)]
    pub since_best: u64,
    /// Mean of the losses so far, those of late steps counting more.
    #[serde(default)]
    pub mean_loss: Option<f64>,
}

/// What a checkpoint holds.
#[derive(Debug, Clone, Default)]
pub struct Checkpoint {
    /// Where the run is.
    pub state: State,
    /// What is trained, by name.
    pub weights: HashMap<String, Tensor>,
    /// The optimiser's state, by name.
    pub optimizer: HashMap<String, Tensor>,
}

/// `state.json`.
#[derive(Serialize, Deserialize)]
struct StateFile {
    format: u32,
    recipe_hash: String,
    #[serde(flatten)]
    state: State,
}

impl Run {
    /// Replaces the last checkpoint, and the best one too if this one is.
    ///
    /// # Errors
    /// When the folder cannot be written; then the checkpoint from before is still there.
    pub fn save(&self, checkpoint: &Checkpoint, best: bool) -> Result<()> {
        // The best comes first: the last one says how good it was.
        let first = if best { Which::Best } else { Which::Last };
        self.replace(first, |folder| {
            write_tensors(&folder.join(WEIGHTS), &checkpoint.weights)?;
            write_tensors(&folder.join(OPTIMIZER), &checkpoint.optimizer)?;
            let state = StateFile {
                format: FORMAT,
                recipe_hash: self.recipe_hash().to_owned(),
                state: checkpoint.state.clone(),
            };
            let path = folder.join(STATE);
            let json = serde_json::to_vec_pretty(&state).map_err(Error::json(&path))?;
            write_whole(&path, &json)?;
            copy(&self.folder().join(RECIPE), &folder.join(RECIPE))
        })?;
        if !best {
            return Ok(());
        }
        let written = self.checkpoint_folder(first);
        self.replace(Which::Last, |folder| {
            FILES.iter().try_for_each(|file| link(&written.join(file), &folder.join(file)))
        })
    }

    /// Reads a checkpoint onto `device`; `None` when there is none yet.
    ///
    /// # Errors
    /// When it is damaged or belongs to another recipe.
    pub fn load(&self, which: Which, device: &Device) -> Result<Option<Checkpoint>> {
        self.settle(which)?;
        let folder = self.checkpoint_folder(which);
        if !folder.exists() {
            return Ok(None);
        }
        let path = folder.join(STATE);
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        let StateFile { format, recipe_hash, state } =
            serde_json::from_slice(&bytes).map_err(Error::json(&path))?;
        if format != FORMAT {
            let (expected, got) = (format!("format {FORMAT}"), format!("format {format}"));
            return Err(Error::File { path, expected, got });
        }
        if recipe_hash != self.recipe_hash() {
            let differences = format!("{} is of recipe {recipe_hash}", folder.display());
            return Err(Error::OtherRecipe { folder: self.folder().to_owned(), differences });
        }
        let read = |file: &str| {
            let path = folder.join(file);
            candle_core::safetensors::load(&path, device)
                .map_err(Error::compute(format!("read {}", path.display())))
        };
        Ok(Some(Checkpoint { state, weights: read(WEIGHTS)?, optimizer: read(OPTIMIZER)? }))
    }

    /// Where a checkpoint lies, if there is one.
    #[must_use]
    pub fn checkpoint_folder(&self, which: Which) -> PathBuf {
        self.folder().join(which.name())
    }

    /// Puts a folder that `write` fills in the place of a checkpoint.
    fn replace(&self, which: Which, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        self.settle(which)?;
        let (current, new, old) = self.names(which);
        fs::create_dir(&new).map_err(Error::io("create", &new))?;
        write(&new)?;
        for file in FILES {
            sync(&new.join(file))?;
        }
        sync(&new)?;
        if current.exists() {
            fs::rename(&current, &old).map_err(Error::io("rename", &current))?;
        }
        fs::rename(&new, &current).map_err(Error::io("rename", &new))?;
        sync(self.folder())?;
        remove(&old)
    }

    /// Ends what a kill interrupted, and clears away what is left of it.
    fn settle(&self, which: Which) -> Result<()> {
        let (current, new, old) = self.names(which);
        // The old one only moves away for a new one that is whole.
        if !current.exists() && old.exists() {
            let whole = if new.exists() { &new } else { &old };
            fs::rename(whole, &current).map_err(Error::io("rename", whole))?;
        }
        remove(&new)?;
        remove(&old)
    }

    /// A checkpoint's folder, the one that will replace it, the one that it replaced.
    fn names(&self, which: Which) -> (PathBuf, PathBuf, PathBuf) {
        let beside = |suffix: &str| self.folder().join(format!("{}.{suffix}", which.name()));
        (self.checkpoint_folder(which), beside("new"), beside("old"))
    }
}

fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).map_err(Error::io("remove", folder))
}

pub(crate) fn write_tensors(path: &Path, tensors: &HashMap<String, Tensor>) -> Result<()> {
    let sorted: BTreeMap<&String, &Tensor> = tensors.iter().collect();
    let entry =
        |(name, tensor): (&&String, &&Tensor)| ((*name).clone(), tensor.dtype(), tensor.dims().to_vec());
    let mut writer = SafetensorsWriter::create(path, sorted.iter().map(entry).collect())?;
    for tensor in sorted.values() {
        writer.write(tensor)?;
    }
    Ok(writer.finish()?)
}

/// Both checkpoints may share a file: it is never changed, only replaced with its folder.
fn link(from: &Path, to: &Path) -> Result<()> {
    fs::hard_link(from, to).or_else(|_| copy(from, to))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).map_err(Error::io("copy", from))
}
