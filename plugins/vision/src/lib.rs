//! The vision plugin: a picture becomes positions in the core's embedding space.
//!
//! A frozen encoder (EfficientNet-Lite0, or any CLIP vision tower with a 224×224 input) gives a 7×7 map of features, a
//! projector turns each of the 49 into a row as wide as the core's embeddings. `jnana.encoder/1` gives the rows,
//! `jnana.features/1` the features before the projector, from which a projector is trained.
//!
//! # How a picture is brought to 224×224
//!
//! The host does that, and the manifest is the same for every encoder: it asks for `stretch`, on which EfficientNet-Lite0's
//! default projector is trained. CLIP was trained on the centre crop: set `fit` to `center-crop` beside `encoder`. The host
//! reads `fit` from this plugin's settings in place of the manifest's; the plugin itself only checks the word.
//!
//! # Projector
//!
//! `projector` names a file that the trainer wrote. Its space, width and encoder have to be those that are asked for, else
//! the plugin refuses to start and says which differ. Without the setting the projector is random (always the same
//! one), and the status says `projector: untrained`.

mod manifest;
mod plugin;
mod settings;
mod workers;

pub use plugin::Vision;

jnana_plugin_sdk::export_plugin!(Vision);
