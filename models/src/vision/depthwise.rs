//! The convolution ops of EfficientNet that candle has no fast form of, for the CPU, channels last.
//!
//! candle runs a grouped `conv2d` as one convolution per group; a depthwise layer has hundreds of groups. Here a depthwise
//! convolution is what it is: for each tap of the kernel a multiply-add over a row of channels, which are contiguous.

use candle_core::{CpuStorage, CustomOp1, CustomOp3, InplaceOp2, Layout, Result, Shape, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::values::contiguous;

/// TensorFlow's "SAME" padding along one axis: `ceil(size / stride)` outputs; of an odd padding the larger half comes
/// after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamePadding {
    /// Outputs.
    pub outputs: usize,
    /// Zeros before the first input.
    pub before: usize,
}

impl SamePadding {
    /// For `size` inputs, a kernel of `kernel` taps and a stride.
    #[must_use]
    pub fn new(size: usize, kernel: usize, stride: usize) -> Self {
        let outputs = size.div_ceil(stride);
        let total = (outputs.saturating_sub(1) * stride + kernel).saturating_sub(size);
        Self { outputs, before: total / 2 }
    }

    /// The taps of output `o` that meet an input, and the input that the first of them meets.
    fn taps(self, o: usize, size: usize, kernel: usize, stride: usize) -> (std::ops::Range<usize>, usize) {
        let start = o * stride;
        let first = self.before.saturating_sub(start).min(kernel);
        let last = (size + self.before).saturating_sub(start).min(kernel);
        (first..last.max(first), (start + first).saturating_sub(self.before))
    }
}

/// Depthwise convolution with bias and ReLU6 in one pass: `x` `[B, H, W, C]`, `weight` `[kernel², C]`, `bias` `[C]` →
/// `[B, ceil(H / stride), ceil(W / stride), C]`, SAME padding. f32 on the CPU, no gradient.
///
/// # Errors
/// When shapes, element type or device are others.
pub fn depthwise_relu6(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    kernel: usize,
    stride: usize,
) -> Result<Tensor> {
    x.contiguous()?.apply_op3_no_bwd(weight, bias, &DepthwiseRelu6 { kernel, stride })
}

/// `x + bias` in place, `[.., C]` and `[C]`, held within 0..6 if `relu6`. f32 on the CPU, no gradient.
///
/// # Errors
/// When shapes, element type or device are others.
pub(super) fn add_bias(x: &Tensor, bias: &Tensor, relu6: bool) -> Result<()> {
    x.inplace_op2(bias, &AddBias { relu6 })
}

/// The patches that a square kernel with SAME padding sees, a row each: `x` `[B, C, H, W]` → `[B, H', W', kernel² × C]`,
/// taps row by row, the channel innermost. f32 on the CPU, no gradient.
///
/// # Errors
/// When shapes, element type or device are others.
pub(super) fn patches(x: &Tensor, kernel: usize, stride: usize) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&Patches { kernel, stride })
}

struct DepthwiseRelu6 {
    kernel: usize,
    stride: usize,
}

impl CustomOp3 for DepthwiseRelu6 {
    fn name(&self) -> &'static str {
        "depthwise-relu6"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, height, width, channels) = x_layout.shape().dims4()?;
        let Self { kernel, stride } = *self;
        if weight_layout.dims() != [kernel * kernel, channels]
            || bias_layout.dims() != [channels]
            || stride == 0
        {
            bail!(
                "{}: expected weight {:?} and bias {:?}, got {:?} and {:?} (stride {stride})",
                self.name(),
                [kernel * kernel, channels],
                [channels],
                weight_layout.dims(),
                bias_layout.dims()
            );
        }
        let rows = SamePadding::new(height, kernel, stride);
        let columns = SamePadding::new(width, kernel, stride);
        let x = contiguous(self.name(), x, x_layout)?;
        let weight = contiguous(self.name(), weight, weight_layout)?;
        let bias = contiguous(self.name(), bias, bias_layout)?;

        let mut out = vec![0f32; batch * rows.outputs * columns.outputs * channels];
        let out_row = (columns.outputs * channels).max(1);
        out.par_chunks_mut(out_row).enumerate().for_each(|(row, out)| {
            let (image, row) = (row / rows.outputs, row % rows.outputs);
            let (taps_y, y) = rows.taps(row, height, kernel, stride);
            let x = &x[image * height * width * channels..][..height * width * channels];
            let row =
                DepthwiseRow { x, weight, bias, out, channels, width, kernel, stride, columns, taps_y, y };
            Arch::new().dispatch(row);
        });
        Ok((CpuStorage::F32(out), (batch, rows.outputs, columns.outputs, channels).into()))
    }
}

