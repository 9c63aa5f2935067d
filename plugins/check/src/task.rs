//! What is checked, and with what.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A plugin and what its instances are made with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// The library.
    pub library: PathBuf,
    /// Everything random follows from it.
    pub seed: u64,
    /// Settings as `create` gets them: models are paths.
    pub settings: Map<String, Value>,
    /// Id of the embedding space that encoders are asked for.
    pub space: String,
    /// Width of that space.
    pub width: u32,
    /// A folder for the plugin.
    pub cache_dir: PathBuf,
    /// A good input for plugins that take bytes; a few letters when there is none.
    pub input: Option<PathBuf>,
}
