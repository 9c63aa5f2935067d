//! Phi-1, Phi-1.5 and Phi-2 (Li et al. 2023, <https://arxiv.org/abs/2309.05463>): attention and MLP side by side behind
//! one norm, rotary embeddings on a part of each head, biases everywhere. Follows `PhiForCausalLM` of Hugging Face
//! transformers.

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::decoder::{Batch, Decoder, DecoderShape, Span};
use crate::embedding::Embedding;
use crate::grad;
use crate::linear::Linear;
use crate::ops::{LayerNorm, Mode};
use crate::pass::{HeadShape, Pass};
use crate::rotary::{RopeParameters, Rotary, Scaling};
use crate::weights::Weights;

/// Fields of `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Embedding width.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key/value heads; as many as query heads when absent.
    #[serde(default)]
    pub num_key_value_heads: Option<usize>,
    /// Positions that it was trained for.
    #[serde(default = "default_positions")]
    pub max_position_embeddings: usize,
    /// Added to the variance before its root.
    #[serde(default = "default_epsilon")]
    pub layer_norm_eps: f64,
    /// How much of each head turns.
    #[serde(default = "default_partial")]
    pub partial_rotary_factor: f64,
    /// Base of the rotary frequencies.
    #[serde(default = "default_theta")]
    pub rope_theta: f64,
    /// Newer files put the rotary fields into one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_parameters: Option<RopeParameters>,
    /// Norms on queries and keys, over each head.
    #[serde(default)]
    pub qk_layernorm: bool,
    /// The head is the embedding table (its bias stays its own).
    #[serde(default)]
    pub tie_word_embeddings: bool,
}

fn default_positions() -> usize {
    2048
}

fn default_epsilon() -> f64 {
    1e-5
}

fn default_partial() -> f64 {
    0.5
}

fn default_theta() -> f64 {
    10_000.
}

impl Config {
    /// microsoft/phi-2.
    #[must_use]
    pub fn phi2() -> Self {
        Self {
            vocab_size: 51_200,
            hidden_size: 2560,
            intermediate_size: 10_240,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: Some(32),
            max_position_embeddings: 2048,
            layer_norm_eps: 1e-5,
            partial_rotary_factor: 0.4,
            rope_theta: 10_000.,
            rope_parameters: None,
            qk_layernorm: false,
            tie_word_embeddings: false,
        }
    }

    pub(crate) fn heads(&self) -> HeadShape {
        HeadShape {
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            dim: self.hidden_size / self.num_attention_heads.max(1),
        }
    }

    /// Elements of each head that turn.
    pub(crate) fn rotated(&self) -> usize {
        let newer = self.rope_parameters.as_ref();
        let partial = newer.and_then(|p| p.partial_rotary_factor).unwrap_or(self.partial_rotary_factor);
        (self.heads().dim as f64 * partial + 1e-6) as usize
    }

    /// Base and stretching of the rotary frequencies.
    pub(crate) fn rope(&self) -> (f64, Scaling) {
        let newer = self.rope_parameters.as_ref();
        let theta = newer.and_then(|p| p.rope_theta).unwrap_or(self.rope_theta);
        (theta, newer.map_or(Scaling::Default, |p| p.scaling.clone()))
    }

    fn rotary(&self) -> Rotary {
        let (theta, scaling) = self.rope();
        Rotary::new(self.rotated(), theta, &scaling)
    }
}

#[derive(Debug)]
struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    dense: Linear,
    norms: Option<(LayerNorm, LayerNorm)>,
    shape: HeadShape,
}

impl Attention {
    fn new(config: &Config, weights: &Weights) -> Result<Self> {
        let (shape, width) = (config.heads(), config.hidden_size);
        let (query, kv) = (shape.heads * shape.dim, shape.kv_heads * shape.dim);
        let norm = |name| weights.pp(name).layer_norm(shape.dim, config.layer_norm_eps);
        let norms = match config.qk_layernorm {
            true => Some((norm("q_layernorm")?, norm("k_layernorm")?)),
            false => None,
        };
        Ok(Self {
            q_proj: weights.pp("q_proj").linear(width, query, true)?,
            k_proj: weights.pp("k_proj").linear(width, kv, true)?,
            v_proj: weights.pp("v_proj").linear(width, kv, true)?,
            dense: weights.pp("dense").linear(query, width, true)?,
            norms,
            shape,
        })
    }

    fn forward(&self, x: &Tensor, layer: usize, pass: &Pass<'_, '_>) -> candle_core::Result<Tensor> {
        let (mut q, mut k, v) = (self.q_proj.forward(x)?, self.k_proj.forward(x)?, self.v_proj.forward(x)?);
        if let Some((q_layernorm, k_layernorm)) = &self.norms {
            (q, k) = (self.normalise(&q, q_layernorm)?, self.normalise(&k, k_layernorm)?);
        }
        self.dense.forward(&pass.attend(layer, &q, &k, &v, self.shape)?)
    }

    /// Each head of `x` (`[n, heads * dim]`) on its own.
    fn normalise(&self, x: &Tensor, norm: &LayerNorm) -> candle_core::Result<Tensor> {
        norm.forward(&x.reshape(((), self.shape.dim))?)?.reshape(x.shape())
    }
}

