//! What a plugin says of itself, and what the server says of a plugin.

use serde::{Deserialize, Serialize};

/// A plugin's static self-description. A plugin returns it as JSON from `manifest()` without doing any I/O.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Manifest {
    /// Stable id: lower-case letters, digits, `-` and `.`; at most 64 characters.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// The plugin's own version (semver).
    pub version: String,
    /// One sentence for people.
    #[serde(default)]
    pub description: String,
    /// Extension ids with revision that the plugin implements, such as `jnana.encoder/1`.
    pub kinds: Vec<String>,
    /// Input forms, most preferred first; the host makes the first that it can. Empty for a plugin of jobs alone, which a page
    /// offers no control for.
    pub accepts: Vec<InputForm>,
    /// What an encoder gives back; absent for plugins that give text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emits: Option<Emits>,
    /// Most calls that may run at the same time on one instance.
    #[serde(default = "one")]
    pub max_concurrency: u32,
    /// Largest input in bytes, before the host normalises it.
    #[serde(default = "default_max_input")]
    pub max_input_bytes: u64,
    /// What the plugin needs from the machine beside its models and its own folder: `network`, `filesystem` (the files and
    /// folders that its settings name), `gpu`, `process`. In a worker everything else is closed.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Settings whose value is a model name or path; the host hands the plugin the resolved path.
    #[serde(default)]
    pub models: Vec<ModelSetting>,
    /// JSON Schema of the settings object given to `create`.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub settings_schema: serde_json::Value,
    /// How a page offers this input to a person.
    pub ui: UiDescriptor,
}

fn one() -> u32 {
    1
}

fn default_max_input() -> u64 {
    20 * 1024 * 1024
}

/// One input form that a plugin accepts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum InputForm {
    /// Interleaved rgb8 pixels, `[height, width, 3]`, of exactly this size.
    Image {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// How the picture is brought to the size.
        fit: Fit,
    },
    /// Mono f32 samples in −1..1.
    Audio {
        /// Samples a second.
        sample_rate: u32,
    },
    /// The bytes as they came, of a MIME type (`text/csv`, `application/x-jnana-strokes+json`, `image/*`).
    Raw {
        /// MIME type; the part after `/` may be `*`.
        mime: String,
    },
}

/// How a picture of any size becomes one of a fixed size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Fit {
    /// Width and height scaled on their own; nothing is lost, proportions change.
    Stretch,
    /// Shorter side scaled to the size, the middle cut out (CLIP's processor).
    CenterCrop,
    /// Longer side scaled to the size, the rest filled with black.
    Contain,
}

/// What an encoder emits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Emits {
    /// Element type: `f32`, `f16` or `bf16`.
    pub dtype: String,
    /// Most positions that one input takes in the prompt.
    pub max_positions: u32,
    /// Text that follows the positions in a prompt is the template's business; this names the slot (`image`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
}

/// A setting that names a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelSetting {
    /// Key in the settings object.
    pub setting: String,
    /// Model name (of the model list) used when the setting is absent.
    pub default: String,
}

/// Control that a page draws for an input. The set is closed; an unknown control falls back to a file picker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Control {
    /// Live picture from a video device; also paste, drop and upload.
    Camera,
    /// Recording from an audio device.
    Microphone,
    /// A file of one of the accepted types.
    File,
    /// A text field.
    Text,
    /// A surface to draw on.
    Canvas,
    /// Fields made from `settings`.
    Form,
    /// A control that this build does not know.
    #[serde(other)]
    Unknown,
}

/// How a page offers a plugin's input. Labels and states come from here: the app knows no modality.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UiDescriptor {
    /// Which control.
    pub control: Control,
    /// Verb phrase on the button: "Show a picture".
    pub label: String,
    /// What an attached input is called in a message: "Picture".
    pub noun: String,
    /// One or two characters (an emoji) shown as the icon; decorative.
    pub icon: String,
    /// One sentence of help.
    #[serde(default)]
    pub help: String,
    /// MIME types for file pickers, paste and drop.
    #[serde(default)]
    pub accept: Vec<String>,
    /// The input is turned into text that the person may edit before sending.
    #[serde(default)]
    pub editable_text: bool,
}

/// State of an installed plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PluginState {
    /// Loaded and answering.
    Ready,
    /// Not usable; why, in words.
    Failed {
        /// What happened, why, what to do.
        reason: String,
    },
    /// Switched off in the settings.
    Disabled,
}

/// Where a plugin's code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Runs {
    /// In the server's process: no call costs more than it must, and what the plugin breaks is the server's.
    InProcess,
    /// In a worker process of its own.
    Worker,
}

/// A plugin as `GET /api/plugins` lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PluginInfo {
    /// Id: the manifest's, or the file name of a library that could not be read.
    pub id: String,
    /// The manifest, when it could be read.
    pub manifest: Option<Manifest>,
    /// Where it stands.
    #[serde(flatten)]
    pub state: PluginState,
    /// The instance's own status line, such as `projector: untrained`; empty when there is nothing to say.
    #[serde(default)]
    pub status: String,
    /// File name of the library.
    pub file: String,
    /// sha256 of the library, hex.
    pub sha256: String,
    /// Where it runs; absent for one that is not loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Runs>,
}

/// What a plugin made of an input, for the page to show before it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Interpretation {
    /// Text, from a transcriber. Empty when nothing was said.
    Text {
        /// The whole text.
        text: String,
        /// Its timed pieces.
        segments: Vec<Segment>,
        /// Detected or given language, when the plugin tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        language: Option<String>,
        /// Length of the input in seconds.
        duration: f64,
    },
    /// Embeddings, from an encoder.
    Positions {
        /// How many positions the input takes in the prompt.
        positions: u32,
    },
}

/// A timed piece of text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Segment {
    /// Start in seconds.
    pub start: f64,
    /// End in seconds.
    pub end: f64,
    /// What was said, with the space that parts it from the piece before it.
    pub text: String,
}
