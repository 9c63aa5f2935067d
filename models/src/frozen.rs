//! Products with weights that are not trained. Gradients go through to the rows, and none is computed for the weight:
//! candle's own matmul computes those of both sides, a whole product more.
//!
//! Weights in blocks or in NF4 become dense for the product only, and again in the backward pass, `∂L/∂x = ∂L/∂y · W`: on
//! the CPU in panels of some rows, elsewhere as a whole.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, DType, Layout, Result, Shape, Storage, Tensor, bail};
use jnana_kernels::{Matrix, add_product, product};

use crate::linear::Weight;
use crate::values::{Values, matrix};
use crate::weights::dequantize_rows;

/// Numbers of a panel that is dense for a moment: 16 MiB. Smaller ones would stay in the processor's cache, but each costs
/// the backward pass another walk over all rows of `x`, which is more.
const PANEL: usize = 1 << 22;

const NAME: &str = "frozen-product";

/// `x · Wᵀ` for rows `x` `[m, inputs]` and a frozen `W` `[outputs, inputs]`.
pub(crate) struct FrozenProduct {
    weight: Weight,
    panel: usize,
}

impl FrozenProduct {
    pub(crate) fn new(weight: Weight) -> Self {
        Self { weight, panel: PANEL }
    }

    /// True when products with f32 rows on the CPU are f32 throughout: [`forward`](Self::forward) and
    /// [`backward`](Self::backward) do them.
    pub(crate) fn is_f32(&self) -> bool {
        !matches!(&self.weight, Weight::Dense(weight) if weight.dtype() != DType::F32)
    }

    /// First row and number of rows of each panel.
    fn panels(&self) -> Result<impl Iterator<Item = (usize, usize)>> {
        let (outputs, inputs) = self.weight.dims()?;
        let height = match self.weight {
            Weight::Dense(_) => outputs.max(1),
            _ => (self.panel / inputs.max(1)).max(1),
        };
        Ok((0..outputs).step_by(height).map(move |start| (start, height.min(outputs - start))))
    }

    /// All of it on its own device, dense.
    fn dense(&self, dtype: DType) -> Result<Tensor> {
        match &self.weight {
            Weight::Dense(weight) => Ok(weight.clone()),
            Weight::Quantized(blocks) => blocks.dequantize(&blocks.device())?.to_dtype(dtype),
            Weight::Packed(matrix) => self.weight.panel(0, matrix.dims().0)?.to_dtype(dtype),
            Weight::Nf4(matrix) => matrix.to_dense(dtype),
        }
    }

    /// Some rows on the CPU, dense.
    fn dense_rows(&self, start: usize, rows: usize) -> Result<Tensor> {
        match &self.weight {
            Weight::Dense(weight) => weight.narrow(0, start, rows),
            Weight::Quantized(blocks) => dequantize_rows(blocks, start, rows),
            Weight::Packed(_) => self.weight.panel(start, rows),
            Weight::Nf4(matrix) => matrix.dense_rows(start, rows),
        }
    }

    /// `x · Wᵀ` of `m` rows in f32 on the CPU, `[m, outputs]`.
    pub(crate) fn forward(&self, x: Matrix<'_>, m: usize) -> Result<Vec<f32>> {
        let (outputs, _) = self.weight.dims()?;
        let mut y = Vec::new();
        for (start, rows) in self.panels()? {
            let panel = self.dense_rows(start, rows)?;
            let values = Values::of(&panel);
            let panel = values.as_matrix(NAME)?.transposed();
            if rows == outputs {
                return Ok(product(x, panel));
            }
            y.resize(m * outputs, 0.);
            add_product(x, panel, &mut y[start..], outputs);
        }
        Ok(y)
    }

    /// `∂L/∂y · W` of `m` rows in f32 on the CPU, `[m, inputs]`.
    pub(crate) fn backward(&self, gradient: &[f32], m: usize) -> Result<Vec<f32>> {
        let (outputs, inputs) = self.weight.dims()?;
        let mut dx = Vec::new();
        for (start, rows) in self.panels()? {
            let panel = self.dense_rows(start, rows)?;
            let values = Values::of(&panel);
            let panel = values.as_matrix(NAME)?;
            let part = Matrix::strided(&gradient[start..], (m, rows), (outputs, 1));
            if dx.is_empty() {
                dx = product(part, panel);
            } else {
                add_product(part, panel, &mut dx, inputs);
            }
        }
        Ok(dx)
    }
}

