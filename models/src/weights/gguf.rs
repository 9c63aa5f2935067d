//! GGUF files of the architectures `llama` and `phi2`, memory-mapped.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Reading undoes what llama.cpp's converter does to
//! a checkpoint: the order of rows in query and key projections (llama) and the fusing of the three projections (phi2).
//! Both move whole rows, and a row is a whole number of blocks, so quantised weights stay bit for bit what they are.

use std::borrow::Cow;
use std::io::Cursor;
use std::path::Path;

use candle_core::quantized::gguf_file::{Content, TensorInfo, Value};
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};

use super::gguf_metadata::Metadata;
use super::gguf_names::{ARCHITECTURES, Heads, Place, Rows, checkpoint_names, place};
use super::mmap::MappedFile;
use super::source::{Stored, TensorSource};
use crate::{Error, Result};

/// Blocks are read in place and the widest number in one has four bytes.
const ALIGNMENT: usize = 4;

/// An open GGUF file.
pub struct GgufFile {
    bytes: MappedFile,
    content: Content,
    architecture: String,
    heads: Heads,
}

impl GgufFile {
    /// Opens `path` and reads its header and metadata.
    ///
    /// # Errors
    /// When the file is damaged or of an architecture that is not known here.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = MappedFile::open(path)?;
        let content = Content::read(&mut Cursor::new(&bytes[..]))
            .map_err(|error| Error::Corrupt { path: path.to_owned(), reason: error.to_string() })?;
        let heads = Heads { query: 1, kv: 1, dim: 2 };
        let mut file = Self { bytes, content, architecture: String::new(), heads };
        file.architecture = file.string("general.architecture")?;
        if !matches!(file.architecture.as_str(), "llama" | "phi2") {
            return Err(file.field("general.architecture", ARCHITECTURES, &file.architecture));
        }
        if let Some(parts) = file.optional_usize("split.count")?.filter(|parts| *parts > 1) {
            return Err(file.field("split.count", "1 (merge the parts first)", &parts.to_string()));
        }
        file.heads = file.read_heads()?;
        Ok(file)
    }

    fn read_heads(&self) -> Result<Heads> {
        let query = self.usize_of("attention.head_count")?;
        let kv = self.optional_usize_of("attention.head_count_kv")?.unwrap_or(query);
        let width = self.usize_of("embedding_length")?;
        let dim = match self.optional_usize_of("attention.key_length")? {
            Some(dim) => dim,
            None => width.checked_div(query).unwrap_or(0),
        };
        if kv == 0 || query % kv.max(1) != 0 || dim == 0 || dim % 2 != 0 {
            let got = format!("{query} query heads, {kv} key heads of width {dim}");
            return Err(self.field(
                "attention.head_count",
                "query heads a multiple of key heads, even width",
                &got,
            ));
        }
        Ok(Heads { query, kv, dim })
    }

    /// `general.architecture`: `llama` or `phi2`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Width of one attention head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.heads.dim
    }

    /// A metadata value by its full key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.content.metadata.get(key)
    }

    /// The metadata whose keys begin with `prefix`, sorted by key.
    #[must_use]
    pub fn entries(&self, prefix: &str) -> Metadata {
        let all = self.content.metadata.iter().filter(|(key, _)| key.starts_with(prefix));
        let mut entries: Metadata = all.map(|(key, value)| (key.clone(), value.clone())).collect();
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        entries
    }

    /// A metadata string.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn string(&self, key: &str) -> Result<String> {
        match self.value(key) {
            Some(Value::String(text)) => Ok(text.clone()),
            other => Err(self.field(key, "a string", &describe(other))),
        }
    }

    /// A whole number.
    ///
    /// # Errors
    /// When it is there and something else.
    pub fn optional_usize(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let number = match *value {
            Value::U8(v) => Some(u64::from(v)),
            Value::U16(v) => Some(u64::from(v)),
            Value::U32(v) => Some(u64::from(v)),
            Value::U64(v) => Some(v),
            Value::I8(v) => u64::try_from(v).ok(),
            Value::I16(v) => u64::try_from(v).ok(),
            Value::I32(v) => u64::try_from(v).ok(),
            Value::I64(v) => u64::try_from(v).ok(),
            _ => None,
        };
        let number = number.and_then(|n| usize::try_from(n).ok());
        number.map(Some).ok_or_else(|| self.field(key, "a whole number", &describe(Some(value))))
    }

    /// A whole number under the architecture's own prefix.
    ///
    /// # Errors
    /// When it is there and something else.
    pub fn optional_usize_of(&self, key: &str) -> Result<Option<usize>> {
        self.optional_usize(&format!("{}.{key}", self.architecture))
    }

    /// As [`optional_usize_of`](Self::optional_usize_of), and it has to be there.
    ///
    /// # Errors
    /// When it is missing or something else.
    pub fn usize_of(&self, key: &str) -> Result<usize> {
        let key = format!("{}.{key}", self.architecture);
        self.optional_usize(&key)?.ok_or_else(|| self.field(&key, "a whole number", "nothing"))
    }

    /// A number with a fraction under the architecture's own prefix.
    ///
    /// # Errors
    /// When it is there and something else.
    pub fn optional_f64_of(&self, key: &str) -> Result<Option<f64>> {
        let key = format!("{}.{key}", self.architecture);
        match self.value(&key) {
            None => Ok(None),
            Some(Value::F32(v)) => Ok(Some(f64::from(*v))),
            Some(Value::F64(v)) => Ok(Some(*v)),
            other => Err(self.field(&key, "a number", &describe(other))),
        }
    }

    /// An error about the metadata entry `key`.
    pub(crate) fn field(&self, key: &str, expected: &str, got: &str) -> Error {
        Error::Field {
            path: self.bytes.path().to_owned(),
            key: key.to_owned(),
            expected: expected.to_owned(),
            got: got.to_owned(),
        }
    }

    fn corrupt(&self, reason: String) -> Error {
        Error::Corrupt { path: self.bytes.path().to_owned(), reason }
    }

    fn locate(&self, name: &str) -> Option<(Place, &TensorInfo)> {
        let infos = &self.content.tensor_infos;
        let place = place(&self.architecture, name, self.heads, |theirs| infos.contains_key(theirs))?;
        let info = infos.get(&place.name)?;
        Some((place, info))
    }

    /// The whole tensor's bytes in the file and the bytes of one row (a vector's element).
    fn bytes_of(&self, name: &str, info: &TensorInfo) -> Result<(&[u8], usize)> {
        let dims = info.shape.dims();
        let (block, size) = (info.ggml_dtype.block_size(), info.ggml_dtype.type_size());
        let row = if dims.len() > 1 {
            dims[1..].iter().try_fold(1usize, |n, d| n.checked_mul(*d))
        } else {
            Some(1)
        };
        let row = row.ok_or_else(|| self.corrupt(format!("{name} has dimensions {dims:?}")))?;
        if row == 0 || !row.is_multiple_of(block) {
            return Err(self.corrupt(format!("{name}: rows of {row} numbers in blocks of {block}")));
        }
        let row_bytes = row / block * size;
        let start = usize::try_from(self.content.tensor_data_offset.saturating_add(info.offset))
            .unwrap_or(usize::MAX);
        let end = dims.first().unwrap_or(&1).checked_mul(row_bytes).and_then(|n| n.checked_add(start));
        let bytes = end.and_then(|end| self.bytes.get(start..end)).ok_or_else(|| {
            self.corrupt(format!("{name} ends behind the file's {} bytes", self.bytes.len()))
        })?;
        if start % ALIGNMENT != 0 {
            return Err(
                self.corrupt(format!("{name} begins at {start}, which is no multiple of {ALIGNMENT}"))
            );
        }
        Ok((bytes, row_bytes))
    }
}

