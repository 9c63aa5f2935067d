//! Safetensors files, written tensor by tensor so that memory never holds more than one.
//!
//! Format: <https://github.com/huggingface/safetensors#format>: the header's length (u64), the header (JSON), the data.

use std::path::Path;

use candle_core::{DType, Tensor};
use serde_json::{Map, Value as Json, json};

use crate::whole_file::WholeFile;
use crate::{Error, Result};

/// What a file will hold: name, type and shape of each tensor, in the order of writing.
pub type Entry = (String, DType, Vec<usize>);

/// The header is padded to this, so that the data begins aligned.
const ALIGNMENT: usize = 8;

/// An unfinished safetensors file; it gets its name when it is whole.
pub struct SafetensorsWriter {
    out: WholeFile,
    entries: std::vec::IntoIter<Entry>,
}

impl SafetensorsWriter {
    /// Creates the file and writes its header.
    ///
    /// # Errors
    /// When a type cannot be stored or the file cannot be written.
    pub fn create(path: &Path, entries: Vec<Entry>) -> Result<Self> {
        let header = header(path, &entries)?;
        let mut out = WholeFile::create(path)?;
        out.write(&(header.len() as u64).to_le_bytes())?;
        out.write(&header)?;
        Ok(Self { out, entries: entries.into_iter() })
    }

    /// Writes the next tensor, which has to be of the announced shape; it is cast to the announced type.
    ///
    /// # Errors
    /// When it is another one, or the file cannot be written.
    pub fn write(&mut self, tensor: &Tensor) -> Result<()> {
        let Some((name, dtype, shape)) = self.entries.next() else {
            let reason = "more tensors are written than were announced".to_owned();
            return Err(Error::Corrupt { path: self.out.path().to_owned(), reason });
        };
        if tensor.dims() != shape {
            let got = tensor.dims().to_vec();
            let path = self.out.path().to_owned();
            return Err(Error::Shape { path, tensor: name, expected: shape, got });
        }
        let flat =
            tensor.flatten_all().and_then(|flat| flat.to_dtype(dtype)).map_err(Error::compute(&name))?;
        match dtype {
            DType::F16 => put(&mut self.out, &flat.to_vec1::<half::f16>().map_err(Error::compute(&name))?),
            DType::BF16 => put(&mut self.out, &flat.to_vec1::<half::bf16>().map_err(Error::compute(&name))?),
            DType::U8 => put(&mut self.out, &flat.to_vec1::<u8>().map_err(Error::compute(&name))?),
            _ => put(&mut self.out, &flat.to_vec1::<f32>().map_err(Error::compute(&name))?),
        }
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

fn put<T: bytemuck::NoUninit>(out: &mut WholeFile, numbers: &[T]) -> Result<()> {
    out.write(bytemuck::cast_slice(numbers))
}

fn header(path: &Path, entries: &[Entry]) -> Result<Vec<u8>> {
    let mut fields = Map::new();
    fields.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut offset = 0;
    for (name, dtype, shape) in entries {
        let kind = match dtype {
            DType::F32 => "F32",
            DType::F16 => "F16",
            DType::BF16 => "BF16",
            DType::U8 => "U8",
            other => {
                return Err(Error::NumberType {
                    path: path.to_owned(),
                    tensor: name.clone(),
                    expected: "f32, f16, bf16 or u8",
                    got: format!("{other:?}"),
                });
            }
        };
        let end = offset + shape.iter().product::<usize>() * dtype.size_in_bytes();
        fields.insert(name.clone(), json!({ "dtype": kind, "shape": shape, "data_offsets": [offset, end] }));
        offset = end;
    }
    let mut text = Json::Object(fields).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(ALIGNMENT), b' ');
    Ok(text)
}
