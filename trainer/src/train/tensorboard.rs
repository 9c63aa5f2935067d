//! Curves for TensorBoard.
//!
//! A file of TFRecords (length, masked CRC of the length, data, masked CRC of the data; see tensorflow's
//! `core/lib/io/record_writer.h`), each an `Event` of `core/util/event.proto` with a `Summary` of
//! `core/framework/summary.proto`. Four kinds of fields are all that scalars need, so they are written by hand.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{Error, Result};

/// What TensorBoard expects to read first.
const VERSION: &[u8] = b"brain.Event:2";

/// A file of scalars. Several in one folder, as resumed runs leave them, are one curve.
#[derive(Debug)]
pub struct TensorBoard {
    file: File,
    path: PathBuf,
}

impl TensorBoard {
    /// Starts a new file in `folder`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let now = since_1970();
        let name = format!("events.out.tfevents.{:010}.jnana.{}", now.as_secs(), std::process::id());
        let path = folder.join(name);
        let file =
            OpenOptions::new().append(true).create(true).open(&path).map_err(Error::io("create", &path))?;
        let mut board = Self { file, path };
        let mut event = wall_time(now);
        bytes(&mut event, 3, VERSION);
        board.write(&record(&event))?;
        Ok(board)
    }

    /// Adds a point to each of the curves named.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()> {
        self.write(&record(&scalars(since_1970(), step, values)))
    }

    fn write(&mut self, record: &[u8]) -> Result<()> {
        self.file.write_all(record).map_err(Error::io("write", &self.path))
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn scalars(time: Duration, step: u64, values: &[(&str, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut entry = Vec::new();
        bytes(&mut entry, 1, tag.as_bytes());
        key(&mut entry, 2, FOUR_BYTES);
        entry.extend((*value as f32).to_le_bytes());
        bytes(&mut summary, 1, &entry);
    }
    let mut event = wall_time(time);
    key(&mut event, 2, VARINT);
    varint(&mut event, step);
    bytes(&mut event, 5, &summary);
    event
}

fn wall_time(time: Duration) -> Vec<u8> {
    let mut event = Vec::new();
    key(&mut event, 1, EIGHT_BYTES);
    event.extend(time.as_secs_f64().to_le_bytes());
    event
}

/// Protobuf's wire types.
const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const LENGTH: u64 = 2;
const FOUR_BYTES: u64 = 5;

fn key(out: &mut Vec<u8>, field: u64, wire_type: u64) {
    varint(out, field << 3 | wire_type);
}

fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    key(out, field, LENGTH);
    varint(out, content.len() as u64);
    out.extend(content);
}

/// Seven bits a byte, lowest first; the eighth says that more come.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let checksum = |content: &[u8]| masked(crc32c::crc32c(content)).to_le_bytes();
    [length.as_slice(), &checksum(&length), data, &checksum(data)].concat()
}

/// A checksum that may itself be part of what is summed.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_what_tensorflow_writes() {
        // Put together in Python with `struct` and a CRC table.
        let expected =
            "1b000000000000001a0d9e1309000000000000f83f10ac022a0d0a0b0a046c6f7373150000803e9908deed";
        let written = record(&scalars(Duration::from_millis(1500), 300, &[("loss", 0.25)]));
        assert_eq!(hex::encode(written), expected);
    }

    #[test]
    fn a_file_begins_with_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let mut board = TensorBoard::create(folder.path()).unwrap();
        board.scalars(1, &[("loss", 2.0), ("rate", 1e-3)]).unwrap();
        let bytes = std::fs::read(&board.path).unwrap();
        let first = 8 + 4 + 24 + 4;
        // A time, a key, a length and the version.
        assert_eq!(bytes[..8], 24u64.to_le_bytes());
        assert_eq!(bytes[21..36], *b"\x1a\x0dbrain.Event:2");
        assert!(bytes.len() > first + 16);
    }
}
