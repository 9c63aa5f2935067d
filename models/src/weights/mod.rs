//! Named tensors from Hugging Face folders and GGUF files, in the type the network wants them.

mod bitsandbytes;
mod gguf;
mod gguf_metadata;
mod gguf_names;
mod gguf_writer;
mod mmap;
mod pack;
mod quantize;
mod safetensors;
mod source;
mod writer;

use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Tensor};
use jnana_kernels::PackedMatrix;

pub(crate) use self::bitsandbytes::{entries as nf4_entries, parts as nf4_parts};
pub use self::gguf::GgufFile;
pub use self::gguf_metadata::Metadata;
pub(crate) use self::gguf_metadata::{architecture, metadata};
pub(crate) use self::gguf_names::{Heads, Place, new_place};
pub use self::gguf_writer::GgufWriter;
pub use self::mmap::MappedFile;
pub(crate) use self::quantize::dequantize_rows;
pub use self::quantize::{Quantization, quantize_rows};
pub use self::safetensors::SafetensorsFolder;
pub use self::source::{InMemory, Stored, TensorSource};
pub use self::writer::{Entry, SafetensorsWriter};

use crate::adapter::Adapter;
use crate::embedding::Embedding;
use crate::kept::{Kept, Unsaved};
use crate::linear::{Linear, Weight};
use crate::ops::{LayerNorm, Mode, RmsNorm};
use crate::{Error, Result};

/// How tensors are turned into weights.
#[derive(Debug, Clone)]
pub struct WeightOptions {
    /// Where they go.
    pub device: Device,
    /// Type of dense matrices.
    pub dtype: DType,
    /// Type of activations, and so of norms and biases.
    pub activations: DType,
    /// Quantises dense matrices.
    pub quantize: Option<Quantization>,
    /// What they are for.
    pub mode: Mode,
}

#[derive(Debug, Default)]
struct Tally {
    parameters: AtomicU64,
    bytes: AtomicU64,
}

/// Tensors below a dotted prefix of a [`TensorSource`].
#[derive(Clone)]
pub struct Weights {
    source: Arc<dyn TensorSource>,
    options: Arc<WeightOptions>,
    adapter: Option<Arc<Adapter>>,
    kept: Option<Arc<Kept>>,
    tally: Arc<Tally>,
    prefix: String,
}

impl Weights {
    /// All tensors of `source`.
    #[must_use]
    pub fn new(source: Arc<dyn TensorSource>, options: WeightOptions) -> Self {
        let (options, tally) = (Arc::new(options), Arc::default());
        Self { source, options, adapter: None, kept: None, tally, prefix: String::new() }
    }

    /// The same with an adapter: linears that it is for get its update.
    #[must_use]
    pub fn with_adapter(self, adapter: Option<Arc<Adapter>>) -> Self {
        Self { adapter, ..self }
    }

    /// The same with what is kept of them, for serving on the CPU.
    #[must_use]
    pub(crate) fn with_kept(self, kept: Option<Kept>) -> Self {
        Self { kept: kept.map(Arc::new), ..self }
    }

    /// What was packed and is not kept yet.
    pub(crate) fn unsaved(&self) -> Option<Unsaved> {
        self.kept.as_ref().and_then(|kept| kept.unsaved())
    }

