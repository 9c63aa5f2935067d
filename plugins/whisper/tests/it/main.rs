//! The plugin against real models: `JNANA_TEST_MODELS` names a folder with `whisper-tiny.en` and `whisper-base`.

// Clippy knows no test in helpers beside the `#[test]` functions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod damaged;
mod import;
mod models;
mod transcribe;
