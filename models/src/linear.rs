//! One linear layer, whatever its weight is made of.

use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor};

use crate::block_product::BlockProduct;
use crate::ops::Mode;

/// A matrix `[outputs, inputs]`.
#[derive(Debug, Clone)]
pub enum Weight {
    /// Plain numbers.
    Dense(Tensor),
    /// Blocks, multiplied as they are.
    Quantized(Arc<QTensor>),
}

impl Weight {
    /// Numbers in it.
    #[must_use]
    pub fn elements(&self) -> usize {
        match self {
            Self::Dense(tensor) => tensor.elem_count(),
            Self::Quantized(blocks) => blocks.shape().elem_count(),
        }
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Dense(tensor) => tensor.elem_count() * tensor.dtype().size_in_bytes(),
            Self::Quantized(blocks) => blocks.storage_size_in_bytes(),
        }
    }
}

/// `x · Wᵀ + b`.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
    mode: Mode,
}

impl Linear {
    /// `weight` is `[outputs, inputs]`, `bias` `[outputs]`.
    #[must_use]
    pub fn new(weight: Weight, bias: Option<Tensor>, mode: Mode) -> Self {
        Self { weight, bias, mode }
    }

    /// Rows `[n, inputs]` to `[n, outputs]` in the rows' type.
    ///
    /// # Errors
    /// When widths disagree.
    pub fn forward(&self, rows: &Tensor) -> Result<Tensor> {
        let product = match &self.weight {
            Weight::Dense(weight) => {
                let rows_dtype = rows.dtype();
                rows.to_dtype(weight.dtype())?.matmul(&weight.t()?)?.to_dtype(rows_dtype)?
            }
            Weight::Quantized(blocks) => self.multiply_blocks(rows, blocks)?,
        };
        match &self.bias {
            Some(bias) => product.broadcast_add(bias),
            None => Ok(product),
        }
    }

    /// The same matrix with `bias` (`[outputs]`).
    pub(crate) fn with_bias(self, bias: Tensor) -> Self {
        Self { bias: Some(bias), ..self }
    }

    /// As [`forward`](Self::forward) for any number of leading dimensions, in f32: what a head does.
    ///
    /// # Errors
    /// When widths disagree.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let mut shape = hidden.dims().to_vec();
        let width = shape.pop().unwrap_or(0);
        let flat = self.forward(&hidden.reshape(((), width))?)?.to_dtype(DType::F32)?;
        shape.push(flat.dim(1)?);
        flat.reshape(shape)
    }

    fn multiply_blocks(&self, rows: &Tensor, blocks: &Arc<QTensor>) -> Result<Tensor> {
        let input = rows.to_dtype(DType::F32)?.contiguous()?;
        let product = match self.mode {
            Mode::Inference => input.apply_op1_no_bwd(&BlockProduct(blocks)),
            Mode::Training => input.apply_op1(FrozenBlocks(Arc::clone(blocks))),
        };
        product?.to_dtype(rows.dtype())
    }
}

/// A product with quantised weights that lets the gradient through to its input. The weights themselves are frozen:
/// `∂L/∂x = ∂L/∂y · W`, with `W` dequantised for this one product only.
struct FrozenBlocks(Arc<QTensor>);

impl CustomOp1 for FrozenBlocks {
    fn name(&self) -> &'static str {
        "frozen-quantized-matmul"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        BlockProduct(&self.0).cpu_fwd(storage, layout)
    }

    fn cuda_fwd(
        &self,
        storage: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        self.0.cuda_fwd(storage, layout)
    }

    fn bwd(&self, _input: &Tensor, _output: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let weight = self.0.dequantize(gradient.device())?;
        gradient.matmul(&weight).map(Some)
    }
}
