//! The plugin against real models: `JNANA_TEST_MODELS` names a folder with `whisper-tiny.en` and `whisper-base`.

mod import;
mod models;
