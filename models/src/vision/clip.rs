//! CLIP's vision transformer (Radford et al. 2021, arXiv 2103.00020) up to its last hidden state, as transformers'
//! `modeling_clip.py` defines it. Inference only: its ops are fused and give no gradient, since the encoder stays frozen.
//!
//! The tower of candle-transformers knows only `quick_gelu` and an epsilon of 1e-5; checkpoints other than OpenAI's use
//! others, so the tower is here, with every number from `config.json`.

use candle_core::{D, Module, Result, Tensor, bail};
use candle_nn::{Conv2d, Conv2dConfig, LayerNorm, VarBuilder};
use serde::{Deserialize, Serialize};

use super::dense::Dense;

/// Mean of CLIP's input, on 0..1 colours.
pub const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// Standard deviation of CLIP's input, on 0..1 colours.
pub const STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// `CLIPVisionConfig` of transformers; a number that the file leaves out has the value it has there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Colour channels.
    pub num_channels: usize,
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// Side of a square patch in pixels.
    pub patch_size: usize,
    /// Activation of the MLP.
    pub hidden_act: HiddenAct,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            hidden_act: HiddenAct::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

impl Config {
    /// Patches of a picture: the positions that it takes in a prompt.
    #[must_use]
    pub fn positions(&self) -> usize {
        let side = self.image_size / self.patch_size.max(1);
        side * side
    }

    /// Names and shapes of the tower's tensors, as released checkpoints have them, up to the last hidden state.
    #[must_use]
    pub fn checkpoint_shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (width, inner) = (self.hidden_size, self.intermediate_size);
        let mut shapes = Vec::new();
        let mut tensor =
            |name: String, shape: &[usize]| shapes.push((format!("vision_model.{name}"), shape.to_vec()));
        tensor("embeddings.class_embedding".into(), &[width]);
        let patch = [width, self.num_channels, self.patch_size, self.patch_size];
        tensor("embeddings.patch_embedding.weight".into(), &patch);
        tensor("embeddings.position_embedding.weight".into(), &[self.positions() + 1, width]);
        let mut layer = |name: String, weight: &[usize]| {
            tensor(format!("{name}.weight"), weight);
            tensor(format!("{name}.bias"), &weight[..1]);
        };
        layer("pre_layrnorm".into(), &[width]);
        for i in 0..self.num_hidden_layers {
            let at = |part: &str| format!("encoder.layers.{i}.{part}");
            for linear in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                layer(at(&format!("self_attn.{linear}")), &[width, width]);
            }
            layer(at("layer_norm1"), &[width]);
            layer(at("mlp.fc1"), &[inner, width]);
            layer(at("mlp.fc2"), &[width, inner]);
            layer(at("layer_norm2"), &[width]);
        }
        shapes
    }

    /// What makes the numbers impossible, in words.
    fn check(&self) -> Result<()> {
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            bail!(
                "clip: hidden_size {} does not divide into {} heads",
                self.hidden_size,
                self.num_attention_heads
            );
        }
        if self.patch_size == 0 || self.patch_size > self.image_size {
            bail!("clip: expected a patch_size of 1 to {}, got {}", self.image_size, self.patch_size);
        }
        Ok(())
    }
}

/// Activations that CLIP checkpoints use, by their names in transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HiddenAct {
    /// `x · σ(1.702 x)`, OpenAI's checkpoints.
    QuickGelu,
    /// GELU with the error function.
    Gelu,
    /// GELU with tanh.
    #[serde(alias = "gelu_pytorch_tanh")]
    GeluNew,
    /// `max(x, 0)`.
    Relu,
}

impl Module for HiddenAct {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::QuickGelu => x * candle_nn::ops::sigmoid(&(x * 1.702)?)?,
            Self::Gelu => x.gelu_erf(),
            Self::GeluNew => x.gelu(),
            Self::Relu => x.relu(),
        }
    }
}

/// Patches, the class position before them, and where each of them is.
#[derive(Debug)]
struct Embeddings {
    patch: Conv2d,
    class: Tensor,
    position: Tensor,
}

impl Embeddings {
    fn load(c: &Config, vb: &VarBuilder<'_>) -> Result<Self> {
        let stride = Conv2dConfig { stride: c.patch_size, ..Default::default() };
        let patch = vb.pp("patch_embedding");
        Ok(Self {
            patch: candle_nn::conv2d_no_bias(c.num_channels, c.hidden_size, c.patch_size, stride, patch)?,
            class: vb.get(c.hidden_size, "class_embedding")?,
            position: vb.get((c.positions() + 1, c.hidden_size), "position_embedding.weight")?,
        })
    }

    fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let patches = self.patch.forward(pixels)?.flatten_from(2)?.transpose(1, 2)?;
        let (batch, _, width) = patches.dims3()?;
        let class = self.class.expand((batch, 1, width))?;
        Tensor::cat(&[class, patches], 1)?.broadcast_add(&self.position)
    }
}

#[derive(Debug)]
struct Attention {
    /// Queries, which are scaled, keys and values beside each other.
    projections: Dense,
    out: Dense,
    heads: usize,
}

