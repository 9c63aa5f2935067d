//! Where the real models are.

use std::path::PathBuf;

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
