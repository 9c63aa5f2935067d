//! One linear layer, whatever its weight is made of.

use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Result, Tensor, bail};
use jnana_kernels::{Additions, LowRank, PackedMatrix};

use crate::frozen::FrozenProduct;
use crate::grad::{self, LoraProduct};
use crate::lora::Lora;
use crate::nf4::Nf4Matrix;
use crate::ops::Mode;
use crate::values::Values;

const NAME: &str = "linear";

/// A matrix `[outputs, inputs]`.
#[derive(Debug, Clone)]
pub enum Weight {
    /// Plain numbers: trained where they are variables or computed from some, else frozen.
    Dense(Tensor),
    /// Blocks, multiplied as they are; frozen.
    Quantized(Arc<QTensor>),
    /// Blocks on the CPU in the order that serving multiplies them in, with rows rounded to 8 bits; frozen.
    Packed(Arc<PackedMatrix>),
    /// NF4, dense only for the moment of a product; frozen.
    Nf4(Arc<Nf4Matrix>),
}

impl Weight {
    /// Outputs and inputs.
    ///
    /// # Errors
    /// When it is no matrix.
    pub fn dims(&self) -> Result<(usize, usize)> {
        match self {
            Self::Dense(tensor) => tensor.dims2(),
            Self::Quantized(blocks) => blocks.shape().dims2(),
            Self::Packed(matrix) => Ok(matrix.dims()),
            Self::Nf4(matrix) => Ok(matrix.dims()),
        }
    }

    /// Numbers in it.
    #[must_use]
    pub fn elements(&self) -> usize {
        match self {
            Self::Dense(tensor) => tensor.elem_count(),
            Self::Quantized(blocks) => blocks.shape().elem_count(),
            Self::Packed(matrix) => matrix.dims().0 * matrix.dims().1,
            Self::Nf4(matrix) => matrix.dims().0 * matrix.dims().1,
        }
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Dense(tensor) => tensor.elem_count() * tensor.dtype().size_in_bytes(),
            Self::Quantized(blocks) => blocks.storage_size_in_bytes(),
            Self::Packed(matrix) => matrix.bytes(),
            Self::Nf4(matrix) => matrix.bytes(),
        }
    }

    /// True for variables and what is computed from some.
    fn is_trained(&self) -> bool {
        matches!(self, Self::Dense(weight) if weight.track_op())
    }

    /// The rows `ids` (u32, `[n]`) as plain numbers, `[n, inputs]`.
    pub(crate) fn select(&self, ids: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(tensor) => tensor.index_select(&ids.to_device(tensor.device())?, 0),
            Self::Quantized(blocks) => blocks.embedding(ids),
            Self::Packed(matrix) => unpacked(matrix, &ids.to_vec1::<u32>()?),
            Self::Nf4(_) => bail!("rows of a matrix in NF4, which only linears are multiplied in"),
        }
    }

    /// `len` rows from `start` on in f32, `[len, inputs]`; no gradient goes back through them.
    pub(crate) fn panel(&self, start: usize, len: usize) -> Result<Tensor> {
        match self {
            Self::Dense(tensor) => tensor.detach().narrow(0, start, len)?.to_dtype(DType::F32),
            Self::Quantized(_) | Self::Packed(_) | Self::Nf4(_) => {
                self.select(&Tensor::arange(start as u32, (start + len) as u32, &Device::Cpu)?)
            }
        }
    }
}

/// The rows `ids` in f32, `[n, inputs]`.
fn unpacked(matrix: &PackedMatrix, ids: &[u32]) -> Result<Tensor> {
    let (rows, columns) = matrix.dims();
    if let Some(id) = ids.iter().find(|id| **id as usize >= rows) {
        bail!("{NAME}: row {id} of {rows}");
    }
    let mut numbers = vec![0.; ids.len() * columns];
    for (id, numbers) in ids.iter().zip(numbers.chunks_exact_mut(columns)) {
        matrix.unpack_row(*id as usize, numbers);
    }
    Tensor::from_vec(numbers, (ids.len(), columns), &Device::Cpu)
}

/// `x · Wᵀ + b`, and beside it a low-rank update where an adapter has one.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
    lora: Option<Lora>,
    /// In place of `lora` where the weight is packed and the update is not trained.
    update: Option<Arc<LowRank>>,
    mode: Mode,
}

