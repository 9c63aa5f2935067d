//! Adapters merged into their base: `W + B · A · alpha / r`, where and when a tensor is read; W as it is, or as NF4 has it.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::adapter::Adapter;
use crate::config::Config;
use crate::lora::linears;
use crate::nf4::Nf4Matrix;
use crate::ops::Mode;
use crate::shapes::has_vocabulary_rows;
use crate::weights::{Stored, TensorSource};
use crate::{Error, Result};

/// A base with an adapter merged into it: a source like any other, so [`export_folder`](crate::export::export_folder)
/// writes it with one tensor at a time in memory. What is quantised in the base is dense here where it is adapted.
pub struct Merged {
    base: Arc<dyn TensorSource>,
    adapter: Arc<Adapter>,
}

impl Merged {
    /// `adapter` in `base`, which is a checkpoint of `network`.
    ///
    /// # Errors
    /// When the adapter is for another network.
    pub fn new(base: Arc<dyn TensorSource>, adapter: Arc<Adapter>, network: &Config) -> Result<Self> {
        adapter.check(network, base.path())?;
        Ok(Self { base, adapter })
    }
}

impl TensorSource for Merged {
    fn path(&self) -> &Path {
        self.base.path()
    }

    fn names(&self) -> Vec<String> {
        self.base.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.base.shape(name)
    }

    fn read(&self, name: &str, device: &Device) -> Result<Stored> {
        let stored = self.base.read(name, device)?;
        let module = name.strip_suffix(".weight");
        let Some(lora) = module.and_then(|module| self.adapter.lora(module, Mode::Inference)) else {
            return Ok(stored);
        };
        let merge = || -> candle_core::Result<Tensor> {
            stored.into_dense()?.to_dtype(DType::F32)? + lora.update()?.to_device(device)?
        };
        merge().map(Stored::Dense).map_err(Error::compute(format!("merge into {name}")))
    }
}

/// A base as it was while an adapter was trained on it in NF4 (double quantisation): the linears of its layers are in NF4,
/// embedding table, head, norms and biases are what they were. What the base has in blocks or in NF4 stays, as when it is
/// loaded to be quantised.
pub struct InNf4 {
    base: Arc<dyn TensorSource>,
}

impl InNf4 {
    /// `base` in NF4, a matrix at a time where it is read.
    #[must_use]
    pub fn new(base: Arc<dyn TensorSource>) -> Self {
        Self { base }
    }

    /// False where the first linear of `network` is quantised in the base, so that NF4 changes nothing.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn has_effect(&self, network: &Config) -> Result<bool> {
        let Some(first) = linears(network).next() else { return Ok(false) };
        let stored = self.base.read(&format!("{}.weight", first.name), &Device::Cpu)?;
        Ok(matches!(stored, Stored::Dense(_)))
    }
}

impl TensorSource for InNf4 {
    fn path(&self) -> &Path {
        self.base.path()
    }

    fn names(&self) -> Vec<String> {
        self.base.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.base.shape(name)
    }

    fn read(&self, name: &str, device: &Device) -> Result<Stored> {
        match self.base.read(name, device)? {
            Stored::Dense(weight) if weight.rank() == 2 && !has_vocabulary_rows(name) => {
                let matrix = Nf4Matrix::quantize(&weight, device);
                matrix.map(Stored::Nf4).map_err(Error::compute(format!("quantise {name}")))
            }
            stored => Ok(stored),
        }
    }
}