impl CustomOp1 for FrozenProduct {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((m, width), (outputs, inputs)) = (layout.shape().dims2()?, self.weight.dims()?);
        if width != inputs {
            bail!("{NAME}: rows [{m}, {width}] with a weight [{outputs}, {inputs}]");
        }
        let y = match (x, &self.weight) {
            (CpuStorage::F32(_), _) if self.is_f32() => {
                CpuStorage::F32(self.forward(matrix(NAME, x, layout)?, m)?)
            }
            (_, Weight::Dense(weight)) => {
                let (storage, weight_layout) = weight.storage_and_layout();
                let Storage::Cpu(weight) = &*storage else {
                    bail!("{NAME}: the rows are on the CPU, the weight is not");
                };
                multiply(x, layout, weight, weight_layout)?
            }
            _ => bail!("{NAME}: expected rows in f32, got {:?}", x.dtype()),
        };
        Ok((y, Shape::from((m, outputs))))
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        if let Weight::Quantized(blocks) = &self.weight {
            return blocks.cuda_fwd(x, layout);
        }
        let dense = self.dense(x.dtype())?;
        let (storage, dense_layout) = dense.storage_and_layout();
        let Storage::Cuda(weight) = &*storage else {
            bail!("{NAME}: the rows are on a GPU, the weight is not");
        };
        let shape = Shape::from((layout.shape().dims2()?.0, dense.dim(0)?));
        Ok((multiply(x, layout, weight, dense_layout)?, shape))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        if !gradient.device().is_cpu() || !self.is_f32() {
            return gradient.matmul(&self.dense(gradient.dtype())?).map(Some);
        }
        let values = Values::of(&gradient);
        let dx = self.backward(values.as_slice(NAME)?, x.dim(0)?)?;
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}

/// `x · wᵀ` of `[m, k]` and `[n, k]`; the backends themselves check no shapes.
fn multiply<S: BackendStorage>(x: &S, layout: &Layout, w: &S, w_layout: &Layout) -> Result<S> {
    let ((m, k), (n, width)) = (layout.shape().dims2()?, w_layout.shape().dims2()?);
    if k != width {
        bail!("{NAME}: rows [{m}, {k}] with a weight [{n}, {width}]");
    }
    x.matmul(w, (1, m, n, k), layout, &w_layout.transpose(0, 1)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::quantized::{GgmlDType, QTensor};
    use candle_core::{Device, Var};

    use super::*;
    use crate::nf4::Nf4Matrix;

    fn random(rows: usize, columns: usize) -> Tensor {
        Tensor::randn(0f32, 1., (rows, columns), &Device::Cpu).unwrap()
    }

    fn difference(a: &Tensor, b: &Tensor) -> f32 {
        assert_eq!(a.dims(), b.dims());
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    /// The product and the gradient of its squares' sum.
    fn forward_and_backward(x: &Var, y: &Tensor) -> (Tensor, Tensor) {
        let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        (y.clone(), gradients.get(x).unwrap().clone())
    }

    #[test]
    fn products_and_gradients_are_those_of_a_plain_matmul_with_the_dequantised_weight() {
        let (outputs, inputs) = (100, 64);
        let weight = random(outputs, inputs);
        let blocks = |dtype| {
            let blocks = QTensor::quantize(&weight, dtype).unwrap();
            (blocks.dequantize(&Device::Cpu).unwrap(), Weight::Quantized(Arc::new(blocks)))
        };
        let nf4 = Nf4Matrix::quantize(&weight, &Device::Cpu).unwrap();
        let weights = [
            (weight.clone(), Weight::Dense(weight.clone())),
            blocks(GgmlDType::Q4_0),
            blocks(GgmlDType::Q4_1),
            blocks(GgmlDType::Q8_0),
            (nf4.to_dense(DType::F32).unwrap(), Weight::Nf4(Arc::new(nf4))),
        ];
        for (dense, weight) in weights {
            for m in [1, 13] {
                let x = Var::from_tensor(&random(m, inputs)).unwrap();
                let plain = x.matmul(&dense.t().unwrap()).unwrap();
                let (want, want_gradient) = forward_and_backward(&x, &plain);
                // All rows in one panel, and 7 in each with a rest of 2.
                for panel in [PANEL, 7 * inputs + 3] {
                    let op = FrozenProduct { weight: weight.clone(), panel };
                    let (got, gradient) = forward_and_backward(&x, &x.apply_op1(op).unwrap());
                    assert!(difference(&got, &want) < 1e-4, "{weight:?} in panels of {panel}");
                    assert!(difference(&gradient, &want_gradient) < 1e-2, "{weight:?} in panels of {panel}");
                }
            }
        }
    }

    #[test]
    fn strided_rows_are_read_where_they_are() {
        let (weight, x) = (random(5, 6), random(6, 9));
        let rows = x.t().unwrap().narrow(0, 2, 4).unwrap();
        let got = rows.apply_op1_no_bwd(&FrozenProduct::new(Weight::Dense(weight.clone()))).unwrap();
        assert!(difference(&got, &rows.matmul(&weight.t().unwrap()).unwrap()) < 1e-5);
    }

    #[test]
    fn widths_that_disagree_are_refused() {
        let op = FrozenProduct::new(Weight::Dense(random(5, 6)));
        let error = random(3, 7).apply_op1_no_bwd(&op).unwrap_err().to_string();
        assert!(error.contains("[3, 7] with a weight [5, 6]"), "{error}");
    }
}
