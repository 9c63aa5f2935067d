//! A library in memory, where nobody can change it any more.
//!
//! The file is read once into a memfd that is then sealed against writing, the hash is taken of that copy, and everything
//! after uses the copy: a file that is replaced or written to between the check and the load changes nothing.

#![allow(unsafe_code)] // memfd_create and its seals have no counterpart in the standard library.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::lock::Pin;

const CHUNK: usize = 1 << 16;

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

    /// Compares the hash with the pin of this file name, which is the answer.
    pub(crate) fn verify<'a>(&self, file: &str, pins: &'a BTreeMap<String, Pin>) -> Result<&'a Pin, Error> {
        let found = self.sha256.clone();
        match pins.get(file) {
            None => Err(Error::NotPinned { file: file.to_owned(), sha256: found }),
            Some(pin) if pin.sha256.eq_ignore_ascii_case(&found) => Ok(pin),
            Some(pin) => Err(Error::Changed { file: file.to_owned(), pinned: pin.sha256.clone(), found }),
        }
    }

    /// The bytes, copied.
    pub(crate) fn bytes(&self) -> std::io::Result<Vec<u8>> {
        let length = usize::try_from(self.memory.metadata()?.len()).map_err(std::io::Error::other)?;
        let mut bytes = vec![0; length];
        self.memory.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// A second handle on the same bytes, for a child's standard input.
    pub(crate) fn handle(&self) -> std::io::Result<File> {
        self.memory.try_clone()
    }

    /// The same library once more: for another instance.
    pub(crate) fn again(&self) -> std::io::Result<Self> {
        Ok(Self { memory: self.handle()?, sha256: self.sha256.clone() })
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
    fn a_sealed_copy_keeps_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libx.so");
        std::fs::write(&path, b"abc").unwrap();
        let sealed = Sealed::read(&path).unwrap();
        std::fs::write(&path, b"evil").unwrap();
        assert!(sealed.handle().unwrap().write_all(b"evil").is_err());
        assert_eq!(sealed.bytes().unwrap(), b"abc");
        assert_eq!(std::fs::read(sealed.into_path()).unwrap(), b"abc");
    }
}