/// One output row of one picture.
struct DepthwiseRow<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
    channels: usize,
    width: usize,
    kernel: usize,
    stride: usize,
    columns: SamePadding,
    taps_y: std::ops::Range<usize>,
    y: usize,
}

impl WithSimd for DepthwiseRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, weight, bias, out, channels, width, kernel, stride, columns, taps_y, y } = self;
        for (column, out) in out.chunks_exact_mut(channels).enumerate() {
            let (taps_x, left) = columns.taps(column, width, kernel, stride);
            out.copy_from_slice(bias);
            for (dy, tap_y) in taps_y.clone().enumerate() {
                let inputs = &x[((y + dy) * width + left) * channels..][..taps_x.len() * channels];
                let weights =
                    &weight[(tap_y * kernel + taps_x.start) * channels..][..taps_x.len() * channels];
                multiply_add(simd, out, inputs, weights);
            }
            relu6(simd, out);
        }
    }
}

/// `out += Σ inputs × weights` over the taps of a kernel row, each `out.len()` long.
#[inline(always)]
fn multiply_add<S: Simd>(simd: S, out: &mut [f32], inputs: &[f32], weights: &[f32]) {
    let channels = out.len();
    for (x, w) in inputs.chunks_exact(channels).zip(weights.chunks_exact(channels)) {
        let (out, out_tail) = S::as_mut_simd_f32s(out);
        let (x, x_tail) = S::as_simd_f32s(x);
        let (w, w_tail) = S::as_simd_f32s(w);
        for ((out, &x), &w) in out.iter_mut().zip(x).zip(w) {
            *out = simd.mul_add_e_f32s(x, w, *out);
        }
        for ((out, &x), &w) in out_tail.iter_mut().zip(x_tail).zip(w_tail) {
            *out += x * w;
        }
    }
}

#[inline(always)]
fn relu6<S: Simd>(simd: S, values: &mut [f32]) {
    let (low, high) = (simd.splat_f32s(0.0), simd.splat_f32s(6.0));
    let (values, tail) = S::as_mut_simd_f32s(values);
    for v in values {
        *v = simd.min_f32s(simd.max_f32s(*v, low), high);
    }
    for v in tail {
        *v = v.clamp(0.0, 6.0);
    }
}

struct AddBias {
    relu6: bool,
}

impl InplaceOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<()> {
        let bias = contiguous(self.name(), bias, bias_layout)?;
        if x_layout.dims().last() != Some(&bias.len()) || bias.is_empty() {
            bail!("{}: expected [.., {}], got {:?}", self.name(), bias.len(), x_layout.dims());
        }
        let (CpuStorage::F32(x), Some((start, end))) = (x, x_layout.contiguous_offsets()) else {
            bail!("{}: expected contiguous f32 values", self.name());
        };
        // Pieces of about 64 KiB: small enough for a core's cache, large enough to be worth a task.
        let piece = (16 * 1024 / bias.len()).max(1) * bias.len();
        x[start..end].par_chunks_mut(piece).for_each(|x| {
            Arch::new().dispatch(BiasRows { x, bias, clamp: self.relu6 });
        });
        Ok(())
    }
}

struct BiasRows<'a> {
    x: &'a mut [f32],
    bias: &'a [f32],
    clamp: bool,
}

impl WithSimd for BiasRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (bias, bias_tail) = S::as_simd_f32s(self.bias);
        for row in self.x.chunks_exact_mut(self.bias.len()) {
            let (values, tail) = S::as_mut_simd_f32s(row);
            for (v, &b) in values.iter_mut().zip(bias) {
                *v = simd.add_f32s(*v, b);
            }
            for (v, &b) in tail.iter_mut().zip(bias_tail) {
                *v += b;
            }
            if self.clamp {
                relu6(simd, row);
            }
        }
    }
}

struct Patches {
    kernel: usize,
    stride: usize,
}

