//! The one place where files are mapped into memory.

#![allow(unsafe_code)]

use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::{Error, Result};

/// A file's bytes, paged in by the operating system when they are touched.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
    path: PathBuf,
}

impl MappedFile {
    /// Maps the whole of `path` for reading.
    ///
    /// # Errors
    /// When the file cannot be opened or mapped.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        // SAFETY: the mapping is private and read-only. What remains is that another program truncates or rewrites the
        // file while it is mapped; weight files are written once under another name and then renamed, and nothing here
        // keeps a slice beyond the load. The trainer's files of features only grow while they are mapped.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))?;
        Ok(Self { map, path: path.to_owned() })
    }

    /// Lets go of the pages of `part`, a slice of the map whose numbers were copied, so that a file and the copy of it are
    /// never in memory together. Whoever reads them once more gets them from the file once more.
    pub(crate) fn release(&self, part: &[u8]) {
        let start = (part.as_ptr() as usize).wrapping_sub(self.map.as_ptr() as usize);
        let inside = start.checked_add(part.len()).is_some_and(|end| end <= self.map.len());
        #[cfg(unix)]
        if inside {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the pages are those of a file and are never written to, so that they come back as they were. The range
            // lies inside of the map.
            let _kept_if_refused = unsafe { self.map.unchecked_advise_range(advice, start, part.len()) };
        }
        #[cfg(not(unix))]
        let _ = inside;
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_were_let_go_come_back_as_they_were() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let numbers: Vec<u8> = (0..100_000u32).map(|i| (i.wrapping_mul(7919) >> 3) as u8).collect();
        std::fs::write(file.path(), &numbers).unwrap();
        let map = MappedFile::open(file.path()).unwrap();
        assert_eq!(map[..], numbers);
        for part in [&map[..], &map[5000..90_001], &map[99_999..], &map[7..7], &numbers[..]] {
            map.release(part);
            assert_eq!(map[..], numbers);
        }
    }
}
