//! What a finished job left behind: where it is, how large, and by which hash it is known again.

use std::fs::File;
use std::path::{Path, PathBuf};

use jnana_api::jobs::{Product, Promise};
use sha2::{Digest, Sha256};

/// Those of the promises in the process's folder that were kept. One that cannot be read is left out, and in the log.
pub(super) fn of(promises: &[Promise], work: &Path) -> Vec<Product> {
    let found = promises.iter().filter_map(|promise| {
        let path = work.join(&promise.path);
        let (bytes, sha256) = match measure(&path) {
            Ok(measured) => measured,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "a job did not leave what it promised");
                return None;
            }
        };
        let path = path.to_string_lossy().into_owned();
        Some(Product { kind: promise.kind.clone(), path, bytes, sha256, plugin: promise.plugin.clone() })
    });
    found.collect()
}

/// Bytes and hash of a file; of a folder the sum, and the hash of what its files are called and hold.
fn measure(path: &Path) -> std::io::Result<(u64, String)> {
    if !path.is_dir() {
        return hash(path);
    }
    let (mut bytes, mut lines) = (0, String::new());
    for file in files(path)? {
        let (size, sha256) = hash(&file)?;
        let name = file.strip_prefix(path).unwrap_or(&file);
        bytes += size;
        lines += &format!("{sha256}  {}\n", name.display());
    }
    Ok((bytes, hex::encode(Sha256::digest(lines))))
}

fn hash(path: &Path) -> std::io::Result<(u64, String)> {
    let mut digest = Sha256::new();
    let bytes = std::io::copy(&mut File::open(path)?, &mut digest)?;
    Ok((bytes, hex::encode(digest.finalize())))
}

/// All files in a folder and those in it, sorted.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { all.extend(files(&path)?) } else { all.push(path) }
    }
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_hashed_and_what_is_missing_is_left_out() {
        let work = tempfile::tempdir().unwrap();
        std::fs::create_dir(work.path().join("adapter")).unwrap();
        std::fs::write(work.path().join("adapter/b"), "bb").unwrap();
        std::fs::write(work.path().join("adapter/a"), "a").unwrap();
        std::fs::write(work.path().join("projector"), "abc").unwrap();
        let promise = |path: &str| Promise { kind: path.to_owned(), path: path.to_owned(), plugin: None };
        let products = of(&["projector", "adapter", "model"].map(promise), work.path());
        let [projector, adapter] = &products[..] else { panic!("{products:?}") };
        assert_eq!(projector.bytes, 3);
        assert_eq!(projector.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let hash = |text: &str| hex::encode(Sha256::digest(text));
        let lines = format!("{}  a\n{}  b\n", hash("a"), hash("bb"));
        assert_eq!((adapter.bytes, &adapter.sha256), (3, &hash(&lines)));
    }
}
