//! Looks through a ggml file before whisper.cpp does. whisper.cpp believes the lengths it reads, and a C++ exception or an
//! `abort()` over a damaged file would end the whole process; after this check it gets only files that add up.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

pub use crate::ggml::Sizes;
use crate::ggml::{self, Kept};
use crate::mel;

const MAX_TOKEN_BYTES: usize = 1 << 12;
const MAX_NAME_BYTES: usize = 1 << 8;
const MAX_LAYERS: usize = 64;
const MAX_WIDTH: usize = 1 << 13;
const MAX_TOKENS: usize = 1 << 20;
/// whisper.cpp tells the model's kind by this number and knows no other.
const AUDIO_LAYERS: [usize; 5] = [4, 6, 12, 24, 32];
/// Element types by number: elements a block, bytes a block (ggml's `type_traits`).
const TYPES: [(i32, u64, u64); 12] = [
    (0, 1, 4),
    (1, 1, 2),
    (2, 32, 18),
    (3, 32, 20),
    (6, 32, 22),
    (7, 32, 24),
    (8, 32, 34),
    (10, 256, 84),
    (11, 256, 110),
    (12, 256, 144),
    (13, 256, 176),
    (14, 256, 210),
];

/// Why a ggml file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// It could not be read, or ended too early.
    #[error("reading {what} at byte {at}: {source}")]
    Read {
        /// What was read.
        what: &'static str,
        /// Where, in bytes from the start.
        at: u64,
        /// The cause.
        source: std::io::Error,
    },
    /// It is something else, or damaged.
    #[error("{what} at byte {at}: expected {expected}, found {found}")]
    Content {
        /// What was read.
        what: &'static str,
        /// Where, in bytes from the start.
        at: u64,
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
    },
}

/// Checks that a file is a whole Whisper model for whisper.cpp; gives its sizes.
///
/// # Errors
/// [`CheckError`] with the place and the contradiction.
pub fn check(path: &Path) -> Result<Sizes, CheckError> {
    let opened = File::open(path).and_then(|file| file.metadata().map(|data| (file, data.len())));
    let (file, length) = opened.map_err(|source| CheckError::Read { what: "the file", at: 0, source })?;
    let mut walk = Walk { reader: BufReader::new(file), at: 0, length };
    let sizes = walk.header()?;
    walk.filters(&sizes)?;
    walk.vocabulary(&sizes)?;
    walk.tensors(&sizes)?;
    Ok(sizes)
}

struct Walk {
    reader: BufReader<File>,
    at: u64,
    length: u64,
}

impl Walk {
    fn header(&mut self) -> Result<Sizes, CheckError> {
        let magic = self.i32("the magic number")?;
        if magic.cast_unsigned() != ggml::MAGIC {
            return Err(self.content(
                "the magic number",
                format!("{:#x}", ggml::MAGIC),
                format!("{magic:#x}"),
            ));
        }
        let vocab = self.count("the vocabulary's size", MAX_TOKENS)?;
        let audio_ctx = self.count("the encoder's positions", 1500)?;
        let width = self.count("the encoder's width", MAX_WIDTH)?;
        let audio_heads = self.count("the encoder's heads", width)?;
        let audio_layers = self.count("the encoder's blocks", MAX_LAYERS)?;
        let text_ctx = self.count("the decoder's positions", 1 << 12)?;
        let text_width = self.count("the decoder's width", MAX_WIDTH)?;
        let text_heads = self.count("the decoder's heads", width)?;
        let text_layers = self.count("the decoder's blocks", MAX_LAYERS)?;
        let mels = self.count("the mel bands", 128)?;
        self.i32("the file type")?;
        let wrong = |what, expected: &str, found| Err(self.content(what, expected.to_owned(), found));
        if vocab < 51_864 {
            return wrong("the vocabulary's size", "at least 51864", vocab.to_string());
        }
        if !AUDIO_LAYERS.contains(&audio_layers) {
            return wrong("the encoder's blocks", "4, 6, 12, 24 or 32", audio_layers.to_string());
        }
        if text_width != width || width % audio_heads != 0 || width % text_heads != 0 {
            let found = format!("{width} and {text_width} in {audio_heads} and {text_heads} heads");
            return wrong("the widths", "equal ones that the heads divide", found);
        }
        Ok(Sizes {
            vocab,
            audio_ctx,
            width,
            audio_heads,
            audio_layers,
            text_ctx,
            text_heads,
            text_layers,
            mels,
        })
    }

