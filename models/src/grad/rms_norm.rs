//! Root-mean-square normalisation (Zhang and Sennrich 2019, <https://arxiv.org/abs/1910.07467>):
//! `y = x · r · w` with `r = 1 / √(mean(x²) + ε)`.
//!
//! With `g` the gradient of `y`: `dx = r · g · w - x · r³ · mean(g · w · x)`, and `dw` is the sum of `g · x · r` over rows.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use candle_nn::ops;
use jnana_kernels::math::dot;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{add_up, has_kernels, piece};
use crate::values::{Values, contiguous};

const NAME: &str = "rms-norm";

/// Normalises `x` (`[.., width]`) and scales it by `weight` (`[width]`); gradients go to those that track them.
///
/// # Errors
/// When widths disagree.
pub(crate) fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: f32) -> Result<Tensor> {
    if has_kernels(x) {
        x.contiguous()?.apply_op2(weight, RmsNorm { epsilon })
    } else {
        ops::rms_norm_slow(x, weight, epsilon)
    }
}

struct RmsNorm {
    epsilon: f32,
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = (contiguous(NAME, x, x_layout)?, contiguous(NAME, weight, weight_layout)?);
        let width = weight.len();
        if width == 0 || x_layout.dims().last() != Some(&width) {
            bail!("{NAME}: expected [.., {width}], got {:?}", x_layout.dims());
        }
        let mut y = vec![0f32; x.len()];
        let pieces = y.par_chunks_mut(piece(width)).zip(x.par_chunks(piece(width)));
        pieces.for_each(|(y, x)| Arch::new().dispatch(Forward { x, weight, epsilon: self.epsilon, y }));
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (xs, weights, gradients) = (Values::of(x), Values::of(weight), Values::of(&gradient));
        let (values, w, g) = (xs.as_slice(NAME)?, weights.as_slice(NAME)?, gradients.as_slice(NAME)?);
        let width = w.len();
        let mut dx = vec![0f32; values.len()];
        let pieces = dx.par_chunks_mut(piece(width)).zip(values.par_chunks(piece(width)));
        let parts = pieces.zip(g.par_chunks(piece(width))).map(|((dx, x), gradient)| {
            let mut dw = if weight.track_op() { vec![0f32; width] } else { Vec::new() };
            let epsilon = self.epsilon;
            Arch::new().dispatch(Backward { x, weight: w, gradient, epsilon, dx, dw: &mut dw });
            dw
        });
        let dw = add_up(parts.collect());
        let dx = x.track_op().then(|| Tensor::from_vec(dx, x.shape(), x.device()));
        let dw = weight.track_op().then(|| Tensor::from_vec(dw, width, x.device()));
        Ok((dx.transpose()?, dw.transpose()?))
    }
}

#[inline(always)]
fn inverse_rms(x: &[f32], epsilon: f32) -> f32 {
    1. / (dot(x, x) / x.len() as f32 + epsilon).sqrt()
}

struct Forward<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
    y: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let width = self.weight.len();
        for (x, y) in self.x.chunks_exact(width).zip(self.y.chunks_exact_mut(width)) {
            let r = inverse_rms(x, self.epsilon);
            for ((y, x), w) in y.iter_mut().zip(x).zip(self.weight) {
                *y = x * r * w;
            }
        }
    }
}

/// Some rows; an empty `dw` is not wanted.
struct Backward<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    gradient: &'a [f32],
    epsilon: f32,
    dx: &'a mut [f32],
    dw: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let width = self.weight.len();
        let rows = self.x.chunks_exact(width).zip(self.gradient.chunks_exact(width));
        for ((x, g), dx) in rows.zip(self.dx.chunks_exact_mut(width)) {
            let r = inverse_rms(x, self.epsilon);
            for ((dx, g), w) in dx.iter_mut().zip(g).zip(self.weight) {
                *dx = g * w;
            }
            let pull = dot(dx, x) / width as f32 * r * r * r;
            for (dx, x) in dx.iter_mut().zip(x) {
                *dx = *dx * r - x * pull;
            }
            for ((dw, g), x) in self.dw.iter_mut().zip(g).zip(x) {
                *dw += g * x * r;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::grad::testing::{assert_same_gradients, normal};

    #[test]
    fn equals_the_composed_form() {
        for (rows, width) in [(1, 5), (1, 8), (3, 33), (70, 576)] {
            let x = Var::from_tensor(&normal(&[2, rows, width], 2.)).unwrap();
            let weight = Var::from_tensor(&normal(&[width], 1.)).unwrap();
            let ours = rms_norm(&x, &weight, 1e-5).unwrap();
            let composed = ops::rms_norm_slow(&x, &weight, 1e-5).unwrap();
            assert_same_gradients(&ours, &composed, &[&x, &weight]);
        }
    }

    #[test]
    fn frozen_weights_get_no_gradient() {
        let (x, weight) = (Var::from_tensor(&normal(&[4, 8], 1.)).unwrap(), normal(&[8], 1.));
        let gradients = rms_norm(&x, &weight, 1e-5).unwrap().sum_all().unwrap().backward().unwrap();
        assert!(gradients.get(&x).is_some() && gradients.get(&weight).is_none());
    }

    #[test]
    fn other_widths_are_refused() {
        let message = rms_norm(&normal(&[2, 8], 1.), &normal(&[4], 1.), 1e-5).unwrap_err().to_string();
        assert!(message.contains("expected [.., 4], got [2, 8]"), "{message}");
    }
}
