//! Llama and its relatives (Touvron et al. 2023, <https://arxiv.org/abs/2302.13971>): grouped queries, RMS norms, SwiGLU.
//! Follows `LlamaForCausalLM` of Hugging Face transformers.

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::decoder::{Batch, Decoder, DecoderShape, Span};
use crate::embedding::Embedding;
use crate::error::Error;
use crate::grad;
use crate::linear::Linear;
use crate::ops::{Mode, RmsNorm};
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
    /// Width of a head; `hidden_size / num_attention_heads` when absent.
    #[serde(default)]
    pub head_dim: Option<usize>,
    /// Positions that it was trained for.
    #[serde(default = "default_positions")]
    pub max_position_embeddings: usize,
    /// Added to the mean square before its root.
    #[serde(default = "default_epsilon")]
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    #[serde(default = "default_theta")]
    pub rope_theta: f64,
    /// Stretching of the frequencies.
    #[serde(default)]
    pub rope_scaling: Option<Scaling>,
    /// Newer files put both into one field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_parameters: Option<RopeParameters>,
    /// Biases in the attention's four linears.
    #[serde(default)]
    pub attention_bias: bool,
    /// Biases in the MLP's three linears.
    #[serde(default)]
    pub mlp_bias: bool,
    /// The head is the embedding table.
    #[serde(default)]
    pub tie_word_embeddings: bool,
}

fn default_positions() -> usize {
    2048
}

fn default_epsilon() -> f64 {
    1e-6
}

fn default_theta() -> f64 {
    10_000.
}

impl Config {
    pub(crate) fn heads(&self) -> HeadShape {
        HeadShape {
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            dim: self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1)),
        }
    }

    /// Base and stretching of the rotary frequencies.
    pub(crate) fn rope(&self) -> (f64, Scaling) {
        match &self.rope_parameters {
            Some(parameters) => {
                (parameters.rope_theta.unwrap_or(self.rope_theta), parameters.scaling.clone())
            }
            None => (self.rope_theta, self.rope_scaling.clone().unwrap_or_default()),
        }
    }

    fn rotary(&self, weights: &Weights) -> Result<Rotary> {
        let (theta, scaling) = self.rope();
        let dim = self.heads().dim;
        let scaling = if weights.contains("rope_freqs.weight") {
            let divisors = weights.tensor("rope_freqs.weight", &[dim / 2])?;
            let values = divisors.to_dtype(DType::F32).and_then(|d| d.to_vec1());
            Scaling::Divisors(values.map_err(Error::compute("rope_freqs.weight"))?)
        } else {
            scaling
        };
        Ok(Rotary::new(dim, theta, &scaling))
    }
}

#[derive(Debug)]
struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    shape: HeadShape,
}

impl Attention {
    fn new(config: &Config, weights: &Weights) -> Result<Self> {
        let (shape, width, bias) = (config.heads(), config.hidden_size, config.attention_bias);
        let (query, kv) = (shape.heads * shape.dim, shape.kv_heads * shape.dim);
        Ok(Self {
            q_proj: weights.pp("q_proj").linear(width, query, bias)?,
            k_proj: weights.pp("k_proj").linear(width, kv, bias)?,
            v_proj: weights.pp("v_proj").linear(width, kv, bias)?,
            o_proj: weights.pp("o_proj").linear(query, width, bias)?,
            shape,
        })
    }

    fn forward(&self, x: &Tensor, layer: usize, pass: &Pass<'_, '_>) -> candle_core::Result<Tensor> {
        let (q, k, v) = (self.q_proj.forward(x)?, self.k_proj.forward(x)?, self.v_proj.forward(x)?);
        self.o_proj.forward(&pass.attend(layer, &q, &k, &v, self.shape)?)
    }
}

#[derive(Debug)]
struct Mlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

impl Mlp {
    fn new(config: &Config, weights: &Weights) -> Result<Self> {
        let (width, inner, bias) = (config.hidden_size, config.intermediate_size, config.mlp_bias);
        Ok(Self {
            gate_proj: weights.pp("gate_proj").linear(width, inner, bias)?,
            up_proj: weights.pp("up_proj").linear(width, inner, bias)?,
            down_proj: weights.pp("down_proj").linear(inner, width, bias)?,
        })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (gate, up) = (self.gate_proj.forward(x)?, self.up_proj.forward(x)?);
        self.down_proj.forward(&grad::swiglu(&gate, &up)?)
    }
}

#[derive(Debug)]
struct Layer {
    input_layernorm: RmsNorm,
    self_attn: Attention,
    post_attention_layernorm: RmsNorm,
    mlp: Mlp,
}

impl Layer {
    fn new(config: &Config, weights: &Weights) -> Result<Self> {
        let norm = |name| weights.pp(name).rms_norm(config.hidden_size, config.rms_norm_eps);
        Ok(Self {
            input_layernorm: norm("input_layernorm")?,
            self_attn: Attention::new(config, &weights.pp("self_attn"))?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            mlp: Mlp::new(config, &weights.pp("mlp"))?,
        })
    }

    fn forward(&self, x: &Tensor, layer: usize, pass: &Pass<'_, '_>) -> candle_core::Result<Tensor> {
        let x = (x + self.self_attn.forward(&self.input_layernorm.forward(x)?, layer, pass)?)?;
        let mlp = self.mlp.forward(&self.post_attention_layernorm.forward(&x)?)?;
        x + mlp
    }
}

/// A network of the Llama family.
#[derive(Debug)]
pub struct Llama {
    embed_tokens: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    lm_head: Linear,
    rotary: Rotary,
    shape: DecoderShape,
    device: Device,
    dtype: DType,
    mode: Mode,
}

impl Llama {
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
            true => embed_tokens.as_head(weights.mode()),
            false => weights.pp("lm_head").head(width, rows, vocab_rows, false)?,
        };
        let layers = (0..config.num_hidden_layers).map(|i| Layer::new(config, &model.pp("layers").pp(i)));
        let heads = config.heads();
        Ok(Self {
            layers: layers.collect::<Result<_>>()?,
            norm: model.pp("norm").rms_norm(width, config.rms_norm_eps)?,
            rotary: config.rotary(weights)?,
            shape: DecoderShape {
                family: "llama",
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

impl Decoder for Llama {
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
        self.norm.forward(rows)
    }

    fn losses(&self, hidden: &Tensor, targets: &Tensor) -> candle_core::Result<Tensor> {
        grad::cross_entropy(&self.lm_head, hidden, targets)
    }

    fn logits(&self, hidden: &Tensor) -> candle_core::Result<Tensor> {
        self.lm_head.logits(hidden)
    }
}
