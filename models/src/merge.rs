//! Adapters merged into their base: `W + B · A · alpha / r`, where and when a tensor is read.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::adapter::Adapter;
use crate::config::Config;
use crate::ops::Mode;
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
