//! Where tensors come from, by their Hugging Face names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Tensor};

use crate::nf4::Nf4Matrix;
use crate::{Error, Result};

/// A tensor as it is stored.
#[derive(Debug)]
pub enum Stored {
    /// Plain numbers in the file's own type.
    Dense(Tensor),
    /// Blocks of quantised numbers.
    Quantized(QTensor),
    /// A matrix in NF4.
    Nf4(Nf4Matrix),
}

impl Stored {
    /// Plain numbers where it is: in the file's own type, or in f32 if it was quantised.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn into_dense(self) -> candle_core::Result<Tensor> {
        match self {
            Self::Dense(tensor) => Ok(tensor),
            Self::Quantized(blocks) => blocks.dequantize(&blocks.device()),
            Self::Nf4(matrix) => matrix.to_dense(DType::F32),
        }
    }
}

/// A container of named tensors.
pub trait TensorSource: Send + Sync {
    /// File or folder, for messages.
    fn path(&self) -> &Path;

    /// Names of all tensors, sorted, as in the Hugging Face checkpoint where one is known.
    fn names(&self) -> Vec<String>;

    /// The shape of `name`, or `None` when there is no such tensor.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;

    /// Reads `name` onto `device`.
    ///
    /// # Errors
    /// When there is no such tensor or its bytes are not usable.
    fn read(&self, name: &str, device: &Device) -> Result<Stored>;
}

/// Tensors that are already in memory; gradients flow to those that are variables.
#[derive(Debug, Clone)]
pub struct InMemory {
    tensors: HashMap<String, Tensor>,
    path: PathBuf,
}

impl InMemory {
    /// Wraps `tensors`.
    #[must_use]
    pub fn new(tensors: HashMap<String, Tensor>) -> Self {
        Self { tensors, path: PathBuf::from("memory") }
    }
}

impl TensorSource for InMemory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.tensors.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors.get(name).map(|tensor| tensor.dims().to_vec())
    }

    fn read(&self, name: &str, device: &Device) -> Result<Stored> {
        let tensor = self
            .tensors
            .get(name)
            .ok_or_else(|| Error::MissingTensor { path: self.path.clone(), tensor: name.to_owned() })?;
        tensor.to_device(device).map(Stored::Dense).map_err(Error::compute(name))
    }
}