impl CustomOp1 for Patches {
    fn name(&self) -> &'static str {
        "patches"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, height, width) = layout.shape().dims4()?;
        let Self { kernel, stride } = *self;
        if stride == 0 {
            bail!("{}: expected a stride above 0", self.name());
        }
        let x = contiguous(self.name(), x, layout)?;
        let rows = SamePadding::new(height, kernel, stride);
        let columns = SamePadding::new(width, kernel, stride);
        let patch = kernel * kernel * channels;
        let mut out = vec![0f32; batch * rows.outputs * columns.outputs * patch];
        out.par_chunks_mut((columns.outputs * patch).max(1)).enumerate().for_each(|(row, out)| {
            let (image, row) = (row / rows.outputs, row % rows.outputs);
            let x = &x[image * channels * height * width..][..channels * height * width];
            let (taps_y, y) = rows.taps(row, height, kernel, stride);
            for (column, out) in out.chunks_exact_mut(patch).enumerate() {
                let (taps_x, left) = columns.taps(column, width, kernel, stride);
                for (dy, tap_y) in taps_y.clone().enumerate() {
                    for (dx, tap_x) in taps_x.clone().enumerate() {
                        let out = &mut out[(tap_y * kernel + tap_x) * channels..][..channels];
                        for (c, out) in out.iter_mut().enumerate() {
                            *out = x[(c * height + y + dy) * width + left + dx];
                        }
                    }
                }
            }
        });
        let shape = (batch, rows.outputs, columns.outputs, patch);
        Ok((CpuStorage::F32(out), shape.into()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// The same through candle's grouped convolution, with explicit padding.
    fn reference(x: &Tensor, weight: &Tensor, bias: &Tensor, kernel: usize, stride: usize) -> Tensor {
        let (_, height, width, channels) = x.dims4().unwrap();
        let pad = |x: Tensor, axis: usize, size: usize| {
            let same = SamePadding::new(size, kernel, stride);
            let after = ((same.outputs - 1) * stride + kernel).saturating_sub(size + same.before);
            x.pad_with_zeros(axis, same.before, after).unwrap()
        };
        let x = pad(pad(x.permute((0, 3, 1, 2)).unwrap(), 2, height), 3, width);
        let weight = weight.t().unwrap().reshape((channels, 1, kernel, kernel)).unwrap();
        let y = x.conv2d(&weight, 0, stride, 1, channels).unwrap();
        let y = y.broadcast_add(&bias.reshape((1, channels, 1, 1)).unwrap()).unwrap();
        y.clamp(0f32, 6f32).unwrap().permute((0, 2, 3, 1)).unwrap()
    }

    fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn depthwise_equals_grouped_conv2d() {
        let cpu = Device::Cpu;
        for kernel in [3, 5] {
            for stride in [1, 2] {
                // Odd and even sizes, channels that fill vectors and that leave a rest, and a picture of one pixel.
                for (height, width, channels) in [(14, 9, 40), (7, 12, 13), (1, 1, 3)] {
                    let x = Tensor::randn(0f32, 2.0, (2, height, width, channels), &cpu).unwrap();
                    let weight = Tensor::randn(0f32, 1.0, (kernel * kernel, channels), &cpu).unwrap();
                    let bias = Tensor::randn(0f32, 1.0, channels, &cpu).unwrap();
                    let y = depthwise_relu6(&x, &weight, &bias, kernel, stride).unwrap();
                    let expected = reference(&x, &weight, &bias, kernel, stride);
                    assert_eq!(y.dims(), expected.dims());
                    let difference = largest_difference(&y, &expected);
                    assert!(
                        difference < 1e-5,
                        "k {kernel} s {stride} {height}×{width}×{channels}: {difference}"
                    );
                }
            }
        }
    }

    #[test]
    fn patches_times_weights_equal_conv2d() {
        let cpu = Device::Cpu;
        // Even size, stride 2: SAME pads one zero, after the picture.
        let x = Tensor::randn(0f32, 1.0, (2, 3, 10, 8), &cpu).unwrap();
        let weight = Tensor::randn(0f32, 1.0, (4, 3, 3, 3), &cpu).unwrap();
        let padded = x.pad_with_zeros(2, 0, 1).unwrap().pad_with_zeros(3, 0, 1).unwrap();
        let expected = padded.conv2d(&weight, 0, 2, 1, 1).unwrap().permute((0, 2, 3, 1)).unwrap();
        let rows = patches(&x, 3, 2).unwrap().reshape((2 * 5 * 4, 27)).unwrap();
        let weight = weight.permute((2, 3, 1, 0)).unwrap().reshape((27, 4)).unwrap();
        let y = rows.matmul(&weight).unwrap().reshape((2, 5, 4, 4)).unwrap();
        assert!(largest_difference(&y, &expected) < 1e-5);
    }

    #[test]
    fn bias_is_added_and_clamped() {
        let x = Tensor::from_vec(vec![-3f32, 1.0, 5.0, 2.0], (2, 2), &Device::Cpu).unwrap();
        let bias = Tensor::from_vec(vec![1f32, 4.5], 2, &Device::Cpu).unwrap();
        add_bias(&x, &bias, false).unwrap();
        assert_eq!(x.to_vec2::<f32>().unwrap(), [[-2.0, 5.5], [6.0, 6.5]]);
        add_bias(&x, &bias, true).unwrap();
        assert_eq!(x.to_vec2::<f32>().unwrap(), [[0.0, 6.0], [6.0, 6.0]]);
    }

    #[test]
    fn wrong_shapes_are_errors() {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(depthwise_relu6(&zeros(&[1, 4, 4, 8]), &zeros(&[9, 4]), &zeros(&[8]), 3, 1).is_err());
        assert!(add_bias(&zeros(&[2, 3]), &zeros(&[4]), true).is_err());
    }
}