impl Linear {
    /// `weight` is `[outputs, inputs]`, `bias` `[outputs]`.
    #[must_use]
    pub fn new(weight: Weight, bias: Option<Tensor>, mode: Mode) -> Self {
        Self { weight, bias, lora: None, update: None, mode }
    }

    /// Rows `[n, inputs]` to `[n, outputs]` in the rows' type.
    ///
    /// # Errors
    /// When widths disagree.
    pub fn forward(&self, rows: &Tensor) -> Result<Tensor> {
        if let (Weight::Packed(matrix), Mode::Inference) = (&self.weight, self.mode) {
            return self.packed(matrix, rows);
        }
        let (y, update) = match self.fused(rows) {
            Some((lora, op)) => (rows.apply_op3(&lora.a, &lora.b, op)?, None),
            None => (self.product(rows)?.to_dtype(rows.dtype())?, self.lora.as_ref()),
        };
        let y = match (&self.bias, self.mode) {
            (None, _) => y,
            (Some(bias), Mode::Inference) => y.broadcast_add(bias)?,
            (Some(bias), Mode::Training) => grad::add_bias(&y, bias)?,
        };
        match update {
            Some(lora) => y + lora.forward(rows)?,
            None => Ok(y),
        }
    }

    /// Product, bias and update in one pass.
    fn packed(&self, matrix: &PackedMatrix, rows: &Tensor) -> Result<Tensor> {
        let ((m, width), (outputs, inputs)) = (rows.dims2()?, matrix.dims());
        if width != inputs {
            bail!("{NAME}: rows [{m}, {width}] with a weight [{outputs}, {inputs}]");
        }
        let x = rows.to_dtype(DType::F32)?.contiguous()?;
        let bias = self.bias.as_ref().map(Values::of);
        let additions = Additions {
            bias: bias.as_ref().map(|bias| bias.as_slice(NAME)).transpose()?,
            update: self.update.as_deref(),
        };
        let y = matrix.product(Values::of(&x).as_slice(NAME)?, additions);
        let y = Tensor::from_vec(y, (m, outputs), rows.device())?.to_dtype(rows.dtype())?;
        match &self.lora {
            Some(lora) => y + lora.forward(rows)?,
            None => Ok(y),
        }
    }

    /// The product together with the update that is trained, where there is an operation for both.
    fn fused(&self, rows: &Tensor) -> Option<(&Lora, LoraProduct)> {
        let lora = self.lora.as_ref().filter(|lora| lora.drops_nothing() && lora.a.dtype() == DType::F32)?;
        let base = FrozenProduct::new(self.weight.clone());
        let fits = self.mode == Mode::Training
            && grad::runs_on(rows.device(), rows.dtype())
            && !self.weight.is_trained()
            && base.is_f32();
        fits.then(|| (lora, LoraProduct::new(base, lora.scale)))
    }

    pub(crate) fn weight(&self) -> &Weight {
        &self.weight
    }

    pub(crate) fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// The same matrix with `bias` (`[outputs]`).
    pub(crate) fn with_bias(self, bias: Tensor) -> Self {
        Self { bias: Some(bias), ..self }
    }

    /// The same matrix with the update of an adapter.
    pub(crate) fn with_lora(self, lora: Option<Lora>) -> Result<Self> {
        match lora {
            Some(lora) if matches!(self.weight, Weight::Packed(_)) && !lora.is_trained() => {
                Ok(Self { update: Some(Arc::new(lora.packed()?)), ..self })
            }
            lora => Ok(Self { lora, ..self }),
        }
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

    fn product(&self, rows: &Tensor) -> Result<Tensor> {
        let frozen = || FrozenProduct::new(self.weight.clone());
        match &self.weight {
            Weight::Dense(weight) => {
                let rows = rows.to_dtype(weight.dtype())?;
                match self.mode {
                    Mode::Training if !self.weight.is_trained() => rows.apply_op1(frozen()),
                    _ => rows.matmul(&weight.t()?),
                }
            }
            Weight::Quantized(blocks) => {
                let rows = rows.to_dtype(DType::F32)?.contiguous()?;
                match self.mode {
                    Mode::Inference => rows.apply_op1_no_bwd(blocks.as_ref()),
                    Mode::Training => rows.apply_op1(frozen()),
                }
            }
            Weight::Packed(_) | Weight::Nf4(_) => rows.apply_op1(frozen()),
        }
    }
}