    /// The adapter.
    #[must_use]
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_deref()
    }

    /// Tensors in memory, as they are, for `mode`.
    #[must_use]
    pub fn from_tensors(tensors: HashMap<String, Tensor>, dtype: DType, device: Device, mode: Mode) -> Self {
        let options = WeightOptions { device, dtype, activations: dtype, quantize: None, mode };
        Self::new(Arc::new(InMemory::new(tensors)), options)
    }

    /// The tensors whose names begin with `part` and a dot.
    #[must_use]
    pub fn pp(&self, part: impl Display) -> Self {
        Self { prefix: format!("{}{part}.", self.prefix), ..self.clone() }
    }

    /// Where weights go.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.options.device
    }

    /// File or folder, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// Type of activations.
    #[must_use]
    pub fn activations(&self) -> DType {
        self.options.activations
    }

    /// What the weights are for.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.options.mode
    }

    /// Numbers loaded so far (tied tensors once).
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.tally.parameters.load(Ordering::Relaxed)
    }

    /// Bytes that the loaded weights take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.tally.bytes.load(Ordering::Relaxed)
    }

    /// True when there is a tensor `name`.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.source.shape(&self.full(name)).is_some()
    }

    /// Shape of `name` in the file.
    ///
    /// # Errors
    /// When there is no such tensor.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>> {
        let tensor = self.full(name);
        let shape = self.source.shape(&tensor);
        shape.ok_or_else(|| Error::MissingTensor { path: self.source.path().to_owned(), tensor })
    }

    /// A tensor (norm or bias) in the activations' type.
    ///
    /// # Errors
    /// When it is missing or not of `shape`.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.first_rows_of(name, shape, shape.first().copied().unwrap_or(1))
    }

    /// The first `keep` rows of a tensor of `shape` in the activations' type.
    ///
    /// # Errors
    /// When it is missing or not of `shape`.
    pub fn first_rows_of(&self, name: &str, shape: &[usize], keep: usize) -> Result<Tensor> {
        let dtype = self.options.activations;
        let tensor = self.checked(name, shape)?.into_dense().and_then(|tensor| tensor.to_dtype(dtype));
        let kept =
            tensor.and_then(|tensor| first_rows(&tensor, keep)).map_err(Error::compute(self.full(name)))?;
        self.count(kept.elem_count(), kept.elem_count() * dtype.size_in_bytes());
        Ok(kept)
    }

    /// A layer norm from `weight` and `bias` (`[width]`).
    ///
    /// # Errors
    /// When one is missing or of another shape.
    pub fn layer_norm(&self, width: usize, epsilon: f64) -> Result<LayerNorm> {
        Ok(LayerNorm {
            weight: self.tensor("weight", &[width])?,
            bias: self.tensor("bias", &[width])?,
            epsilon: epsilon as f32,
            mode: self.options.mode,
        })
    }

    /// A root-mean-square norm from `weight` (`[width]`).
    ///
    /// # Errors
    /// When it is missing or of another shape.
    pub fn rms_norm(&self, width: usize, epsilon: f64) -> Result<RmsNorm> {
        Ok(RmsNorm {
            weight: self.tensor("weight", &[width])?,
            epsilon: epsilon as f32,
            mode: self.options.mode,
        })
    }

    /// A linear layer from `weight` (`[outputs, inputs]`) and, if `bias`, `bias` (`[outputs]`).
    ///
    /// # Errors
    /// When one is missing or of another shape.
    pub fn linear(&self, inputs: usize, outputs: usize, bias: bool) -> Result<Linear> {
        let weight = self.matrix("weight", (outputs, inputs), outputs, self.options.quantize)?;
        let bias = bias.then(|| self.tensor("bias", &[outputs])).transpose()?;
        let (module, mode) = (self.prefix.trim_end_matches('.'), self.options.mode);
        let lora = self.adapter.as_ref().and_then(|adapter| adapter.lora(module, mode));
        Linear::new(weight, bias, mode).with_lora(lora).map_err(Error::compute(module))
    }

    /// A head over the first `keep` of `rows` words.
    ///
    /// # Errors
    /// When a tensor is missing or of another shape.
    pub fn head(&self, inputs: usize, rows: usize, keep: usize, bias: bool) -> Result<Linear> {
        let quantize = self.options.quantize.and_then(Quantization::for_head);
        let weight = self.matrix("weight", (rows, inputs), keep, quantize)?;
        let bias = bias.then(|| self.first_rows_of("bias", &[rows], keep)).transpose()?;
        Ok(Linear::new(weight, bias, self.options.mode))
    }

    /// The first `keep` of `rows` rows of the embedding table `weight`.
    ///
    /// A quantised table stays quantised, a dense one keeps its file's type on the CPU: a step touches few rows of it.
    /// With `tied` it is also the head's matrix and follows the rules of one.
    ///
    /// # Errors
    /// When it is missing or of another shape.
    pub fn embedding(&self, rows: usize, width: usize, keep: usize, tied: bool) -> Result<Embedding> {
        let lookup_only = !tied && self.options.device.is_cpu();
        let table = if lookup_only {
            let stored = self.checked("weight", &[rows, width])?;
            self.keep_rows("weight", stored, keep)?
        } else {
            let quantize = self.options.quantize.and_then(Quantization::for_head);
            self.matrix("weight", (rows, width), keep, quantize)?
        };
        Ok(Embedding::new(table, self.options.activations))
    }

    fn matrix(
        &self,
        name: &str,
        (rows, columns): (usize, usize),
        keep: usize,
        quantize: Option<Quantization>,
    ) -> Result<Weight> {
        self.check_shape(name, &[rows, columns])?;
        if let Some(kept) = self.kept.as_ref().and_then(|kept| kept.find(&self.full(name), (keep, columns))) {
            return Ok(self.counted(Weight::Packed(kept)));
        }
        let (device, dtype) = (&self.options.device, self.options.dtype);
        let stored = match (self.source.read(&self.full(name), device)?, quantize) {
            (Stored::Dense(tensor), Some(quantization)) => quantization
                .store(tensor, device)
                .map_err(Error::compute(format!("quantise {}", self.full(name))))?,
            (stored, _) => stored,
        };
        let stored = match stored {
            Stored::Dense(tensor) => {
                Stored::Dense(tensor.to_dtype(dtype).map_err(Error::compute(self.full(name)))?)
            }
            quantized => quantized,
        };
        let packed = match &stored {
            Stored::Quantized(blocks) if device.is_cpu() && self.options.mode == Mode::Inference => {
                pack::pack(blocks, keep).map_err(Error::compute(self.full(name)))?
            }
            _ => None,
        };
        match packed {
            Some(matrix) => Ok(self.counted(Weight::Packed(self.remembered(name, matrix)))),
            None => self.keep_rows(name, stored, keep),
        }
    }

    fn remembered(&self, name: &str, matrix: PackedMatrix) -> Arc<PackedMatrix> {
        let matrix = Arc::new(matrix);
        if let Some(kept) = &self.kept {
            kept.add(&self.full(name), &matrix);
        }
        matrix
    }

    fn keep_rows(&self, name: &str, stored: Stored, keep: usize) -> Result<Weight> {
        let weight = match stored {
            Stored::Dense(tensor) => first_rows(&tensor, keep).map(Weight::Dense),
            Stored::Quantized(blocks) => {
                first_block_rows(blocks, keep).map(|kept| Weight::Quantized(Arc::new(kept)))
            }
            Stored::Nf4(matrix) if matrix.dims().0 == keep => Ok(Weight::Nf4(Arc::new(matrix))),
            Stored::Nf4(matrix) => {
                let dense = matrix.to_dense(self.options.dtype);
                dense.and_then(|dense| first_rows(&dense, keep)).map(Weight::Dense)
            }
        };
        weight.map(|weight| self.counted(weight)).map_err(Error::compute(self.full(name)))
    }

    fn counted(&self, weight: Weight) -> Weight {
        self.count(weight.elements(), weight.bytes());
        weight
    }

    fn checked(&self, name: &str, expected: &[usize]) -> Result<Stored> {
        self.check_shape(name, expected)?;
        self.source.read(&self.full(name), &self.options.device)
    }

    fn check_shape(&self, name: &str, expected: &[usize]) -> Result<()> {
        let got = self.shape(name)?;
        if got == expected {
            return Ok(());
        }
        let path = self.source.path().to_owned();
        Err(Error::Shape { path, tensor: self.full(name), expected: expected.to_vec(), got })
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn count(&self, parameters: usize, bytes: usize) {
        self.tally.parameters.fetch_add(parameters as u64, Ordering::Relaxed);
        self.tally.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// The first `keep` rows, in memory of their own when some are left out.
fn first_rows(tensor: &Tensor, keep: usize) -> candle_core::Result<Tensor> {
    if tensor.rank() == 0 || tensor.dim(0)? == keep {
        return Ok(tensor.clone());
    }
    tensor.narrow(0, 0, keep)?.force_contiguous()
}

fn first_block_rows(blocks: QTensor, keep: usize) -> candle_core::Result<QTensor> {
    let (rows, columns) = blocks.shape().dims2()?;
    if rows == keep {
        return Ok(blocks);
    }
    let row_bytes = blocks.storage_size_in_bytes() / rows;
    let data = blocks.data()?;
    let mut aligned = vec![0u32; (keep * row_bytes).div_ceil(size_of::<u32>())];
    let target: &mut [u8] = bytemuck::cast_slice_mut(&mut aligned);
    target[..keep * row_bytes].copy_from_slice(&data[..keep * row_bytes]);
    let kept = std::borrow::Cow::Borrowed(&target[..keep * row_bytes]);
    let storage = candle_core::quantized::QStorage::from_data(kept, &blocks.device(), blocks.dtype())?;
    QTensor::new(storage, (keep, columns))
}

/// The source in `path`: a GGUF file or a safetensors folder.
///
/// # Errors
/// When it is neither, or cannot be read.
pub fn open(path: &Path) -> Result<Arc<dyn TensorSource>> {
    if path.is_dir() {
        Ok(Arc::new(SafetensorsFolder::open(path)?))
    } else {
        Ok(Arc::new(GgufFile::open(path)?))
    }
}
