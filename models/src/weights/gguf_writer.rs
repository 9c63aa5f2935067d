//! GGUF files, written tensor by tensor so that memory never holds more than one.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, version 3.

use std::path::Path;

use candle_core::quantized::gguf_file::Value;
use candle_core::quantized::{GgmlDType, QTensor};

use crate::whole_file::WholeFile;
use crate::{Error, Result};

/// Name, block format and shape (outermost dimension first) of each tensor, in the order of writing.
pub type Entry = (String, GgmlDType, Vec<usize>);

/// `GGUF_TYPE_STRING` of gguf.h.
const STRING: u32 = 8;

/// Tensors begin at multiples of this.
const ALIGNMENT: usize = 32;

/// An unfinished GGUF file; it gets its name when it is whole.
pub struct GgufWriter {
    out: WholeFile,
    entries: std::vec::IntoIter<Entry>,
}

impl GgufWriter {
    /// Creates the file and writes metadata and the list of tensors.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path, metadata: &[(String, Value)], entries: Vec<Entry>) -> Result<Self> {
        let mut out = WholeFile::create(path)?;
        out.write(&head(metadata, &entries))?;
        Ok(Self { out, entries: entries.into_iter() })
    }

    /// Writes the next tensor, which has to be as announced.
    ///
    /// # Errors
    /// When it is another one, or the file cannot be written.
    pub fn write(&mut self, tensor: &QTensor) -> Result<()> {
        let Some((name, blocks, shape)) = self.entries.next() else {
            let reason = "more tensors are written than were announced".to_owned();
            return Err(Error::Corrupt { path: self.out.path().to_owned(), reason });
        };
        if tensor.shape().dims() != shape || tensor.dtype() != blocks {
            let got = tensor.shape().dims().to_vec();
            let path = self.out.path().to_owned();
            return Err(Error::Shape { path, tensor: name, expected: shape, got });
        }
        let data = tensor.data().map_err(Error::compute(name))?;
        let padding = data.len().next_multiple_of(ALIGNMENT) - data.len();
        self.out.write(&data)?;
        self.out.write(&[0; ALIGNMENT][..padding])
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// When tensors are missing, or the file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        if let Some((tensor, ..)) = self.entries.next() {
            return Err(Error::MissingTensor { path: self.out.path().to_owned(), tensor });
        }
        self.out.finish()
    }
}

fn head(metadata: &[(String, Value)], entries: &[Entry]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((entries.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, item) in metadata {
        text(&mut out, key);
        out.extend(value_type(item).to_le_bytes());
        value(&mut out, item);
    }
    let mut offset = 0;
    for (name, blocks, shape) in entries {
        text(&mut out, name);
        out.extend((shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|dim| out.extend((*dim as u64).to_le_bytes()));
        out.extend(type_id(*blocks).to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
        let bytes = shape.iter().product::<usize>() / blocks.block_size() * blocks.type_size();
        offset += bytes.next_multiple_of(ALIGNMENT);
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(v) => out.extend(v.to_le_bytes()),
        Value::I8(v) => out.extend(v.to_le_bytes()),
        Value::U16(v) => out.extend(v.to_le_bytes()),
        Value::I16(v) => out.extend(v.to_le_bytes()),
        Value::U32(v) => out.extend(v.to_le_bytes()),
        Value::I32(v) => out.extend(v.to_le_bytes()),
        Value::F32(v) => out.extend(v.to_le_bytes()),
        Value::U64(v) => out.extend(v.to_le_bytes()),
        Value::I64(v) => out.extend(v.to_le_bytes()),
        Value::F64(v) => out.extend(v.to_le_bytes()),
        Value::Bool(v) => out.push((*v).into()),
        Value::String(v) => text(out, v),
        Value::Array(items) => list(out, items),
    }
}

/// Items have one type between them. An empty list is one of strings: llama.cpp asks that of a tokenizer without merges.
fn list(out: &mut Vec<u8>, items: &[Value]) {
    out.extend(items.first().map_or(STRING, value_type).to_le_bytes());
    out.extend((items.len() as u64).to_le_bytes());
    items.iter().for_each(|item| value(out, item));
}

/// `enum gguf_type` of gguf.h.
fn value_type(value: &Value) -> u32 {
    match value {
        Value::U8(_) => 0,
        Value::I8(_) => 1,
        Value::U16(_) => 2,
        Value::I16(_) => 3,
        Value::U32(_) => 4,
        Value::I32(_) => 5,
        Value::F32(_) => 6,
        Value::Bool(_) => 7,
        Value::String(_) => STRING,
        Value::Array(_) => 9,
        Value::U64(_) => 10,
        Value::I64(_) => 11,
        Value::F64(_) => 12,
    }
}

/// `enum ggml_type` of ggml.h.
fn type_id(blocks: GgmlDType) -> u32 {
    match blocks {
        GgmlDType::F32 => 0,
        GgmlDType::F16 => 1,
        GgmlDType::Q4_0 => 2,
        GgmlDType::Q4_1 => 3,
        GgmlDType::Q5_0 => 6,
        GgmlDType::Q5_1 => 7,
        GgmlDType::Q8_0 => 8,
        GgmlDType::Q8_1 => 9,
        GgmlDType::Q2K => 10,
        GgmlDType::Q3K => 11,
        GgmlDType::Q4K => 12,
        GgmlDType::Q5K => 13,
        GgmlDType::Q6K => 14,
        GgmlDType::Q8K => 15,
        GgmlDType::BF16 => 30,
    }
}
