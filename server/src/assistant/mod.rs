//! The serving model with its plugins: from a conversation's pieces to a running answer.

mod ask;
mod details;
mod generation;
mod inputs;
mod live;
mod loading;
mod model;
mod sources;

pub use ask::{Answering, Ask, AskTurn, Note, Piece, Prepared};
pub use details::{Timing, details};
pub use generation::{pieces_of, start};
pub use inputs::{InputPiece, Inputs, OnSegment, Target};
pub use live::{Generations, Live, follow};
pub use loading::load_with;
pub use model::ServingModel;
pub use sources::{Sources, projector_setting};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use jnana_api::conversations::WeightHashes;
use jnana_api::plugins::ModelSetting;
use jnana_plugin_host::{CancelFlag, HostConfig, PluginHost};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::catalog::{Catalog, Library};
use crate::memory::{self, mebibytes};
use crate::metrics::Metrics;
use crate::settings::Settings;

/// A library that takes longer to say what it is has failed.
const SCAN_TIMEOUT: Duration = Duration::from_secs(20);

/// The serving model with its plugins.
#[derive(Debug)]
pub struct Assistant {
    /// The language model.
    pub model: ServingModel,
    /// The plugins, and what they made lately.
    pub inputs: Inputs,
    /// Which weights these are; only a server finds out, for it takes reading all of them.
    pub identity: Option<Identity>,
}

/// Which weights answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Follows from all weights, the adapter's scale and the embedding space; 12 hex digits.
    pub id: String,
    /// Hashes of the parts.
    pub weights: WeightHashes,
}

impl Assistant {
    /// Loads the model and the plugins; what is not on this machine yet is fetched first.
    ///
    /// # Errors
    /// When the model cannot be had or loaded, or the plugins' folder cannot be read. A plugin that fails is listed as
    /// failed and does not stop the others.
    pub fn load(
        settings: &Settings,
        catalog: &Catalog,
        library: &Library,
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        let path = library.resolve(catalog, &settings.model)?;
        Self::of(Sources::configured(&path, settings)?, settings, catalog, library, metrics)
    }

    /// Loads the model of these files, and the plugins.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn of(
        sources: Sources,
        settings: &Settings,
        catalog: &Catalog,
        library: &Library,
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        let model = load_model(sources, settings)?;
        let host = open_plugins(settings, catalog, library, Some(&model))?;
        Ok(Self { model, inputs: Inputs::new(host, metrics), identity: None })
    }

    /// Loads the model of other files beside this one. Plugins are shared, but for encoders that need another projector or
    /// space: those are asked for another instance.
    ///
    /// # Errors
    /// As [`load`](Self::load), and when an encoder refuses the projector.
    pub fn beside(
        &self,
        sources: Sources,
        settings: &Settings,
        catalog: &Catalog,
        library: &Library,
    ) -> Result<Self> {
        let model = load_model(sources, settings)?;
        let inputs = self.inputs.fitting(&host_config(settings, catalog, library, Some(&model)))?;
        Ok(Self { model, inputs, identity: None })
    }
}

fn load_model(sources: Sources, settings: &Settings) -> Result<ServingModel> {
    let path = sources.model.display().to_string();
    ServingModel::load(sources, settings).with_context(|| format!("loading {path}"))
}

/// Opens the plugins' folder for a language model, or for none: then encoders are refused.
///
/// # Errors
/// When the folder or its lock file cannot be read.
pub fn open_plugins(
    settings: &Settings,
    catalog: &Catalog,
    library: &Library,
    model: Option<&ServingModel>,
) -> Result<PluginHost> {
    PluginHost::open(&settings.plugins, &host_config(settings, catalog, library, model))
        .with_context(|| format!("opening the plugins in {}", settings.plugins.display()))
}

fn host_config(
    settings: &Settings,
    catalog: &Catalog,
    library: &Library,
    model: Option<&ServingModel>,
) -> HostConfig {
    let (catalog, library) = (catalog.clone(), library.clone());
    let resolve = move |model: &ModelSetting, given: Option<&Value>| -> Result<PathBuf, String> {
        let path = resolve_model(&catalog, &library, model, given)?;
        admit_file(&path).map_err(|error| error.to_string())?;
        Ok(path)
    };
    HostConfig {
        exe: settings.program.clone(),
        threads: u32::try_from(settings.plugin_threads).unwrap_or(u32::MAX),
        space: model.map(|model| model.info.space.clone()).unwrap_or_default(),
        width: model.map_or(0, |model| model.info.width),
        cache_root: settings.home.join("plugin-cache"),
        settings: plugin_settings(settings, model).into_iter().collect(),
        disabled: settings.disabled_plugins.iter().cloned().collect(),
        runs: settings.plugin_runs.clone(),
        resolve_model: Box::new(resolve),
        scan_timeout: SCAN_TIMEOUT,
    }
}

/// Tells what a plugin's model will take, which is about its size on disk, and refuses one that is larger than the memory
/// that is left. What a folder holds is for the plugin to say.
fn admit_file(path: &Path) -> Result<()> {
    let about = std::fs::metadata(path).with_context(|| path.display().to_string())?;
    let available = memory::available();
    if about.is_file() {
        let (mib, left) = (mebibytes(about.len()), available.map(mebibytes));
        tracing::info!(model = %path.display(), mib, available_mib = left, "loading a plugin's model");
        memory::admit(&path.display().to_string(), about.len(), available)?;
    }
    Ok(())
}

/// The path of a model that a plugin's setting names, or its default.
///
/// # Errors
/// In words, when it names none, or one that is not here and cannot be fetched.
pub fn resolve_model(
    catalog: &Catalog,
    library: &Library,
    model: &ModelSetting,
    given: Option<&Value>,
) -> Result<PathBuf, String> {
    let name = match given {
        None => &model.default,
        Some(Value::String(name)) => name,
        Some(other) => return Err(format!("expected a model's name or path, found {other}")),
    };
    library.resolve(catalog, name).map_err(|error| error.to_string())
}

/// The plugins' settings; an encoder for which nobody named a projector gets the model's own.
fn plugin_settings(
    settings: &Settings,
    model: Option<&ServingModel>,
) -> BTreeMap<String, Map<String, Value>> {
    let mut all = settings.plugin_settings.clone();
    for (plugin, file) in model.iter().flat_map(|model| &model.sources.projectors) {
        let settings = all.entry(plugin.clone()).or_default();
        settings.entry("projector").or_insert_with(|| file.display().to_string().into());
    }
    all
}

/// Cancels a call of a plugin when the request it belongs to goes away.
#[derive(Debug, Default)]
pub struct CancelOnDrop(pub CancelFlag);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
