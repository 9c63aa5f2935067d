//! Low-rank adaptation (Hu et al. 2021, <https://arxiv.org/abs/2106.09685>) as PEFT has it:
//! `y = base(x) + dropout(x) · Aᵀ · Bᵀ · alpha / r`.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use jnana_kernels::LowRank;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::dropout::Dropout;
use crate::shapes::{checkpoint_shapes, has_vocabulary_rows};
use crate::{Error, Result};

/// What an adapter is made of; the names are PEFT's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoraConfig {
    /// Rank.
    pub r: usize,
    /// The update is scaled by `lora_alpha / r`.
    pub lora_alpha: f64,
    /// Share of an adapted module's inputs that its update does not see while it is trained.
    #[serde(default)]
    pub lora_dropout: f64,
    /// Which linears are adapted: those whose name is one of these, or ends with a dot and one of these.
    pub target_modules: Vec<String>,
}

/// A linear of a network that is adapted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    /// Such as `model.layers.0.self_attn.q_proj`.
    pub(crate) name: String,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl LoraConfig {
    /// Refuses numbers that no adapter can have; `path` is for messages.
    ///
    /// # Errors
    /// When the rank is zero, the factor not finite or the dropout not in 0..1.
    pub fn check(&self, path: &Path) -> Result<()> {
        let field = |key: &str, expected: &str, got: String| Error::Field {
            path: path.to_owned(),
            key: key.to_owned(),
            expected: expected.to_owned(),
            got,
        };
        if self.r == 0 {
            return Err(field("r", "at least 1", self.r.to_string()));
        }
        if !self.lora_alpha.is_finite() {
            return Err(field("lora_alpha", "a number", self.lora_alpha.to_string()));
        }
        if !(0. ..1.).contains(&self.lora_dropout) {
            return Err(field("lora_dropout", "at least 0 and below 1", self.lora_dropout.to_string()));
        }
        Ok(())
    }

    /// `alpha / r`.
    pub(crate) fn scale(&self) -> f64 {
        self.lora_alpha / self.r as f64
    }

    /// The linears of `network` that are adapted, in its order.
    pub(crate) fn modules(&self, network: &Config) -> Result<Vec<Module>> {
        let linears: Vec<Module> = linears(network).collect();
        let hits = |target: &str, name: &str| {
            name.strip_suffix(target).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let unknown = |target: &&String| !linears.iter().any(|linear| hits(target, &linear.name));
        if let Some(target) = self.target_modules.iter().find(unknown) {
            return Err(Error::Options {
                option: format!("target module {target}"),
                reason: "no layer of the network has a linear of that name".into(),
            });
        }
        let adapted = |linear: &Module| self.target_modules.iter().any(|target| hits(target, &linear.name));
        Ok(linears.into_iter().filter(adapted).collect())
    }
}

/// The linears in the layers of `network`: all matrices but embedding table and head.
pub(crate) fn linears(network: &Config) -> impl Iterator<Item = Module> {
    checkpoint_shapes(network).into_iter().filter_map(|(tensor, shape)| {
        let (name, [outputs, inputs]) = (tensor.strip_suffix(".weight")?, shape.as_slice()) else {
            return None;
        };
        let module = Module { name: name.to_owned(), inputs: *inputs, outputs: *outputs };
        (!has_vocabulary_rows(&tensor)).then_some(module)
    })
}

/// The update of one linear.
#[derive(Debug, Clone)]
pub(crate) struct Lora {
    /// `[r, inputs]`.
    pub(crate) a: Tensor,
    /// `[outputs, r]`.
    pub(crate) b: Tensor,
    /// `alpha / r`.
    pub(crate) scale: f64,
    /// Only while it is trained.
    pub(crate) dropout: Option<Arc<Dropout>>,
}

impl Lora {
    /// Rows `[n, inputs]` to what is added to the linear's output, `[n, outputs]`, in the rows' type.
    pub(crate) fn forward(&self, rows: &Tensor) -> candle_core::Result<Tensor> {
        let dtype = rows.dtype();
        let rows = match &self.dropout {
            Some(dropout) => &dropout.apply(rows)?,
            None => rows,
        };
        let narrow = rows.matmul(&self.a.to_dtype(dtype)?.t()?)?;
        (narrow * self.scale)?.matmul(&self.b.to_dtype(dtype)?.t()?)
    }

    /// True when the update sees all of its input.
    pub(crate) fn drops_nothing(&self) -> bool {
        self.dropout.as_ref().is_none_or(|dropout| dropout.drops_nothing())
    }

    /// True for variables.
    pub(crate) fn is_trained(&self) -> bool {
        self.a.track_op() || self.b.track_op()
    }

    /// The same as it is now, for kernels on the CPU.
    pub(crate) fn packed(&self) -> candle_core::Result<LowRank> {
        let numbers = |matrix: &Tensor| matrix.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
        Ok(LowRank::new(&numbers(&self.a)?, &numbers(&self.b)?, self.a.dim(0)?, self.scale as f32))
    }

    /// What is added to the linear's weight: `B · A · alpha / r` in f32, `[outputs, inputs]`.
    pub(crate) fn update(&self) -> candle_core::Result<Tensor> {
        self.b.to_dtype(DType::F32)?.matmul(&self.a.to_dtype(DType::F32)?)? * self.scale
    }
}
