//! Write a Jnana plugin in safe Rust: implement [`Plugin`] and whichever of [`Encoder`], [`Features`] and [`Transcriber`]
//! fit, then say `export_plugin!` once.

mod plugin;

pub use jnana_api::plugins::{Control, Emits, Fit, InputForm, Manifest, ModelSetting, Segment, UiDescriptor};
pub use plugin::{Call, Code, Create, Embeddings, Encoder, Error, Features, Input, Plugin, Transcriber};
