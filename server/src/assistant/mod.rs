//! The serving model with its plugins: from a conversation's pieces to a running answer.

mod ask;
mod generation;
mod inputs;
mod live;
mod model;

pub use ask::{Ask, AskTurn, Note, Piece, Prepared};
pub use generation::start;
pub use inputs::{InputPiece, Inputs, OnSegment, Target};
pub use live::{Generations, Live, follow};
pub use model::{ServingModel, dtype, load_with};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use jnana_api::plugins::ModelSetting;
use jnana_plugin_host::{CancelFlag, HostConfig, PluginHost};
use serde_json::Value;

use crate::catalog::{Catalog, Library};
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
        let model =
            ServingModel::load(&path, settings).with_context(|| format!("loading {}", path.display()))?;
        let host = open_plugins(settings, catalog, library, &model.info.space, model.info.width)?;
        Ok(Self { model, inputs: Inputs::new(host, metrics) })
    }
}

/// Opens the plugins' folder for a language model of this embedding space and width.
///
/// # Errors
/// When the folder or its lock file cannot be read.
pub fn open_plugins(
    settings: &Settings,
    catalog: &Catalog,
    library: &Library,
    space: &str,
    width: u32,
) -> Result<PluginHost> {
    let (catalog, library) = (catalog.clone(), library.clone());
    let resolve = move |model: &ModelSetting, given: Option<&Value>| -> Result<PathBuf, String> {
        let name = match given {
            None => &model.default,
            Some(Value::String(name)) => name,
            Some(other) => return Err(format!("expected a model's name or path, found {other}")),
        };
        library.resolve(&catalog, name).map_err(|error| error.to_string())
    };
    let config = HostConfig {
        exe: settings.program.clone(),
        threads: u32::try_from(settings.plugin_threads).unwrap_or(u32::MAX),
        space: space.to_owned(),
        width,
        cache_root: settings.home.join("plugin-cache"),
        settings: settings.plugin_settings.clone().into_iter().collect(),
        disabled: settings.disabled_plugins.iter().cloned().collect(),
        resolve_model: Box::new(resolve),
        scan_timeout: SCAN_TIMEOUT,
    };
    PluginHost::open(&settings.plugins, &config)
        .with_context(|| format!("opening the plugins in {}", settings.plugins.display()))
}

/// Cancels a call of a plugin when the request it belongs to goes away.
#[derive(Debug, Default)]
pub struct CancelOnDrop(pub CancelFlag);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
