//! A file of packed weights: the length of a header in eight bytes, the header in JSON, then the panels of its matrices, one
//! after the other.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

use jnana_kernels::{Format, PackedMatrix};
use serde::{Deserialize, Serialize};

use super::Named;
use super::identity::Identity;

#[derive(Serialize, Deserialize)]
struct Header {
    identity: Identity,
    matrices: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    format: String,
    rows: usize,
    columns: usize,
    bytes: u64,
}

/// The header of a file with these matrices, its length before it.
pub(super) fn header(identity: &Identity, matrices: &[Named]) -> serde_json::Result<Vec<u8>> {
    let entry = |(name, matrix): &Named| {
        let (rows, columns) = matrix.dims();
        let (format, bytes) = (format!("{:?}", matrix.format()), matrix.panels().len() as u64);
        Entry { name: name.clone(), format, rows, columns, bytes }
    };
    let matrices = matrices.iter().map(entry).collect();
    let json = serde_json::to_vec(&Header { identity: identity.clone(), matrices })?;
    Ok([&(json.len() as u64).to_le_bytes()[..], &json[..]].concat())
}

/// An open file.
pub(super) struct KeptFile {
    file: File,
    matrices: Vec<Entry>,
    /// Where the first matrix begins.
    start: u64,
}

impl KeptFile {
    /// The file at `path`, if it is there, whole, and of this identity. It counts as used now.
    pub(super) fn open(path: &Path, identity: &Identity) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let length = file.metadata().ok()?.len();
        let mut bytes = [0; size_of::<u64>()];
        file.read_exact(&mut bytes).ok()?;
        let start = u64::from_le_bytes(bytes).checked_add(bytes.len() as u64)?;
        if start > length {
            return None;
        }
        let mut json = vec![0; usize::try_from(start).ok()? - bytes.len()];
        file.read_exact(&mut json).ok()?;
        let Header { identity: made_of, matrices } = serde_json::from_slice(&json).ok()?;
        let end = matrices.iter().try_fold(start, |end, entry| end.checked_add(entry.bytes))?;
        if made_of != *identity || end != length {
            return None;
        }
        // Where this is not allowed, the file is only thrown away earlier than others.
        let _not_marked = file.set_modified(SystemTime::now());
        Some(Self { file, matrices, start })
    }

    /// The matrix of `name` with so many rows and columns; `None` when there is no such one or it cannot be read, for then
    /// it can be packed again.
    pub(super) fn read(&mut self, name: &str, dims: (usize, usize)) -> Option<PackedMatrix> {
        let index = self.matrices.iter().position(|entry| entry.name == name)?;
        let entry = &self.matrices[index];
        let format = Format::ALL.into_iter().find(|format| format!("{format:?}") == entry.format)?;
        if (entry.rows, entry.columns) != dims || !format.fits(entry.columns) {
            return None;
        }
        let before: u64 = self.matrices[..index].iter().map(|entry| entry.bytes).sum();
        let (file, at, bytes) = (&mut self.file, self.start + before, entry.bytes);
        let read = |panels: &mut [u8]| -> io::Result<()> {
            if panels.len() as u64 != bytes {
                return Err(io::ErrorKind::InvalidData.into());
            }
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(panels)
        };
        PackedMatrix::restore(format, dims.0, dims.1, read).ok()
    }
}
