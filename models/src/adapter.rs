//! A LoRA adapter of a whole decoder: fresh, trainable, or attached to a network for serving.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use crate::config::Config;
use crate::dropout::Dropout;
use crate::lora::{Lora, LoraConfig, linears};
use crate::ops::Mode;
use crate::random::SplitMix64;
use crate::{Error, Result};

/// What PEFT puts before the names of a base model's modules.
const PREFIX: &str = "base_model.model.";
const A: &str = ".lora_A.weight";
const B: &str = ".lora_B.weight";

/// The matrices A `[r, inputs]` and B `[outputs, r]` of each adapted linear.
#[derive(Debug, Clone)]
pub struct Adapter {
    config: LoraConfig,
    pairs: BTreeMap<String, (Tensor, Tensor)>,
    dropout: Arc<Dropout>,
}

impl Adapter {
    /// An adapter for `network` that changes nothing yet, as PEFT begins: A uniform in ±1/√inputs (Kaiming with a = √5),
    /// B zero. The same `seed` gives the same numbers on every machine.
    ///
    /// # Errors
    /// When `config` has impossible numbers or names a module that the network's layers do not have.
    pub fn random(config: LoraConfig, network: &Config, seed: u64, device: &Device) -> Result<Self> {
        config.check(Path::new("LoRA"))?;
        let mut random = SplitMix64(seed);
        let mut pairs = BTreeMap::new();
        for module in config.modules(network)? {
            let bound = 1. / (module.inputs as f32).sqrt();
            let values: Vec<f32> =
                (0..config.r * module.inputs).map(|_| random.symmetric() * bound).collect();
            let a = Tensor::from_vec(values, (config.r, module.inputs), device);
            let b = Tensor::zeros((module.outputs, config.r), DType::F32, device);
            let failed = |source| Error::Compute { operation: module.name.clone(), source };
            pairs.insert(module.name.clone(), (a.map_err(failed)?, b.map_err(failed)?));
        }
        Ok(Self { dropout: Arc::new(Dropout::new(config.lora_dropout, seed)), config, pairs })
    }

    /// Takes the matrices by their names in PEFT's files; `origin` is for messages.
    ///
    /// # Errors
    /// When a name is none of PEFT's for LoRA on linears, one of a pair is missing, or a rank is another.
    pub fn from_tensors(
        config: LoraConfig,
        tensors: &HashMap<String, Tensor>,
        origin: &Path,
    ) -> Result<Self> {
        config.check(origin)?;
        let missing = |tensor: String| Error::MissingTensor { path: origin.to_owned(), tensor };
        let mut pairs = BTreeMap::new();
        for name in tensors.keys() {
            let Some(module) = name.strip_suffix(A).or(name.strip_suffix(B)) else {
                let reason = format!("{name} is no matrix of LoRA on a linear");
                return Err(Error::Corrupt { path: origin.to_owned(), reason });
            };
            let take = |suffix: &str| {
                let name = format!("{module}{suffix}");
                tensors.get(&name).cloned().ok_or_else(|| missing(name))
            };
            let (a, b) = (take(A)?, take(B)?);
            let module = module.strip_prefix(PREFIX).unwrap_or(module);
            if a.dims().first() != Some(&config.r) || b.dims().last() != Some(&config.r) {
                let reason = format!(
                    "{module} has A {:?} and B {:?} where the configuration says rank {}",
                    a.dims(),
                    b.dims(),
                    config.r
                );
                return Err(Error::Corrupt { path: origin.to_owned(), reason });
            }
            pairs.insert(module.to_owned(), (a, b));
        }
        Ok(Self { dropout: Arc::new(Dropout::new(0., 0)), config, pairs })
    }

    /// A copy whose matrices are variables, and those variables by their names in PEFT's files: what an optimiser steps.
    /// `seed` is for its dropout.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn trainable(&self, seed: u64) -> Result<(Self, Vec<(String, Var)>)> {
        let mut variables = Vec::with_capacity(2 * self.pairs.len());
        for (name, tensor) in self.named() {
            let variable = Var::from_tensor(tensor).map_err(Error::compute(&name))?;
            variables.push((name, variable));
        }
        let tensors = variables.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        let copy = Self::from_tensors(self.config.clone(), &tensors, Path::new("memory"))?;
        let dropout = Arc::new(Dropout::new(self.config.lora_dropout, seed));
        Ok((Self { dropout, ..copy }, variables))
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// The matrices by their names in PEFT's files, sorted by module, A before B.
    pub fn named(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.pairs.iter().flat_map(|(module, (a, b))| {
            [(format!("{PREFIX}{module}{A}"), a), (format!("{PREFIX}{module}{B}"), b)]
        })
    }

    /// Does `measure` without dropout.
    pub fn without_dropout<T>(&self, measure: impl FnOnce() -> T) -> T {
        self.dropout.pause(true);
        let measured = measure();
        self.dropout.pause(false);
        measured
    }

    /// What the next masks of its dropout follow from: saved with a run and given back by
    /// [`restore_dropout`](Self::restore_dropout), the run goes on as if it had not stopped.
    #[must_use]
    pub fn dropout_state(&self) -> u64 {
        self.dropout.state()
    }

    /// Goes on from a [`dropout_state`](Self::dropout_state).
    pub fn restore_dropout(&self, state: u64) {
        self.dropout.restore(state);
    }

    /// Refuses a network that it was not made for; `origin` is for messages.
    ///
    /// # Errors
    /// When a matrix belongs to no linear of the network's layers, or to one of another shape.
    pub fn check(&self, network: &Config, origin: &Path) -> Result<()> {
        let linears: HashMap<_, _> =
            linears(network).map(|linear| (linear.name, (linear.inputs, linear.outputs))).collect();
        for (module, (a, b)) in &self.pairs {
            let Some(&(inputs, outputs)) = linears.get(module) else {
                let tensor = format!("{module}.weight, which the adapter is for");
                return Err(Error::MissingTensor { path: origin.to_owned(), tensor });
            };
            let rank = self.config.r;
            for (suffix, tensor, expected) in [(A, a, [rank, inputs]), (B, b, [outputs, rank])] {
                if tensor.dims() != expected {
                    return Err(Error::Shape {
                        path: origin.to_owned(),
                        tensor: format!("{module}{suffix}"),
                        expected: expected.to_vec(),
                        got: tensor.dims().to_vec(),
                    });
                }
            }
        }
        Ok(())
    }

    /// The update of a linear, `None` where it is not adapted.
    pub(crate) fn lora(&self, module: &str, mode: Mode) -> Option<Lora> {
        let (a, b) = self.pairs.get(module)?;
        let dropout = (mode == Mode::Training).then(|| Arc::clone(&self.dropout));
        Some(Lora { a: a.clone(), b: b.clone(), scale: self.config.scale(), dropout })
    }
}
