//! EfficientNet-Lite0 up to its last feature map (Tan & Le 2019, arXiv 1905.11946, and the "Lite" variant of TensorFlow's
//! `tpu/models/official/efficientnet/lite`): no squeeze-and-excite, ReLU6, fixed stem and head.
//!
//! Activations are `[B, H, W, C]` f32 on the CPU; pointwise convolutions are matrix products; BatchNorm is folded into the
//! convolution before it. Tensor names are those of the `efficientnet_lite_pytorch` checkpoints.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::depthwise::{add_bias, depthwise_relu6, patches};

/// Side of the square input in pixels.
pub const INPUT_SIZE: usize = 224;
/// Positions of the last map at [`INPUT_SIZE`], 7 × 7.
pub const POSITIONS: usize = 49;
/// Channels before the head convolution.
pub const TRUNK_WIDTH: usize = 320;
/// Channels after it.
pub const HEAD_WIDTH: usize = 1280;
/// Mean of the input, on 0..1 colours: `(rgb − 127) / 128` on 0..255.
pub const MEAN: [f32; 3] = [127.0 / 255.0; 3];
/// Divisor of the input, on 0..1 colours.
pub const STD: [f32; 3] = [128.0 / 255.0; 3];

const STEM_WIDTH: usize = 32;
const BATCH_NORM_EPS: f64 = 1e-3;

struct Stage {
    repeats: usize,
    kernel: usize,
    stride: usize,
    expand: usize,
    width: usize,
}

const fn stage(repeats: usize, kernel: usize, stride: usize, expand: usize, width: usize) -> Stage {
    Stage { repeats, kernel, stride, expand, width }
}

const STAGES: [Stage; 7] = [
    stage(1, 3, 1, 1, 16),
    stage(2, 3, 2, 6, 24),
    stage(2, 5, 2, 6, 40),
    stage(3, 3, 2, 6, 80),
    stage(3, 5, 1, 6, 112),
    stage(4, 5, 2, 6, 192),
    stage(1, 3, 1, 6, TRUNK_WIDTH),
];

/// Which of the two last maps is given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FeatureMap {
    /// 320 channels, before the head convolution.
    Trunk,
    /// 1,280 channels, after it.
    #[default]
    Head,
}

impl FeatureMap {
    /// The map with so many channels, if there is one.
    #[must_use]
    pub fn of_width(width: usize) -> Option<Self> {
        [Self::Trunk, Self::Head].into_iter().find(|map| map.width() == width)
    }

    /// Channels of the map.
    #[must_use]
    pub fn width(self) -> usize {
        match self {
            Self::Trunk => TRUNK_WIDTH,
            Self::Head => HEAD_WIDTH,
        }
    }
}

/// A convolution as a product of `[rows, inputs]` with `[inputs, outputs]`, then the bias and, if asked for, ReLU6.
#[derive(Debug)]
struct Pointwise {
    weight: Tensor,
    bias: Tensor,
    relu6: bool,
}

impl Pointwise {
    /// 1 × 1, from `[outputs, inputs, 1, 1]`.
    fn load(
        vb: &VarBuilder<'_>,
        conv: &str,
        norm: &str,
        inputs: usize,
        outputs: usize,
        relu6: bool,
    ) -> Result<Self> {
        let weight =
            vb.get((outputs, inputs, 1, 1), &format!("{conv}.weight"))?.reshape((outputs, inputs))?.t()?;
        let (weight, bias) = fold(&weight, &vb.pp(norm), outputs)?;
        Ok(Self { weight, bias, relu6 })
    }

    /// `[B, H, W, inputs]` → `[B, H, W, outputs]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (b, h, w, c) = x.dims4()?;
        let y = x.reshape((b * h * w, c))?.matmul(&self.weight)?;
        add_bias(&y, &self.bias, self.relu6)?;
        y.reshape((b, h, w, ()))
    }
}

/// A k × k convolution of each channel on its own, then ReLU6.
#[derive(Debug)]
struct Depthwise {
    weight: Tensor,
    bias: Tensor,
    kernel: usize,
    stride: usize,
}

