//! What is inside Llama's MLP (Shazeer 2020, <https://arxiv.org/abs/2002.05202>): `y = silu(gate) · up` with
//! `silu(x) = x · σ(x)`.
//!
//! With `g` the gradient of `y` and `s = σ(gate)`: `dgate = g · up · s · (1 + gate · (1 - s))`, `dup = g · gate · s`.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use candle_nn::ops;
use jnana_kernels::math::sigmoid;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{PIECE, has_kernels};
use crate::values::{Values, contiguous};

const NAME: &str = "swiglu";

/// `silu(gate) · up`, element by element.
///
/// # Errors
/// When shapes disagree.
pub(crate) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if has_kernels(gate) {
        gate.contiguous()?.apply_op2(&up.contiguous()?, SwiGlu)
    } else {
        ops::silu(gate)? * up
    }
}

struct SwiGlu;

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        if gate_layout.shape() != up_layout.shape() {
            bail!("{NAME}: gate {:?} and up {:?} differ", gate_layout.shape(), up_layout.shape());
        }
        let (gate, up) = (contiguous(NAME, gate, gate_layout)?, contiguous(NAME, up, up_layout)?);
        let mut y = vec![0f32; gate.len()];
        let pieces = y.par_chunks_mut(PIECE).zip(gate.par_chunks(PIECE)).zip(up.par_chunks(PIECE));
        pieces.for_each(|((y, gate), up)| Arch::new().dispatch(Forward { gate, up, y }));
        Ok((CpuStorage::F32(y), gate_layout.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (gates, ups, gradients) = (Values::of(gate), Values::of(up), Values::of(&gradient));
        let (gate_values, up_values) = (gates.as_slice(NAME)?, ups.as_slice(NAME)?);
        let mut dgate = vec![0f32; gate_values.len()];
        let mut dup = vec![0f32; gate_values.len()];
        let arguments = gate_values.par_chunks(PIECE).zip(up_values.par_chunks(PIECE));
        let pieces = arguments.zip(gradients.as_slice(NAME)?.par_chunks(PIECE));
        let results = dgate.par_chunks_mut(PIECE).zip(dup.par_chunks_mut(PIECE));
        pieces.zip(results).for_each(|(((gate, up), gradient), (dgate, dup))| {
            Arch::new().dispatch(Backward { gate, up, gradient, dgate, dup });
        });
        let like = |values: Vec<f32>| Tensor::from_vec(values, gate.shape(), gate.device());
        Ok((Some(like(dgate)?), Some(like(dup)?)))
    }
}

struct Forward<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for ((y, gate), up) in self.y.iter_mut().zip(self.gate).zip(self.up) {
            *y = gate * sigmoid(*gate) * up;
        }
    }
}

struct Backward<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    gradient: &'a [f32],
    dgate: &'a mut [f32],
    dup: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let arguments = self.gate.iter().zip(self.up).zip(self.gradient);
        for (((gate, up), g), (dgate, dup)) in arguments.zip(self.dgate.iter_mut().zip(self.dup)) {
            let s = sigmoid(*gate);
            *dgate = g * up * s * (1. + gate * (1. - s));
            *dup = g * gate * s;
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
        for shape in [vec![1], vec![3, 7], vec![40, 1536]] {
            let gate = Var::from_tensor(&normal(&shape, 5.)).unwrap();
            let up = Var::from_tensor(&normal(&shape, 1.)).unwrap();
            let composed = (ops::silu(&gate).unwrap() * up.as_tensor()).unwrap();
            assert_same_gradients(&swiglu(&gate, &up).unwrap(), &composed, &[&gate, &up]);
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        assert!(swiglu(&normal(&[2, 8], 1.), &normal(&[8, 2], 1.)).is_err());
    }
}