#[derive(Debug)]
struct Mlp {
    fc1: Linear,
    fc2: Linear,
}

impl Mlp {
    fn new(config: &Config, weights: &Weights) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        Ok(Self {
            fc1: weights.pp("fc1").linear(width, inner, true)?,
            fc2: weights.pp("fc2").linear(inner, width, true)?,
        })
    }

    /// `gelu_new`, the tanh form, is the only activation that the family has.
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.fc2.forward(&grad::gelu(&self.fc1.forward(x)?)?)
    }
}

#[derive(Debug)]
struct Layer {
    input_layernorm: LayerNorm,
    self_attn: Attention,
    mlp: Mlp,
}

impl Layer {
    fn new(config: &Config, weights: &Weights) -> Result<Self> {
        Ok(Self {
            input_layernorm: weights
                .pp("input_layernorm")
                .layer_norm(config.hidden_size, config.layer_norm_eps)?,
            self_attn: Attention::new(config, &weights.pp("self_attn"))?,
            mlp: Mlp::new(config, &weights.pp("mlp"))?,
        })
    }

    fn forward(&self, x: &Tensor, layer: usize, pass: &Pass<'_, '_>) -> candle_core::Result<Tensor> {
        let normed = self.input_layernorm.forward(x)?;
        let attended = self.self_attn.forward(&normed, layer, pass)?;
        x + (attended + self.mlp.forward(&normed)?)?
    }
}

/// A network of the Phi family.
#[derive(Debug)]
pub struct Phi {
    embed_tokens: Embedding,
    layers: Vec<Layer>,
    final_layernorm: LayerNorm,
    lm_head: Linear,
    rotary: Rotary,
    shape: DecoderShape,
    device: Device,
    dtype: DType,
    mode: Mode,
}

impl Phi {
    /// Builds the network from `weights`, with the first `vocab_rows` rows of embedding table and head.
    ///
    /// # Errors
    /// When a tensor is missing or of another shape than `config` says.
    pub fn new(config: &Config, weights: &Weights, vocab_rows: usize) -> Result<Self> {
        let (rows, width) = (config.vocab_size, config.hidden_size);
        let model = weights.pp("model");
        let tied = config.tie_word_embeddings;
        let embed_tokens = model.pp("embed_tokens").embedding(rows, width, vocab_rows, tied)?;
        let lm_head = match tied {
            true => {
                let bias = weights.pp("lm_head").first_rows_of("bias", &[rows], vocab_rows)?;
                embed_tokens.as_head(weights.mode()).with_bias(bias)
            }
            false => weights.pp("lm_head").head(width, rows, vocab_rows, true)?,
        };
        let layers = (0..config.num_hidden_layers).map(|i| Layer::new(config, &model.pp("layers").pp(i)));
        let heads = config.heads();
        Ok(Self {
            layers: layers.collect::<Result<_>>()?,
            final_layernorm: model.pp("final_layernorm").layer_norm(width, config.layer_norm_eps)?,
            rotary: config.rotary(),
            shape: DecoderShape {
                family: "phi",
                vocab_size: vocab_rows,
                width,
                layers: config.num_hidden_layers,
                kv_heads: heads.kv_heads,
                head_dim: heads.dim,
                max_positions: config.max_position_embeddings,
            },
            device: weights.device().clone(),
            dtype: weights.activations(),
            mode: weights.mode(),
            embed_tokens,
            lm_head,
        })
    }

    fn hidden(&self, rows: &Tensor, pass: &Pass<'_, '_>) -> candle_core::Result<Tensor> {
        let mut x = rows.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, index, pass)?;
        }
        self.finish(&x)
    }
}

impl Decoder for Phi {
    fn shape(&self) -> &DecoderShape {
        &self.shape
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn embed(&self, ids: &Tensor) -> candle_core::Result<Tensor> {
        self.embed_tokens.forward(ids)
    }

    fn forward_ragged(&self, rows: &Tensor, spans: &mut [Span<'_>]) -> candle_core::Result<Tensor> {
        let pass = Pass::over_spans(spans, rows.dim(0)?, &self.rotary, self.dtype, &self.device)?;
        let hidden = self.hidden(rows, &pass)?;
        spans.iter_mut().for_each(Span::commit);
        Ok(hidden)
    }

    fn batch(&self, shape: (usize, usize), mask: Option<&Tensor>) -> candle_core::Result<Batch> {
        Pass::over_batch(shape, mask, &self.rotary, self.dtype, &self.device, self.mode).map(Batch)
    }

    fn layer(&self, layer: usize, rows: &Tensor, batch: &Batch) -> candle_core::Result<Tensor> {
        match self.layers.get(layer) {
            Some(network) => network.forward(rows, layer, &batch.0),
            None => candle_core::bail!("there is no layer {layer}: the network has {}", self.layers.len()),
        }
    }

    fn finish(&self, rows: &Tensor) -> candle_core::Result<Tensor> {
        self.final_layernorm.forward(rows)
    }

    fn losses(&self, hidden: &Tensor, targets: &Tensor) -> candle_core::Result<Tensor> {
        grad::cross_entropy(&self.lm_head, hidden, targets)
    }

    fn logits(&self, hidden: &Tensor) -> candle_core::Result<Tensor> {
        self.lm_head.logits(hidden)
    }
}
