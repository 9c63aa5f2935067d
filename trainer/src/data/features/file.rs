//! The file of features: a header of one page, then entries of one size, each with a checksum.
//!
//! ```text
//! header   4096 bytes   JSON, padded with blanks: what the features depend on beside the picture
//! entry    32 bytes     sha256 of the picture's file
//!          2·n·d bytes  features [n, d], f16, little-endian
//!          4 bytes      crc32c of the two, little-endian
//! ```
//!
//! Entries are only ever appended. Whatever a kill or a full disk leaves behind (half an entry at the end, an entry with
//! other bytes than its checksum says) counts as not there and is computed again; of two entries of one picture the later
//! one counts.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use half::f16;
use jnana_media::Fit;
use jnana_models::vision::VisionSpec;
use jnana_models::weights::MappedFile;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Version of the format.
const FORMAT: u32 = 1;
const HEADER: usize = 4096;
const CHECKSUM: usize = size_of::<u32>();

/// sha256 of a picture's file.
pub(super) type Hash = [u8; 32];

/// What features depend on beside the picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureKey {
    format: u32,
    /// Id of the encoder, as [`VisionSpec::id`].
    pub encoder: String,
    /// How pictures are brought to the encoder's size.
    pub fit: Fit,
    /// Side of the encoder's input in pixels.
    pub size: usize,
    /// Subtracted from colours in 0..1.
    pub mean: [f32; 3],
    /// Divides what is left.
    pub std: [f32; 3],
    /// Positions of a picture, `n`.
    pub positions: usize,
    /// Width of a position's features, `d`.
    pub width: usize,
}

impl FeatureKey {
    /// The key of an encoder with these properties.
    #[must_use]
    pub fn new(spec: &VisionSpec, fit: Fit) -> Self {
        Self {
            format: FORMAT,
            encoder: spec.id.clone(),
            fit,
            size: spec.input_size,
            mean: spec.mean,
            std: spec.std,
            positions: spec.positions,
            width: spec.width,
        }
    }

    /// A name for the file that tells keys apart and people which encoder it is.
    pub(super) fn file_name(&self) -> Result<String> {
        let digest = hex::encode(Sha256::digest(self.header()?));
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let encoder: String = self.encoder.chars().map(plain).collect();
        Ok(format!("{encoder}.{}.features", digest.get(..8).unwrap_or_default()))
    }

    fn header(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec(self).map_err(Error::json(Path::new("header of features")))?;
        if text.len() >= HEADER {
            return Err(Error::setting("encoder", "an id of less than 4 KB", &self.encoder));
        }
        text.resize(HEADER - 1, b' ');
        text.push(b'\n');
        Ok(text)
    }

    fn entry_bytes(&self) -> usize {
        size_of::<Hash>() + self.positions * self.width * size_of::<f16>() + CHECKSUM
    }
}

/// The file while it grows; no other process appends as long as this lives.
pub(super) struct Appender {
    file: File,
    path: PathBuf,
}

impl Appender {
    /// Opens or creates the file, waits for the other processes that append to it, and cuts off half an entry at its end.
    pub(super) fn open(path: &Path, key: &FeatureKey) -> Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(Error::io("open", path))?;
        wait_for_lock(&file, path).map_err(Error::io("lock", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        let header = key.header()?;
        let Some(entries) = length.checked_sub(HEADER as u64) else {
            file.set_len(0).and_then(|()| file.write_all(&header)).map_err(Error::io("write", path))?;
            return Ok(Self { file, path: path.to_owned() });
        };
        let mut found = vec![0; HEADER];
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.read_exact(&mut found))
            .map_err(Error::io("read", path))?;
        if found != header {
            return Err(Error::File {
                path: path.to_owned(),
                expected: format!("features of {}", self_description(&header)),
                got: format!("{}; delete the file or take another folder", self_description(&found)),
            });
        }
        let whole = length - entries % key.entry_bytes() as u64;
        file.set_len(whole).map_err(Error::io("write", path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Appends the features of a picture.
    pub(super) fn push(&mut self, hash: &Hash, values: &[f16]) -> Result<()> {
        let mut entry = Vec::with_capacity(size_of::<Hash>() + size_of_val(values) + CHECKSUM);
        entry.extend_from_slice(hash);
        entry.extend_from_slice(bytemuck::cast_slice(values));
        entry.extend_from_slice(&crc32c::crc32c(&entry).to_le_bytes());
        self.file.write_all(&entry).map_err(Error::io("write", &self.path))
    }

    /// Makes sure that everything is on the disk, and lets others append.
    pub(super) fn finish(self) -> Result<()> {
        self.file.sync_data().map_err(Error::io("write", &self.path))
    }
}

fn wait_for_lock(file: &File, path: &Path) -> std::io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            tracing::info!("waiting for another process that fills {}", path.display());
            file.lock()
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A header as it may be shown.
fn self_description(header: &[u8]) -> String {
    String::from_utf8_lossy(header).trim().chars().take(300).collect()
}

/// The file as it was when it was opened.
#[derive(Debug)]
pub(super) struct Mapped {
    bytes: MappedFile,
    entry_bytes: usize,
    numbers: HashMap<Hash, u32>,
}

impl Mapped {
    /// Maps the file and notes which pictures it has.
    pub(super) fn open(path: &Path, key: &FeatureKey) -> Result<Self> {
        let (bytes, entry_bytes) = (MappedFile::open(path)?, key.entry_bytes());
        let entries = bytes.get(HEADER..).unwrap_or_default().chunks_exact(entry_bytes);
        let hash = |entry: &[u8]| entry.first_chunk().copied();
        let numbers =
            entries.zip(0u32..).filter_map(|(entry, number)| Some((hash(entry)?, number))).collect();
        Ok(Self { bytes, entry_bytes, numbers })
    }

    pub(super) fn path(&self) -> &Path {
        self.bytes.path()
    }

    /// The number of the entry with this hash.
    pub(super) fn find(&self, hash: &Hash) -> Option<u32> {
        self.numbers.get(hash).copied()
    }

    /// The features in an entry; `None` when its checksum is another one.
    pub(super) fn values(&self, number: u32) -> Option<&[f16]> {
        let start = HEADER + number as usize * self.entry_bytes;
        let (content, checksum) =
            self.bytes.get(start..start + self.entry_bytes)?.split_last_chunk::<CHECKSUM>()?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
            return None;
        }
        bytemuck::try_cast_slice(content.get(size_of::<Hash>()..)?).ok()
    }
}
