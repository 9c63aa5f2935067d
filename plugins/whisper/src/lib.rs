//! Speech into text with Whisper: the plugin `whisper`, which implements `jnana.transcriber/1`.
//!
//! A recording is searched for speech ([`jnana_media::speech_spans`]), cut at its pauses into windows of at most half a minute,
//! and each window goes through whisper.cpp, encoded at its own length rather than at 30 s. What comes back is judged before it
//! is believed. Models are ggml files, or CTranslate2 folders (faster-whisper, WhisperX) that [`import`] turns into them.
//!
//! whisper.cpp can end the process where it finds its own state impossible; [`check`] keeps damaged model files away from it.

pub mod check;
pub mod ct2;
pub mod ggml;
mod guard;
pub mod import;
mod language;
mod logging;
pub mod mel;
mod model;
mod parts;
mod plugin;
mod pool;
mod recogniser;
mod settings;
mod vocabulary;
mod windows;

pub use plugin::Whisper;
pub use vocabulary::VocabularyError;

jnana_plugin_sdk::export_plugin!(Whisper);