impl Attention {
    fn load(c: &Config, vb: &VarBuilder<'_>) -> Result<Self> {
        let width = c.hidden_size;
        let scale = ((width / c.num_attention_heads) as f64).powf(-0.5);
        let linear = |name: &str, scale: f64| -> Result<[Tensor; 2]> {
            let vb = vb.pp(name);
            Ok([(vb.get((width, width), "weight")? * scale)?, (vb.get(width, "bias")? * scale)?])
        };
        let (query, key, value) = (linear("q_proj", scale)?, linear("k_proj", 1.)?, linear("v_proj", 1.)?);
        let [weight, bias] = [0, 1].map(|part| Tensor::cat(&[&query[part], &key[part], &value[part]], 0));
        Ok(Self {
            projections: Dense::new(&weight?, &bias?, None)?,
            out: Dense::load(&vb.pp("out_proj"), (width, width), None)?,
            heads: c.num_attention_heads,
        })
    }

    /// Attention of the normed positions to each other, added to `residual`.
    fn forward_onto(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        let (batch, n, width) = x.dims3()?;
        let projected =
            self.projections.forward(x)?.reshape((batch, n, 3, self.heads, width / self.heads))?;
        let split = |part: usize| projected.narrow(2, part, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
        let (query, key, value) = (split(0)?, split(1)?, split(2)?);
        let weights = candle_nn::ops::softmax_last_dim(&query.matmul(&key.t()?)?)?;
        let seen = weights.matmul(&value)?.transpose(1, 2)?.reshape((batch, n, width))?;
        self.out.forward_onto(&seen, residual)
    }
}

#[derive(Debug)]
struct Layer {
    norm1: LayerNorm,
    attention: Attention,
    norm2: LayerNorm,
    fc1: Dense,
    fc2: Dense,
}

impl Layer {
    fn load(c: &Config, vb: &VarBuilder<'_>) -> Result<Self> {
        let norm = |name: &str| candle_nn::layer_norm(c.hidden_size, c.layer_norm_eps, vb.pp(name));
        let (width, inner) = (c.hidden_size, c.intermediate_size);
        let mlp = vb.pp("mlp");
        Ok(Self {
            norm1: norm("layer_norm1")?,
            attention: Attention::load(c, &vb.pp("self_attn"))?,
            norm2: norm("layer_norm2")?,
            fc1: Dense::load(&mlp.pp("fc1"), (width, inner), Some(c.hidden_act))?,
            fc2: Dense::load(&mlp.pp("fc2"), (inner, width), None)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.attention.forward_onto(&self.norm1.forward(x)?, x)?;
        self.fc2.forward_onto(&self.fc1.forward(&self.norm2.forward(&x)?)?, &x)
    }
}

/// CLIP's vision tower without its pooled output.
#[derive(Debug)]
pub struct ClipVision {
    config: Config,
    embeddings: Embeddings,
    pre_norm: LayerNorm,
    layers: Vec<Layer>,
}

impl ClipVision {
    /// Takes the weights from `vb`, under `vision_model.` (released checkpoints) or at its root (transformers 5).
    ///
    /// # Errors
    /// When the numbers do not fit each other, a tensor is missing or has another shape.
    pub fn load(config: &Config, vb: &VarBuilder<'_>) -> Result<Self> {
        config.check()?;
        let prefixed = vb.pp("vision_model");
        let vb = if prefixed.contains_tensor("embeddings.class_embedding") { &prefixed } else { vb };
        let layers = vb.pp("encoder").pp("layers");
        Ok(Self {
            config: config.clone(),
            embeddings: Embeddings::load(config, &vb.pp("embeddings"))?,
            // Sic: the released checkpoints spell it so.
            pre_norm: candle_nn::layer_norm(
                config.hidden_size,
                config.layer_norm_eps,
                vb.pp("pre_layrnorm"),
            )?,
            layers: (0..config.num_hidden_layers)
                .map(|i| Layer::load(config, &layers.pp(i)))
                .collect::<Result<_>>()?,
        })
    }

    /// The numbers of the network.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Normalised pixels `[B, 3, S, S]` → last hidden state before the post-LayerNorm `[B, 1 + n, d]`, the class position
    /// first.
    ///
    /// # Errors
    /// When the shape, the element type or the device differ from the weights'.
    pub fn last_hidden_state(&self, pixels: &Tensor) -> Result<Tensor> {
        let mut x = self.pre_norm.forward(&self.embeddings.forward(pixels)?)?;
        for layer in &self.layers {
            x = layer.forward(&x)?;
        }
        Ok(x)
    }

    /// [`Self::last_hidden_state`] without the class position, `[B, n, d]`.
    ///
    /// # Errors
    /// As [`Self::last_hidden_state`].
    pub fn features(&self, pixels: &Tensor) -> Result<Tensor> {
        let hidden = self.last_hidden_state(pixels)?;
        hidden.narrow(D::Minus2, 1, self.config.positions())?.contiguous()
    }
}
