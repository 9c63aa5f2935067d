//! The settings object, parsed.

use std::path::PathBuf;

use jnana_models::vision::FeatureMap;
use jnana_plugin_sdk::{Error, Fit};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What an operator may set; `settings_schema` of the manifest says the same.
#[derive(Debug, Deserialize)]
pub(crate) struct Settings {
    /// Resolved path of the encoder.
    pub(crate) encoder: PathBuf,
    /// Path of the projector; none for a random one.
    pub(crate) projector: Option<PathBuf>,
    /// Channels of EfficientNet-Lite0's map.
    #[serde(default)]
    features: Option<u32>,
    /// Read by the host; parsed here so that a wrong word is refused at start.
    #[serde(default, rename = "fit")]
    _fit: Option<Fit>,
}

impl Settings {
    pub(crate) fn parse(object: Map<String, Value>) -> Result<Self, Error> {
        let settings: Self = serde_json::from_value(Value::Object(object))
            .map_err(|error| Error::invalid(format!("settings of the vision plugin: {error}")))?;
        settings.feature_map()?;
        Ok(settings)
    }

    pub(crate) fn feature_map(&self) -> Result<FeatureMap, Error> {
        let Some(channels) = self.features else { return Ok(FeatureMap::default()) };
        FeatureMap::of_width(channels as usize).ok_or_else(|| {
            Error::invalid(format!(
                "settings of the vision plugin: features: expected 320 or 1280, got {channels}"
            ))
        })
    }
}
