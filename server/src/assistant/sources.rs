//! Which files a language model is made of: what its card says, or what was put together for a generation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jnana_api::admin::ModelFiles;
use jnana_core::model_card::{CardError, CardFile};
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// The setting of an encoder that names its projector.
const PROJECTOR: &str = "projector";

/// The files of a language model and of the projectors into its embedding space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// The folder or GGUF file whose card says name, template and context.
    pub model: PathBuf,
    /// The weights: a folder or GGUF file.
    pub weights: PathBuf,
    /// The folder of an adapter that runs beside them.
    pub adapter: Option<PathBuf>,
    /// Id of the model in calls; that of the card where there is none.
    pub name: Option<String>,
    /// Id of the embedding space; that of the card where there is none.
    pub space: Option<String>,
    /// Projectors by the id of the plugin that they are for.
    pub projectors: BTreeMap<String, PathBuf>,
}

impl Sources {
    /// Those of the model at `model`, as its card has them.
    ///
    /// # Errors
    /// When there is a card that cannot be read.
    pub fn of(model: &Path) -> Result<Self, CardError> {
        let (card, at) = CardFile::read(model)?.unwrap_or_default();
        let from_card = |path: PathBuf| at.with_file_name(path);
        let projectors = card.projectors.into_iter();
        Ok(Self {
            model: model.to_owned(),
            weights: card.base.map_or_else(|| model.to_owned(), from_card),
            adapter: card.adapter.map(from_card),
            name: card.name,
            space: card.space,
            projectors: projectors.map(|(plugin, file)| (plugin, from_card(file))).collect(),
        })
    }

    /// The same, with the projectors that an operator's settings name in place of the model's own.
    ///
    /// # Errors
    /// When there is a card that cannot be read.
    pub fn configured(model: &Path, settings: &Settings) -> Result<Self, CardError> {
        let mut sources = Self::of(model)?;
        for plugin in settings.plugin_settings.keys() {
            if let Some(file) = projector_setting(settings, plugin) {
                sources.projectors.insert(plugin.clone(), file.into());
            }
        }
        Ok(sources)
    }

    /// Whether any of them lies below `folder`.
    #[must_use]
    pub fn lie_below(&self, folder: &Path) -> bool {
        let own = [Some(&self.model), Some(&self.weights), self.adapter.as_ref()];
        own.into_iter().flatten().chain(self.projectors.values()).any(|path| path.starts_with(folder))
    }

    /// The same for people.
    #[must_use]
    pub fn shown(&self) -> ModelFiles {
        // A model folder says where its parts are as seen from it.
        let shown = |path: &PathBuf| path.canonicalize().as_ref().unwrap_or(path).display().to_string();
        ModelFiles {
            weights: shown(&self.weights),
            adapter: self.adapter.as_ref().map(shown),
            projectors: self.projectors.iter().map(|(plugin, file)| (plugin.clone(), shown(file))).collect(),
        }
    }
}

/// The projector that an operator's settings name for a plugin.
#[must_use]
pub fn projector_setting<'a>(settings: &'a Settings, plugin: &str) -> Option<&'a str> {
    settings.plugin_settings.get(plugin)?.get(PROJECTOR)?.as_str()
}
