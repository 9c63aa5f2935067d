//! Damaged models give words, never a crash.

use std::path::Path;

use jnana_plugin_sdk::{Code, Error, Plugin};
use jnana_whisper::{Whisper, check, import};
use serde_json::json;

use crate::models::{create, model};

fn failure(path: &Path) -> Error {
    let cache = tempfile::tempdir().unwrap();
    let result = Whisper::create(create(path, cache.path(), &json!({})));
    result.err().unwrap_or_else(|| panic!("{} was accepted", path.display()))
}

#[test]
fn what_is_no_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ggml-x.bin");
    for (bytes, word) in [
        (&b"not a model"[..], "magic number"),
        (b"", "magic number"),
        (b"lmgg\xff\xff\xff\xff", "vocabulary"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        for path in [file.as_path(), folder.path()] {
            let error = failure(path);
            assert_eq!(error.code, Code::Resource);
            assert!(error.message.contains(word), "{error}");
        }
    }
    let empty = tempfile::tempdir().unwrap();
    let error = failure(empty.path());
    assert!(error.message.contains("no Whisper model at"), "{error}");
}

#[test]
fn cut_and_garbled_files_are_refused_before_whisper_cpp_sees_them() {
    let folder = tempfile::tempdir().unwrap();
    let whole = import::cached(&model("whisper-tiny.en"), folder.path()).unwrap();
    let file = std::fs::File::options().write(true).open(&whole).unwrap();
    let length = file.metadata().unwrap().len();
    for cut in [length - 1, length - 100_000, length / 2, 600_000, 65_000, 40, 3, 0] {
        file.set_len(cut).unwrap();
        let error = failure(&whole);
        assert_eq!(error.code, Code::Resource, "cut to {cut}: {error}");
    }
    let bytes = {
        let mut bytes = Vec::new();
        import::import(&model("whisper-tiny.en"), &mut bytes).unwrap();
        bytes
    };
    // Every number of the header, the vocabulary's size, a token's length, the first tensor's description.
    let vocabulary = 48 + 8 + 80 * 201 * 4;
    let tensor = bytes.windows(28).position(|w| w == b"decoder.positional_embedding").unwrap() - 20;
    let places = (0..44)
        .step_by(4)
        .chain([48, 52, vocabulary, vocabulary + 4])
        .chain((tensor..tensor + 28).step_by(4));
    for place in places {
        let mut garbled = bytes[..bytes.len()].to_vec();
        garbled[place..place + 4].copy_from_slice(&0x7fff_ff00u32.to_le_bytes());
        std::fs::write(&whole, &garbled).unwrap();
        assert!(check::check(&whole).is_err(), "garbage at byte {place} was accepted");
    }
}
