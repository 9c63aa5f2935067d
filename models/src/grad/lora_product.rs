//! A frozen linear and its low-rank update as one operation, for training on the CPU in f32: composed of candle's, its
//! output and its input's gradient would be written and added up several times over.
//!
//! `y = x · Wᵀ + h · Bᵀ` with `h = s · x · Aᵀ`. With `g` the gradient of `y` and `u = s · g · B`: `dx = g · W + u · A`,
//! `dA = uᵀ · x`, `dB = gᵀ · h`.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use jnana_kernels::{Matrix, add_product, product};

use crate::frozen::FrozenProduct;
use crate::values::{Values, matrix};

const NAME: &str = "lora-product";

/// Gradients of rows, `A` and `B`.
type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

/// Of rows `x` `[m, inputs]`, `A` `[r, inputs]` and `B` `[outputs, r]`.
pub(crate) struct LoraProduct {
    base: FrozenProduct,
    /// `s`.
    scale: f32,
    /// `h`, `[m, r]`: a number for every tens of `x`, so it is kept.
    narrow: OnceLock<Vec<f32>>,
}

impl LoraProduct {
    pub(crate) fn new(base: FrozenProduct, scale: f64) -> Self {
        Self { base, scale: scale as f32, narrow: OnceLock::new() }
    }

    fn scaled(&self, a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
        let mut narrow = product(a, b);
        narrow.iter_mut().for_each(|number| *number *= self.scale);
        narrow
    }
}

impl CustomOp3 for LoraProduct {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((m, inputs), (r, width)) = (x_layout.shape().dims2()?, a_layout.shape().dims2()?);
        let (outputs, rank) = b_layout.shape().dims2()?;
        if inputs != width || r != rank {
            bail!("{NAME}: rows [{m}, {inputs}] with A [{r}, {width}] and B [{outputs}, {rank}]");
        }
        let (x, a, b) = (matrix(NAME, x, x_layout)?, matrix(NAME, a, a_layout)?, matrix(NAME, b, b_layout)?);
        let narrow = self.scaled(x, a.transposed());
        let mut y = self.base.forward(x, m)?;
        add_product(Matrix::new(&narrow, m, r), b.transposed(), &mut y, outputs);
        // An operation is applied once.
        let _ = self.narrow.set(narrow);
        Ok((CpuStorage::F32(y), Shape::from((m, outputs))))
    }

    fn bwd(&self, x: &Tensor, a: &Tensor, b: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Gradients> {
        let ((m, inputs), (outputs, r)) = (x.dims2()?, b.dims2()?);
        let gradient = gradient.contiguous()?;
        let (xs, down, up, gradients) = (Values::of(x), Values::of(a), Values::of(b), Values::of(&gradient));
        let g = Matrix::new(gradients.as_slice(NAME)?, m, outputs);
        let Some(narrow) = self.narrow.get() else { bail!("{NAME}: backward before forward") };
        let u = self.scaled(g, up.as_matrix(NAME)?);
        let u = Matrix::new(&u, m, r);
        let dx = x.track_op().then(|| {
            let mut dx = self.base.backward(gradients.as_slice(NAME)?, m)?;
            add_product(u, down.as_matrix(NAME)?, &mut dx, inputs);
            Tensor::from_vec(dx, (m, inputs), x.device())
        });
        let da = Tensor::from_vec(product(u.transposed(), xs.as_matrix(NAME)?), (r, inputs), x.device())?;
        let db = product(g.transposed(), Matrix::new(narrow, m, r));
        let db = Tensor::from_vec(db, (outputs, r), x.device())?;
        Ok((dx.transpose()?, Some(da), Some(db)))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::super::testing::{assert_same_gradients, normal};
    use super::*;
    use crate::linear::Weight;

    #[test]
    fn equals_the_composed_form() {
        for (m, inputs, outputs, r) in [(1, 8, 8, 1), (13, 64, 100, 4), (40, 96, 33, 16)] {
            let variable = |shape: [usize; 2]| Var::from_tensor(&normal(&shape, 1.)).unwrap();
            let weight = normal(&[outputs, inputs], 1.);
            let (x, a, b) = (variable([m, inputs]), variable([r, inputs]), variable([outputs, r]));
            let product = |x: &Tensor, w: &Tensor| x.matmul(&w.t().unwrap()).unwrap();
            let update = (product(&product(&x, &a), &b) * 0.5).unwrap();
            let composed = (product(&x, &weight) + update).unwrap();
            let op = LoraProduct::new(FrozenProduct::new(Weight::Dense(weight)), 0.5);
            let ours = x.apply_op3(&a, &b, op).unwrap();
            assert_same_gradients(&ours, &composed, &[&x, &a, &b]);
        }
    }

    #[test]
    fn rows_without_gradient_get_none() {
        let (x, a, b) = (normal(&[3, 8], 1.), normal(&[2, 8], 1.), normal(&[5, 2], 1.));
        let (a, b) = (Var::from_tensor(&a).unwrap(), Var::from_tensor(&b).unwrap());
        let base = FrozenProduct::new(Weight::Dense(normal(&[5, 8], 1.)));
        let y = x.apply_op3(&a, &b, LoraProduct::new(base, 1.)).unwrap();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        assert!(gradients.get(&x).is_none() && gradients.get(&a).is_some() && gradients.get(&b).is_some());
    }

    #[test]
    fn other_ranks_are_refused() {
        let base = FrozenProduct::new(Weight::Dense(normal(&[5, 8], 1.)));
        let (x, a, b) = (normal(&[3, 8], 1.), normal(&[2, 8], 1.), normal(&[5, 3], 1.));
        let error = x.apply_op3(&a, &b, LoraProduct::new(base, 1.)).unwrap_err().to_string();
        assert!(error.contains("A [2, 8] and B [5, 3]"), "{error}");
    }
}
