//! Small helpers for files that are kept.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use sha2::Digest;

/// Bytes that are hashed at a time.
const CHUNK: usize = 1 << 20;

/// Writes a file that only its owner may read, making its folder when needed.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    open_private(path, OpenOptions::new().write(true).truncate(true))?.write_all(content)
}

/// Adds to the end of a file that only its owner may read, making it and its folder when needed.
pub(crate) fn append_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    open_private(path, OpenOptions::new().append(true))?.write_all(content)
}

/// Replaces a file that only its owner may read: whoever reads it finds the old content or the new, never a part.
pub(crate) fn replace_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// What a file hashes to, in hex.
pub(crate) fn hash<D: Digest>(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let (mut hasher, mut buffer) = (D::new(), vec![0; CHUNK]);
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&buffer[..n]);
    }
}

fn open_private(path: &Path, options: &mut OpenOptions) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.create(true).open(path)
}
