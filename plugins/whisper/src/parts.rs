//! Several files read as one: models travel in parts where a single file would be too big.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

/// Files one after the other, as one stream with one position.
#[derive(Debug)]
pub(crate) struct Parts {
    /// Each part with the position at which it starts.
    parts: Vec<(u64, File)>,
    length: u64,
    at: u64,
}

impl Parts {
    /// Opens the files in order.
    pub(crate) fn open(paths: &[PathBuf]) -> io::Result<Self> {
        let mut parts = Vec::with_capacity(paths.len());
        let mut length = 0;
        for path in paths {
            let file = File::open(path)?;
            let start = length;
            length += file.metadata()?.len();
            parts.push((start, file));
        }
        Ok(Self { parts, length, at: 0 })
    }
}

impl Read for Parts {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let index = self.parts.partition_point(|(start, _)| *start <= self.at);
        let end = self.parts.get(index).map_or(self.length, |(start, _)| *start);
        let left = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let Some((start, file)) = index.checked_sub(1).and_then(|i| self.parts.get_mut(i)) else {
            return Ok(0);
        };
        if left == 0 || out.is_empty() {
            return Ok(0);
        }
        file.seek(SeekFrom::Start(self.at - *start))?;
        let wanted = out.len().min(left);
        let read = file.read(&mut out[..wanted])?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Parts {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = target
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a seek to before the start"))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_read_as_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> = ["ab", "", "cde"]
            .iter()
            .enumerate()
            .map(|(i, text)| {
                let path = folder.path().join(i.to_string());
                std::fs::write(&path, text).unwrap();
                path
            })
            .collect();
        let mut parts = Parts::open(&paths).unwrap();
        let mut all = String::new();
        parts.read_to_string(&mut all).unwrap();
        assert_eq!(all, "abcde");
        let mut two = [0; 2];
        parts.seek(SeekFrom::Start(1)).unwrap();
        parts.read_exact(&mut two).unwrap();
        assert_eq!(&two, b"bc");
        assert_eq!(parts.seek(SeekFrom::End(-1)).unwrap(), 4);
        assert!(parts.read_exact(&mut two).is_err());
    }
}
