//! EfficientNet-Lite0 up to its last feature map (Tan & Le 2019, arXiv 1905.11946, and the "Lite" variant of TensorFlow's
//! `tpu/models/official/efficientnet/lite`): no squeeze-and-excite, ReLU6, fixed stem and head.
//!
//! Activations are `[B, H, W, C]` f32 on the CPU; pointwise convolutions are matrix products; BatchNorm is folded into the
//! convolution before it, bias, ReLU6 and the residual into the kernel that runs it. Tensor names are those of the
//! `efficientnet_lite_pytorch` checkpoints.

use candle_core::{Device, Result, Tensor, bail};
use candle_nn::VarBuilder;
use jnana_kernels::convolution::{self, Grid, Kernel, patches};
use jnana_kernels::{Activation, DenseMatrix};

use crate::values::Values;

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

const CHANNELS: usize = 3;
const STEM: Kernel = Kernel { size: 3, stride: 2 };
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

/// Some pictures' activations, channels innermost.
struct Map {
    grid: Grid,
    values: Vec<f32>,
}

/// 1 × 1, from `[outputs, inputs, 1, 1]`.
fn pointwise(
    vb: &VarBuilder<'_>,
    [conv, norm]: [&str; 2],
    (inputs, outputs): (usize, usize),
    activation: Activation,
) -> Result<DenseMatrix> {
    let weight = vb.get((outputs, inputs, 1, 1), &format!("{conv}.weight"))?;
    let (weight, bias) = fold(&weight, &vb.pp(norm))?;
    Ok(DenseMatrix::new(&weight, &bias, activation))
}

/// k × k for each channel on its own, then ReLU6.
fn depthwise(vb: &VarBuilder<'_>, width: usize, kernel: Kernel) -> Result<convolution::Depthwise> {
    let weight = vb.get((width, 1, kernel.size, kernel.size), "_depthwise_conv.weight")?;
    let (weight, bias) = fold(&weight, &vb.pp("_bn1"))?;
    Ok(convolution::Depthwise::new(&weight, &bias, kernel, Activation::Relu6))
}

/// Inverted residual block: widen, filter, narrow.
#[derive(Debug)]
struct Block {
    expand: Option<DenseMatrix>,
    depthwise: convolution::Depthwise,
    project: DenseMatrix,
    residual: bool,
}

impl Block {
    fn load(vb: &VarBuilder<'_>, inputs: usize, stride: usize, stage: &Stage) -> Result<Self> {
        let inner = inputs * stage.expand;
        let expand = ["_expand_conv", "_bn0"];
        let project = ["_project_conv", "_bn2"];
        Ok(Self {
            expand: (stage.expand != 1)
                .then(|| pointwise(vb, expand, (inputs, inner), Activation::Relu6))
                .transpose()?,
            depthwise: depthwise(vb, inner, Kernel { size: stage.kernel, stride })?,
            project: pointwise(vb, project, (inner, stage.width), Activation::Identity)?,
            residual: stride == 1 && inputs == stage.width,
        })
    }

    fn forward(&self, x: &Map) -> Map {
        let wide = self.expand.as_ref().map(|expand| expand.product(&x.values, None));
        let filtered = self.depthwise.run(wide.as_ref().unwrap_or(&x.values), x.grid);
        let residual = self.residual.then_some(&x.values[..]);
        Map { grid: x.grid.after(self.depthwise.kernel()), values: self.project.product(&filtered, residual) }
    }
}

/// EfficientNet-Lite0 without its classifier.
#[derive(Debug)]
pub struct EfficientNetLite0 {
    stem: DenseMatrix,
    blocks: Vec<Block>,
    head: DenseMatrix,
}

impl EfficientNetLite0 {
    /// Takes the weights from `vb` (f32, CPU) and folds the BatchNorms.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(vb: &VarBuilder<'_>) -> Result<Self> {
        let stem = vb.get((STEM_WIDTH, CHANNELS, STEM.size, STEM.size), "_conv_stem.weight")?;
        // The order of `patches`: rows, columns, channels.
        let (stem, bias) = fold(&stem.permute((0, 2, 3, 1))?, &vb.pp("_bn0"))?;
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
            stem: DenseMatrix::new(&stem, &bias, Activation::Relu6),
            blocks,
            head: pointwise(vb, ["_conv_head", "_bn1"], (TRUNK_WIDTH, HEAD_WIDTH), Activation::Relu6)?,
        })
    }

    /// Normalised pixels `[B, 3, 224, 224]` (f32, CPU) → `[B, 49, 320 or 1280]`, positions row by row.
    ///
    /// # Errors
    /// When the shape is another.
    pub fn features(&self, pixels: &Tensor, map: FeatureMap) -> Result<Tensor> {
        let (images, channels, height, width) = pixels.dims4()?;
        if channels != CHANNELS {
            bail!("efficientnet: expected pixels [B, {CHANNELS}, H, W], got {:?}", pixels.dims());
        }
        let grid = Grid { images, height, width };
        let pixels = pixels.contiguous()?;
        let stem = patches(Values::of(&pixels).as_slice("efficientnet")?, grid, CHANNELS, STEM);
        let mut x = Map { grid: grid.after(STEM), values: self.stem.product(&stem, None) };
        for block in &self.blocks {
            x = block.forward(&x);
        }
        if map == FeatureMap::Head {
            x.values = self.head.product(&x.values, None);
        }
        Tensor::from_vec(x.values, (images, x.grid.height * x.grid.width, map.width()), &Device::Cpu)
    }
}

/// Folds a BatchNorm into the convolution before it: `weight` `[outputs, ..]` times γ/√(σ² + ε), bias β − μγ/√(σ² + ε).
fn fold(weight: &Tensor, norm: &VarBuilder<'_>) -> Result<(Vec<f32>, Vec<f32>)> {
    let outputs = weight.dim(0)?;
    let [gamma, beta, mean, variance] =
        ["weight", "bias", "running_mean", "running_var"].map(|name| norm.get(outputs, name));
    let scale = gamma?.div(&(variance? + BATCH_NORM_EPS)?.sqrt()?)?;
    let bias = (beta? - (mean? * &scale)?)?;
    let weight = weight.flatten_from(1)?.broadcast_mul(&scale.unsqueeze(1)?)?;
    Ok((weight.flatten_all()?.to_vec1()?, bias.to_vec1()?))
}
