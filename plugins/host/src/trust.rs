//! Which libraries are trusted, and that the trusted bytes are the ones that run.
//!
//! `plugins.lock.json` in the plugins folder pins the sha256 of each library. At load the file is read once into a memfd
//! that is then sealed against writing, the hash is taken of that copy, and everything after uses the copy: a file that is
//! replaced or written to between the check and the load changes nothing.

#![allow(unsafe_code)] // memfd_create and its seals have no counterpart in the standard library.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// Name of the lock file in the plugins folder.
pub const LOCK_FILE: &str = "plugins.lock.json";

const LOCK_VERSION: u32 = 1;
const CHUNK: usize = 1 << 16;

/// The pins of a plugins folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lock {
    version: u32,
    /// File name → sha256 in lower-case hex.
    plugins: BTreeMap<String, String>,
}

/// The pins of a folder; none when it has no lock file.
pub(crate) fn pins(folder: &Path) -> Result<BTreeMap<String, String>, Error> {
    let path = folder.join(LOCK_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(Error::io("reading", path)(error)),
    };
    let lock: Lock = serde_json::from_str(&text)
        .map_err(|error| Error::Lock { path: path.clone(), reason: error.to_string() })?;
    if lock.version != LOCK_VERSION {
        let reason = format!("expected version {LOCK_VERSION}, got {}", lock.version);
        return Err(Error::Lock { path, reason });
    }
    Ok(lock.plugins)
}

/// Pins a library that lies in the plugins folder as it is now, and returns its sha256. This is the act of trust.
///
/// # Errors
/// When the library cannot be read, or the lock file cannot be read or replaced.
pub fn pin(folder: &Path, file: &str) -> Result<String, Error> {
    let sha256 = hash(&folder.join(file))?;
    let mut plugins = pins(folder)?;
    plugins.insert(file.to_owned(), sha256.clone());
    write_lock(folder, plugins)?;
    Ok(sha256)
}

/// Copies a library into the plugins folder, which is made when it is not there, under its own file name, and pins the
/// copy. A library of that name is replaced as a whole: a server that runs keeps what it has loaded. Returns its path.
///
/// # Errors
/// When a file cannot be read or written.
pub fn install(folder: &Path, library: &Path) -> Result<PathBuf, Error> {
    let file = library.file_name().and_then(|name| name.to_str()).ok_or_else(|| Error::Load {
        reason: format!("{} has no file name that is UTF-8", library.display()),
    })?;
    std::fs::create_dir_all(folder).map_err(Error::io("making", folder))?;
    let target = folder.join(file);
    let mut copy = tempfile::NamedTempFile::new_in(folder).map_err(Error::io("writing into", folder))?;
    let mut source = File::open(library).map_err(Error::io("reading", library))?;
    std::io::copy(&mut source, &mut copy).map_err(Error::io("copying", library))?;
    copy.persist(&target).map_err(|error| Error::io("replacing", &target)(error.error))?;
    pin(folder, file)?;
    Ok(target)
}

fn write_lock(folder: &Path, plugins: BTreeMap<String, String>) -> Result<(), Error> {
    let path = folder.join(LOCK_FILE);
    let mut text = serde_json::to_string_pretty(&Lock { version: LOCK_VERSION, plugins })
        .map_err(|error| Error::Lock { path: path.clone(), reason: error.to_string() })?;
    text.push('\n');
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::io("writing into", folder))?;
    file.write_all(text.as_bytes()).map_err(Error::io("writing", &path))?;
    file.persist(&path).map_err(|error| Error::io("replacing", &path)(error.error))?;
    Ok(())
}

fn hash(path: &Path) -> Result<String, Error> {
    let mut file = File::open(path).map_err(Error::io("reading", path))?;
    copy_hashing(&mut file, &mut std::io::sink()).map_err(Error::io("reading", path))
}

/// Copies all of `from` to `to` and returns the sha256 of what was copied.
fn copy_hashing(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk)?;
        if read == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&chunk[..read]);
        to.write_all(&chunk[..read])?;
    }
}