    fn filters(&mut self, sizes: &Sizes) -> Result<(), CheckError> {
        let shape = (self.i32("the filters' bands")?, self.i32("the filters' bins")?);
        let expected = (i32::try_from(sizes.mels), i32::try_from(mel::BINS));
        if (Ok(shape.0), Ok(shape.1)) != expected {
            let text = format!("({}, {})", sizes.mels, mel::BINS);
            return Err(self.content("the filters' shape", text, format!("{shape:?}")));
        }
        self.skip("the mel filters", (sizes.mels * mel::BINS * 4) as u64)
    }

    fn vocabulary(&mut self, sizes: &Sizes) -> Result<(), CheckError> {
        for _ in 0..self.count("the number of tokens", sizes.vocab)? {
            let length = self.limited("a token's length", 0, MAX_TOKEN_BYTES)?;
            self.skip("a token", length as u64)?;
        }
        Ok(())
    }

    fn tensors(&mut self, sizes: &Sizes) -> Result<(), CheckError> {
        let mut expected: HashMap<_, _> =
            ggml::layout(sizes).into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        while self.at < self.length {
            let rank = self.limited("a tensor's rank", 1, 3)?;
            let name_length = self.limited("the length of a tensor's name", 1, MAX_NAME_BYTES)?;
            let kind = self.i32("a tensor's type")?;
            let mut dims = (0..rank)
                .map(|_| self.limited("a tensor's shape", 1, MAX_TOKENS))
                .collect::<Result<Vec<_>, _>>()?;
            dims.reverse();
            let mut name = vec![0; name_length];
            self.fill("a tensor's name", &mut name)?;
            let name = String::from_utf8_lossy(&name).into_owned();
            let Some(tensor) = expected.remove(&name) else {
                return Err(self.content("a tensor's name", "a new name of this model".to_owned(), name));
            };
            if dims != tensor.dims {
                return Err(self.content(
                    "a tensor's shape",
                    format!("{:?}", tensor.dims),
                    format!("{dims:?}"),
                ));
            }
            let bytes = self.tensor_bytes(kind, tensor.kept, dims.iter().map(|&dim| dim as u64).product())?;
            self.skip("a tensor's data", bytes)?;
        }
        match expected.len() {
            0 => Ok(()),
            missing => Err(self.content("the end", format!("{missing} more tensors"), "nothing".to_owned())),
        }
    }

    fn tensor_bytes(&self, kind: i32, kept: Kept, elements: u64) -> Result<u64, CheckError> {
        let known = TYPES.iter().find(|(id, ..)| *id == kind && (kept == Kept::Wide || kind == 0));
        match known {
            Some((_, block, bytes)) if elements.is_multiple_of(*block) => Ok(elements / block * bytes),
            _ => {
                Err(self.content("a tensor's type", format!("one that can hold {kept:?}"), kind.to_string()))
            }
        }
    }

    fn count(&mut self, what: &'static str, most: usize) -> Result<usize, CheckError> {
        self.limited(what, 1, most)
    }

    fn limited(&mut self, what: &'static str, least: usize, most: usize) -> Result<usize, CheckError> {
        let number = self.i32(what)?;
        let fits = usize::try_from(number).ok().filter(|n| (least..=most).contains(n));
        fits.ok_or_else(|| self.content(what, format!("{least} to {most}"), number.to_string()))
    }

    fn i32(&mut self, what: &'static str) -> Result<i32, CheckError> {
        let mut bytes = [0; 4];
        self.fill(what, &mut bytes)?;
        Ok(i32::from_le_bytes(bytes))
    }

    fn fill(&mut self, what: &'static str, bytes: &mut [u8]) -> Result<(), CheckError> {
        self.reader.read_exact(bytes).map_err(|source| CheckError::Read { what, at: self.at, source })?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn skip(&mut self, what: &'static str, bytes: u64) -> Result<(), CheckError> {
        let left = self.length.saturating_sub(self.at);
        if bytes > left {
            return Err(self.content(what, format!("{bytes} bytes"), format!("{left}: the file is cut off")));
        }
        self.at += bytes;
        let moved = match i64::try_from(bytes) {
            Ok(bytes) => self.reader.seek_relative(bytes),
            Err(_) => self.reader.seek(SeekFrom::Start(self.at)).map(|_| ()),
        };
        moved.map_err(|source| CheckError::Read { what, at: self.at, source })
    }

    fn content(&self, what: &'static str, expected: String, found: String) -> CheckError {
        CheckError::Content { what, at: self.at, expected, found }
    }
}