impl TensorSource for GgufFile {
    fn path(&self) -> &Path {
        self.bytes.path()
    }

    fn names(&self) -> Vec<String> {
        let theirs = self.content.tensor_infos.keys();
        let mut names: Vec<_> = theirs.flat_map(|name| checkpoint_names(&self.architecture, name)).collect();
        names.sort_unstable();
        names
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let (place, info) = self.locate(name)?;
        let mut dims = info.shape.dims().to_vec();
        if let Some(rows) = dims.first_mut() {
            *rows = place.rows.count(*rows);
        }
        Some(dims)
    }

    fn read(&self, name: &str, device: &Device) -> Result<Stored> {
        let missing = || Error::MissingTensor { path: self.path().to_owned(), tensor: name.to_owned() };
        let (place, info) = self.locate(name).ok_or_else(missing)?;
        let dims = self.shape(name).ok_or_else(missing)?;
        let (stored, row_bytes) = self.bytes_of(&place.name, info)?;
        let stored_rows = info.shape.dims().first().copied().unwrap_or(1);
        let fits = match place.rows {
            Rows::Same => true,
            Rows::Slice { start, len } => start + len <= stored_rows,
            Rows::Interleaved { heads } => stored_rows.is_multiple_of(2 * heads),
        };
        if !fits {
            let reason = format!("{} has {stored_rows} rows, which do not fit {:?}", place.name, self.heads);
            return Err(self.corrupt(reason));
        }
        let rearranged = rearrange(stored, row_bytes, dims.first().copied().unwrap_or(1), place.rows);
        let bytes = rearranged.as_deref().map_or(stored, bytemuck::cast_slice);
        let bytes = &bytes[..dims.first().copied().unwrap_or(1) * row_bytes];
        let operation = format!("read {} of {}", place.name, self.path().display());
        let loaded = load(bytes, info.ggml_dtype, &dims, device).map_err(Error::compute(operation))?;
        self.bytes.release(stored);
        Ok(loaded)
    }
}

/// The rows in the checkpoint's order, in an aligned buffer; `None` when they already are in it.
fn rearrange(bytes: &[u8], row_bytes: usize, rows: usize, order: Rows) -> Option<Vec<u32>> {
    if order == Rows::Same {
        return None;
    }
    let mut buffer = vec![0u32; (rows * row_bytes).div_ceil(size_of::<u32>())];
    let target: &mut [u8] = bytemuck::cast_slice_mut(&mut buffer);
    for (row, out) in target.chunks_exact_mut(row_bytes).take(rows).enumerate() {
        let from = order.source(row, rows) * row_bytes;
        out.copy_from_slice(&bytes[from..from + row_bytes]);
    }
    Some(buffer)
}

fn load(bytes: &[u8], dtype: GgmlDType, dims: &[usize], device: &Device) -> candle_core::Result<Stored> {
    let dense = |dtype| Tensor::from_raw_buffer(bytes, dtype, dims, device).map(Stored::Dense);
    match dtype {
        GgmlDType::F32 => dense(DType::F32),
        GgmlDType::F16 => dense(DType::F16),
        GgmlDType::BF16 => dense(DType::BF16),
        _ => {
            let storage = QStorage::from_data(Cow::Borrowed(bytes), device, dtype)?;
            QTensor::new(storage, dims).map(Stored::Quantized)
        }
    }
}

fn describe(value: Option<&Value>) -> String {
    match value {
        None => "nothing".into(),
        Some(Value::Array(items)) => format!("a list of {}", items.len()),
        Some(value) => format!("{value:?}"),
    }
}
