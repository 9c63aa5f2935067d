//! Where the real models are, and instances of the plugin that tests share.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jnana_plugin_sdk::{Create, Plugin};
use jnana_whisper::Whisper;
use serde_json::{Value, json};

/// A model's folder.
///
/// # Panics
/// When there is none: these tests prove nothing without it.
pub fn model(name: &str) -> PathBuf {
    let root = std::env::var_os("JNANA_TEST_MODELS").expect(
        "JNANA_TEST_MODELS is not set: it names the folder that holds whisper-tiny.en and whisper-base; \
         `cargo xtask test` fetches them and sets it",
    );
    let folder = PathBuf::from(root).join(name);
    assert!(folder.is_dir(), "{} is no folder: `cargo xtask test` fetches the models", folder.display());
    folder
}

/// What a host gives to an instance of two threads.
pub fn create(model: &Path, cache: &Path, settings: &Value) -> Create {
    let mut settings = settings.as_object().cloned().unwrap_or_default();
    settings.insert("model".to_owned(), Value::from(model.to_str().unwrap()));
    Create { space: String::new(), width: 0, threads: 2, cache_dir: cache.to_owned(), settings }
}

fn instance(name: &str, settings: &Value) -> Whisper {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("whisper-models");
    Whisper::create(create(&model(name), &cache, settings)).unwrap()
}

/// tiny.en, English only.
pub fn tiny() -> &'static Whisper {
    static TINY: LazyLock<Whisper> = LazyLock::new(|| instance("whisper-tiny.en", &json!({})));
    &TINY
}

/// base, which may hear English and German.
pub fn base() -> &'static Whisper {
    static BASE: LazyLock<Whisper> =
        LazyLock::new(|| instance("whisper-base", &json!({"languages": ["en", "de"]})));
    &BASE
}
