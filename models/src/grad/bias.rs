//! What a linear layer adds: `y = x + b`, `b` the same for each row. candle's broadcasting addition would give a frozen
//! bias a gradient of the batch's size, and keep it until the end of the backward pass.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{add_up, has_kernels, piece};
use crate::values::{Values, contiguous};

const NAME: &str = "add-bias";

/// Adds `bias` (`[width]`) to each row of `x` (`[.., width]`); gradients go to those that track them.
///
/// # Errors
/// When widths disagree.
pub(crate) fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if has_kernels(x) { x.contiguous()?.apply_op2(bias, AddBias) } else { x.broadcast_add(bias) }
}

struct AddBias;

impl CustomOp2 for AddBias {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, bias) = (contiguous(NAME, x, x_layout)?, contiguous(NAME, bias, bias_layout)?);
        let width = bias.len();
        if width == 0 || x_layout.dims().last() != Some(&width) {
            bail!("{NAME}: expected [.., {width}], got {:?}", x_layout.dims());
        }
        let mut y = vec![0f32; x.len()];
        let pieces = y.par_chunks_mut(piece(width)).zip(x.par_chunks(piece(width)));
        pieces.for_each(|(y, x)| {
            for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                y.iter_mut().zip(x).zip(bias).for_each(|((y, x), b)| *y = x + b);
            }
        });
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dx = x.track_op().then(|| gradient.clone());
        let db = bias.track_op().then(|| sum_of_rows(gradient, bias.elem_count()));
        Ok((dx, db.transpose()?))
    }
}

/// `[.., width]` to `[width]`.
fn sum_of_rows(x: &Tensor, width: usize) -> Result<Tensor> {
    let x = x.contiguous()?;
    let values = Values::of(&x);
    let parts = values.as_slice(NAME)?.par_chunks(piece(width)).map(|rows| {
        let mut total = vec![0f32; width];
        for row in rows.chunks_exact(width) {
            total.iter_mut().zip(row).for_each(|(total, value)| *total += value);
        }
        total
    });
    Tensor::from_vec(add_up(parts.collect()), width, x.device())
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::grad::testing::{assert_same_gradients, normal};

    #[test]
    fn equals_the_composed_form() {
        for (rows, width) in [(1, 1), (5, 7), (90, 576)] {
            let x = Var::from_tensor(&normal(&[2, rows, width], 1.)).unwrap();
            let bias = Var::from_tensor(&normal(&[width], 1.)).unwrap();
            let composed = x.broadcast_add(&bias).unwrap();
            assert_same_gradients(&add_bias(&x, &bias).unwrap(), &composed, &[&x, &bias]);
        }
    }

    #[test]
    fn a_frozen_bias_gets_no_gradient() {
        let (x, bias) = (Var::from_tensor(&normal(&[4, 8], 1.)).unwrap(), normal(&[8], 1.));
        let gradients = add_bias(&x, &bias).unwrap().sum_all().unwrap().backward().unwrap();
        assert!(gradients.get(&x).is_some() && gradients.get(&bias).is_none());
        assert!(add_bias(&x, &normal(&[4], 1.)).is_err());
    }
}
