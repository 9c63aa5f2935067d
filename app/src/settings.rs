//! What a person has chosen on this device.

use leptos::prelude::document;
use serde::{Deserialize, Serialize};

use crate::browser;

const KEY: &str = "jnana.settings";

/// Colours of the page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Theme {
    /// As the system has it.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// Value of the page's `data-theme`, and of the select in the settings.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The theme with this name; `System` for an unknown one.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::System,
        }
    }
}

/// Everything that is remembered on this device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// Colours.
    pub(crate) theme: Theme,
    /// Send a recording's text as soon as it is there.
    pub(crate) auto_send: bool,
    /// Ask the browser to remove the device's own sound.
    pub(crate) echo_cancellation: bool,
    /// Ask the browser to remove noise.
    pub(crate) noise_suppression: bool,
    /// Ask the browser to level the loudness.
    pub(crate) auto_gain: bool,
    /// Chosen video device; empty for the browser's choice.
    pub(crate) camera: String,
    /// Chosen audio device; empty for the browser's choice.
    pub(crate) microphone: String,
    /// Whether the camera on the person's side is used, on devices with two.
    pub(crate) facing_user: bool,
}

impl Settings {
    /// What was stored, or the defaults.
    pub(crate) fn load() -> Self {
        browser::stored(KEY).and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default()
    }

    /// Stores the settings and lets the page follow them.
    pub(crate) fn keep(&self) {
        if let Ok(json) = serde_json::to_string(self) {
            browser::store(KEY, &json);
        }
        self.apply();
    }

    /// Lets the page follow the settings.
    pub(crate) fn apply(&self) {
        if let Some(root) = document().document_element() {
            drop(root.set_attribute("data-theme", self.theme.name()));
        }
    }
}
