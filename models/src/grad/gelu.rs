//! GELU in its tanh form (Hendrycks and Gimpel 2016, <https://arxiv.org/abs/1606.08415>), transformers' `gelu_new`:
//! `y = x / 2 · (1 + tanh u)` with `u = √(2/π) · (x + 0.044715 · x³)`, which is `x · σ(2u)`.
//!
//! With `g` the gradient of `y` and `s = σ(2u)`: `dx = g · (s + x · s · (1 - s) · 2u′)`.

use std::f32::consts::FRAC_2_SQRT_PI;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use jnana_kernels::math::sigmoid;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{PIECE, has_kernels};
use crate::values::{Values, contiguous};

const NAME: &str = "gelu-tanh";

/// 2 · √(2/π).
const SLOPE: f32 = FRAC_2_SQRT_PI * std::f32::consts::SQRT_2;

const CUBIC: f32 = 0.044_715;

/// GELU of each element.
///
/// # Errors
/// When the device has no memory left.
pub(crate) fn gelu(x: &Tensor) -> Result<Tensor> {
    if has_kernels(x) { x.contiguous()?.apply_op1(Gelu) } else { x.gelu() }
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = contiguous(NAME, x, layout)?;
        let mut y = vec![0f32; x.len()];
        let pieces = y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE));
        pieces.for_each(|(y, x)| Arch::new().dispatch(Forward { x, y }));
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let (xs, gradients) = (Values::of(x), Values::of(&gradient));
        let values = xs.as_slice(NAME)?;
        let mut dx = vec![0f32; values.len()];
        let pieces = dx.par_chunks_mut(PIECE).zip(values.par_chunks(PIECE));
        pieces.zip(gradients.as_slice(NAME)?.par_chunks(PIECE)).for_each(|((dx, x), gradient)| {
            Arch::new().dispatch(Backward { x, gradient, dx });
        });
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}

struct Forward<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for (y, x) in self.y.iter_mut().zip(self.x) {
            *y = x * sigmoid(SLOPE * x * (1. + CUBIC * x * x));
        }
    }
}

struct Backward<'a> {
    x: &'a [f32],
    gradient: &'a [f32],
    dx: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for ((dx, x), g) in self.dx.iter_mut().zip(self.x).zip(self.gradient) {
            let square = x * x;
            let s = sigmoid(SLOPE * x * (1. + CUBIC * square));
            *dx = g * (s + x * s * (1. - s) * SLOPE * (1. + 3. * CUBIC * square));
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::grad::testing::{assert_same_gradients, normal};

    #[test]
    fn equals_the_composed_form() {
        for shape in [vec![1], vec![3, 7], vec![40, 1024]] {
            let x = Var::from_tensor(&normal(&shape, 3.)).unwrap();
            assert_same_gradients(&gelu(&x).unwrap(), &x.gelu().unwrap(), &[&x]);
        }
    }

    /// Far from zero the exponent's rounding counts most: 1e-6 of `x` is allowed, not of the result.
    #[test]
    fn is_close_to_exact() {
        let xs: Vec<f32> = (-200_000..200_000).map(|i| i as f32 * 5e-4).collect();
        let x = Var::from_vec(xs.clone(), xs.len(), &Device::Cpu).unwrap();
        let y = gelu(&x).unwrap();
        let dx = y.sum_all().unwrap().backward().unwrap().get(&x).unwrap().to_vec1::<f32>().unwrap();
        for ((x, y), dx) in xs.into_iter().map(f64::from).zip(y.to_vec1::<f32>().unwrap()).zip(dx) {
            let slope = (2. / std::f64::consts::PI).sqrt();
            let tanh = (slope * (x + 0.044_715 * x.powi(3))).tanh();
            let exact = 0.5 * x * (1. + tanh);
            assert!((f64::from(y) - exact).abs() <= 1e-6 * x.abs(), "gelu({x}) is {exact}, not {y}");
            let inner = slope * (1. + 3. * 0.044_715 * x * x);
            let exact = 0.5 * (1. + tanh) + 0.5 * x * (1. - tanh * tanh) * inner;
            assert!(
                (f64::from(dx) - exact).abs() <= 2e-6 * (1. + x.abs()),
                "slope at {x} is {exact}, not {dx}"
            );
        }
    }
}
