//! Layer normalisation (Ba et al. 2016, <https://arxiv.org/abs/1607.06450>): `y = x̂ · w + b` with
//! `x̂ = (x - mean(x)) · r` and `r = 1 / √(variance(x) + ε)`.
//!
//! With `g` the gradient of `y`: `dx = r · (g · w - mean(g · w) - x̂ · mean(g · w · x̂))`; over rows, `dw` is the sum of
//! `g · x̂` and `db` the sum of `g`.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use candle_nn::ops;
use jnana_kernels::math::{sum, sum_of};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{add_up, has_kernels, piece};
use crate::values::{Values, contiguous};

const NAME: &str = "layer-norm";

/// Normalises `x` (`[.., width]`), scales it by `weight` and adds `bias` (`[width]`); gradients go to those that track
/// them.
///
/// # Errors
/// When widths disagree.
pub(crate) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f32) -> Result<Tensor> {
    if has_kernels(x) {
        x.contiguous()?.apply_op3(weight, bias, LayerNorm { epsilon })
    } else {
        ops::layer_norm_slow(x, weight, bias, epsilon)
    }
}

struct LayerNorm {
    epsilon: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        NAME
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
        let x = contiguous(NAME, x, x_layout)?;
        let (weight, bias) = (contiguous(NAME, weight, weight_layout)?, contiguous(NAME, bias, bias_layout)?);
        let width = weight.len();
        if width == 0 || bias.len() != width || x_layout.dims().last() != Some(&width) {
            bail!("{NAME}: expected [.., {width}] and a bias as wide, got {x_layout:?} and {bias_layout:?}");
        }
        let mut y = vec![0f32; x.len()];
        let pieces = y.par_chunks_mut(piece(width)).zip(x.par_chunks(piece(width)));
        pieces.for_each(|(y, x)| {
            Arch::new().dispatch(Forward { x, weight, bias, epsilon: self.epsilon, y });
        });
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (xs, weights, gradients) = (Values::of(x), Values::of(weight), Values::of(&gradient));
        let (values, w, g) = (xs.as_slice(NAME)?, weights.as_slice(NAME)?, gradients.as_slice(NAME)?);
        let width = w.len();
        let wanted = weight.track_op() || bias.track_op();
        let mut dx = vec![0f32; values.len()];
        let pieces = dx.par_chunks_mut(piece(width)).zip(values.par_chunks(piece(width)));
        let parts = pieces.zip(g.par_chunks(piece(width))).map(|((dx, x), gradient)| {
            let width = if wanted { width } else { 0 };
            let mut parameters = vec![0f32; 2 * width];
            let (dw, db) = parameters.split_at_mut(width);
            Arch::new().dispatch(Backward { x, weight: w, gradient, epsilon: self.epsilon, dx, dw, db });
            parameters
        });
        let mut dw = add_up(parts.collect());
        let db = dw.split_off(dw.len() / 2);
        let dx = x.track_op().then(|| Tensor::from_vec(dx, x.shape(), x.device()));
        let dw = weight.track_op().then(|| Tensor::from_vec(dw, width, x.device()));
        let db = bias.track_op().then(|| Tensor::from_vec(db, width, x.device()));
        Ok((dx.transpose()?, dw.transpose()?, db.transpose()?))
    }
}

/// Mean and inverse deviation of a row.
#[inline(always)]
fn statistics(x: &[f32], epsilon: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = sum(x) / n;
    let variance = sum_of(x, x, |x, _| (x - mean) * (x - mean)) / n;
    (mean, 1. / (variance + epsilon).sqrt())
}

struct Forward<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
    y: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let width = self.weight.len();
        for (x, y) in self.x.chunks_exact(width).zip(self.y.chunks_exact_mut(width)) {
            let (mean, r) = statistics(x, self.epsilon);
            for (((y, x), w), b) in y.iter_mut().zip(x).zip(self.weight).zip(self.bias) {
                *y = (x - mean) * r * w + b;
            }
        }
    }
}

/// Some rows; empty `dw` and `db` are not wanted.
struct Backward<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    gradient: &'a [f32],
    epsilon: f32,
    dx: &'a mut [f32],
    dw: &'a mut [f32],
    db: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let width = self.weight.len();
        let rows = self.x.chunks_exact(width).zip(self.gradient.chunks_exact(width));
        for ((x, g), dx) in rows.zip(self.dx.chunks_exact_mut(width)) {
            let (mean, r) = statistics(x, self.epsilon);
            for ((dx, g), w) in dx.iter_mut().zip(g).zip(self.weight) {
                *dx = g * w;
            }
            let shift = sum(dx) / width as f32;
            let pull = sum_of(dx, x, |dx, x| dx * (x - mean)) / width as f32 * r * r;
            for (dx, x) in dx.iter_mut().zip(x) {
                *dx = (*dx - shift - (x - mean) * pull) * r;
            }
            for ((dw, g), x) in self.dw.iter_mut().zip(g).zip(x) {
                *dw += g * (x - mean) * r;
            }
            self.db.iter_mut().zip(g).for_each(|(db, g)| *db += g);
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
            let var = |shape: &[usize]| Var::from_tensor(&normal(shape, 1.)).unwrap();
            let (x, weight, bias) = (var(&[2, rows, width]), var(&[width]), var(&[width]));
            let shifted = (x.as_tensor() + 3.).unwrap();
            let ours = layer_norm(&shifted, &weight, &bias, 1e-5).unwrap();
            let composed = ops::layer_norm_slow(&shifted, &weight, &bias, 1e-5).unwrap();
            assert_same_gradients(&ours, &composed, &[&x, &weight, &bias]);
        }
    }

    #[test]
    fn frozen_weights_get_no_gradient() {
        let (x, weight, bias) =
            (Var::from_tensor(&normal(&[4, 8], 1.)).unwrap(), normal(&[8], 1.), normal(&[8], 1.));
        let y = layer_norm(&x, &weight, &bias, 1e-5).unwrap();
        let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        assert!(gradients.get(&x).is_some());
        assert!(gradients.get(&weight).is_none() && gradients.get(&bias).is_none());
    }

    #[test]
    fn other_widths_are_refused() {
        assert!(layer_norm(&normal(&[2, 8], 1.), &normal(&[8], 1.), &normal(&[4], 1.), 1e-5).is_err());
        assert!(layer_norm(&normal(&[2, 8], 1.), &normal(&[4], 1.), &normal(&[4], 1.), 1e-5).is_err());
    }
}
