//! CTranslate2 folders become the published ggml files, byte for byte.

use std::io::{self, Write};

use jnana_whisper::{check, import};
use sha1::{Digest, Sha1};

use crate::models::model;

/// Counts and hashes what is written.
#[derive(Default)]
struct Sum {
    bytes: u64,
    hash: Sha1,
}

impl Write for &mut Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn imported(name: &str) -> (u64, String) {
    let mut sum = Sum::default();
    import::import(&model(name), &mut sum).unwrap();
    (sum.bytes, hex::encode(sum.hash.finalize()))
}

#[test]
fn tiny_en_equals_the_published_file() {
    let expected = (77_704_715, "c78c86eb1a8faa21b369bcd33207cc90d64ae9df".to_owned());
    assert_eq!(imported("whisper-tiny.en"), expected);
}

#[test]
fn base_equals_the_published_file() {
    let expected = (147_951_465, "465707469ff3a37a2b9b8d8f89f2f99de7299dac".to_owned());
    assert_eq!(imported("whisper-base"), expected);
}

#[test]
fn an_import_is_kept_and_made_again_when_damaged() {
    let cache = tempfile::tempdir().unwrap();
    let made = import::cached(&model("whisper-tiny.en"), cache.path()).unwrap();
    let sizes = check::check(&made).unwrap();
    assert_eq!((sizes.vocab, sizes.width, sizes.audio_layers), (51_864, 384, 4));
    let first = std::fs::metadata(&made).unwrap().modified().unwrap();
    assert_eq!(import::cached(&model("whisper-tiny.en"), cache.path()).unwrap(), made);
    assert_eq!(std::fs::metadata(&made).unwrap().modified().unwrap(), first, "the second call made it again");

    std::fs::File::options().write(true).open(&made).unwrap().set_len(1000).unwrap();
    assert_eq!(import::cached(&model("whisper-tiny.en"), cache.path()).unwrap(), made);
    assert_eq!(std::fs::metadata(&made).unwrap().len(), 77_704_715);
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 1, "temporary files were left");
}