impl Depthwise {
    fn load(vb: &VarBuilder<'_>, width: usize, kernel: usize, stride: usize) -> Result<Self> {
        let weight = vb.get((width, 1, kernel, kernel), "_depthwise_conv.weight")?;
        let weight = weight.reshape((width, kernel * kernel))?.t()?;
        let (weight, bias) = fold(&weight, &vb.pp("_bn1"), width)?;
        Ok(Self { weight, bias, kernel, stride })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        depthwise_relu6(x, &self.weight, &self.bias, self.kernel, self.stride)
    }
}

/// Inverted residual block: widen, filter, narrow.
#[derive(Debug)]
struct Block {
    expand: Option<Pointwise>,
    depthwise: Depthwise,
    project: Pointwise,
    residual: bool,
}

impl Block {
    fn load(vb: &VarBuilder<'_>, inputs: usize, stride: usize, stage: &Stage) -> Result<Self> {
        let inner = inputs * stage.expand;
        let expand = (stage.expand != 1)
            .then(|| Pointwise::load(vb, "_expand_conv", "_bn0", inputs, inner, true))
            .transpose()?;
        Ok(Self {
            expand,
            depthwise: Depthwise::load(vb, inner, stage.kernel, stride)?,
            project: Pointwise::load(vb, "_project_conv", "_bn2", inner, stage.width, false)?,
            residual: stride == 1 && inputs == stage.width,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = match &self.expand {
            Some(expand) => self.depthwise.forward(&expand.forward(x)?)?,
            None => self.depthwise.forward(x)?,
        };
        let y = self.project.forward(&y)?;
        if self.residual { x + y } else { Ok(y) }
    }
}

/// EfficientNet-Lite0 without its classifier.
#[derive(Debug)]
pub struct EfficientNetLite0 {
    stem: Pointwise,
    blocks: Vec<Block>,
    head: Pointwise,
}

impl EfficientNetLite0 {
    /// Takes the weights from `vb` (f32, CPU) and folds the BatchNorms.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(vb: &VarBuilder<'_>) -> Result<Self> {
        let kernel = vb.get((STEM_WIDTH, 3, 3, 3), "_conv_stem.weight")?;
        // The order of `patches`: rows, columns, channels.
        let kernel = kernel.permute((2, 3, 1, 0))?.reshape((27, STEM_WIDTH))?;
        let (weight, bias) = fold(&kernel, &vb.pp("_bn0"), STEM_WIDTH)?;
        let mut blocks = Vec::new();
        let mut inputs = STEM_WIDTH;
        for stage in &STAGES {
            for i in 0..stage.repeats {
                let stride = if i == 0 { stage.stride } else { 1 };
                blocks.push(Block::load(&vb.pp("_blocks").pp(blocks.len()), inputs, stride, stage)?);
                inputs = stage.width;
            }
        }
        Ok(Self {
            stem: Pointwise { weight, bias, relu6: true },
            blocks,
            head: Pointwise::load(vb, "_conv_head", "_bn1", TRUNK_WIDTH, HEAD_WIDTH, true)?,
        })
    }

    /// Normalised pixels `[B, 3, 224, 224]` (f32, CPU) → `[B, 49, 320 or 1280]`, positions row by row.
    ///
    /// # Errors
    /// When the shape is another.
    pub fn features(&self, pixels: &Tensor, map: FeatureMap) -> Result<Tensor> {
        let mut x = self.stem.forward(&patches(pixels, 3, 2)?)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        if map == FeatureMap::Head {
            x = self.head.forward(&x)?;
        }
        x.flatten(1, 2)
    }
}

/// Folds a BatchNorm into the convolution before it: `weight` `[.., outputs]` times γ/√(σ² + ε), bias β − μγ/√(σ² + ε).
fn fold(weight: &Tensor, norm: &VarBuilder<'_>, outputs: usize) -> Result<(Tensor, Tensor)> {
    let [gamma, beta, mean, variance] =
        ["weight", "bias", "running_mean", "running_var"].map(|name| norm.get(outputs, name));
    let scale = gamma?.div(&(variance? + BATCH_NORM_EPS)?.sqrt()?)?;
    let bias = (beta? - (mean? * &scale)?)?;
    Ok((weight.broadcast_mul(&scale)?.contiguous()?, bias))
}