/// The bytes of a library, in memory and immutable.
#[derive(Debug)]
pub(crate) struct Sealed {
    memory: File,
    pub(crate) sha256: String,
}

impl Sealed {
    /// Reads and seals a library.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let mut source = File::open(path).map_err(Error::io("reading", path))?;
        let mut memory = memfd().map_err(Error::io("making a sealed copy of", path))?;
        let sha256 = copy_hashing(&mut source, &mut memory).map_err(Error::io("reading", path))?;
        seal(&memory).map_err(Error::io("sealing a copy of", path))?;
        Ok(Self { memory, sha256 })
    }

    /// Compares the hash with the pin of this file name.
    pub(crate) fn verify(&self, file: &str, pins: &BTreeMap<String, String>) -> Result<(), Error> {
        let found = self.sha256.clone();
        match pins.get(file) {
            None => Err(Error::NotPinned { file: file.to_owned(), sha256: found }),
            Some(pinned) if pinned.eq_ignore_ascii_case(&found) => Ok(()),
            Some(pinned) => Err(Error::Changed { file: file.to_owned(), pinned: pinned.clone(), found }),
        }
    }

    /// A second handle on the same bytes, for a child's standard input.
    pub(crate) fn handle(&self) -> std::io::Result<File> {
        self.memory.try_clone()
    }

    /// A path to the bytes for the dynamic linker. The handle stays open for as long as the process lives: the linker
    /// knows libraries by this name, so the number in it must never be given to another file.
    pub(crate) fn into_path(self) -> PathBuf {
        let memory = std::mem::ManuallyDrop::new(self.memory);
        PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd()))
    }
}

fn memfd() -> std::io::Result<File> {
    // SAFETY: a zero-terminated name and valid flags.
    let fd =
        unsafe { libc::memfd_create(c"jnana-plugin".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nothing else owns.
    Ok(unsafe { File::from_raw_fd(fd) })
}

fn seal(memory: &File) -> std::io::Result<()> {
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
    // SAFETY: an open memfd and valid seals.
    let done = unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_ADD_SEALS, seals) };
    if done < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_pins_what_was_copied() {
        let (from, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let library = from.path().join("libx.so");
        std::fs::write(&library, b"abc").unwrap();
        let target = install(&folder.path().join("plugins"), &library).unwrap();
        let pins = pins(target.parent().unwrap()).unwrap();
        // FIPS 180-2, example B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(pins.get("libx.so").map(String::as_str), Some(abc));
        Sealed::read(&target).unwrap().verify("libx.so", &pins).unwrap();
    }

    #[test]
    fn a_changed_or_unknown_library_is_refused_with_both_hashes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("libx.so"), b"abc").unwrap();
        let pinned = pin(folder.path(), "libx.so").unwrap();
        std::fs::write(folder.path().join("libx.so"), b"abd").unwrap();
        let sealed = Sealed::read(&folder.path().join("libx.so")).unwrap();
        let words = sealed.verify("libx.so", &pins(folder.path()).unwrap()).unwrap_err().to_string();
        assert!(words.contains(&pinned) && words.contains(&sealed.sha256), "{words}");
        let words = sealed.verify("liby.so", &pins(folder.path()).unwrap()).unwrap_err().to_string();
        assert!(words.contains("not pinned") && words.contains(&sealed.sha256), "{words}");
    }

    #[test]
    fn a_sealed_copy_keeps_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libx.so");
        std::fs::write(&path, b"abc").unwrap();
        let sealed = Sealed::read(&path).unwrap();
        std::fs::write(&path, b"evil").unwrap();
        assert!(sealed.handle().unwrap().write_all(b"evil").is_err());
        assert_eq!(std::fs::read(sealed.into_path()).unwrap(), b"abc");
    }

    #[test]
    fn a_broken_lock_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["{", r#"{"version": 2, "plugins": {}}"#, r#"{"version": 1}"#] {
            std::fs::write(folder.path().join(LOCK_FILE), text).unwrap();
            assert!(pins(folder.path()).unwrap_err().to_string().contains(LOCK_FILE), "{text}");
        }
    }
}
