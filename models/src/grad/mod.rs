//! Operations with a backward pass of their own, for training on the CPU in f32; activations run in serving too.
//!
//! candle differentiates the same when it is composed of tensor operations, but each of these walks through memory on its
//! own and is kept for the backward pass. Here an operation is one pass forward and one backward; what the backward pass
//! needs beside the arguments is computed again, not kept. On other devices and in other types the composed forms run.
//!
//! - [`layer_norm`], [`rms_norm`]: norms over the last dimension
//! - [`attention`]: rotary positions and causal attention of padded sequences
//! - [`gelu`], [`swiglu`]: activations
//! - [`add_bias`]: what a linear layer adds
//! - [`LoraProduct`]: a frozen linear with its low-rank update
//! - [`cross_entropy`]: losses of the next word, straight from hidden states
//!
//! Below them: `heads` (attention of one key head), `rope` (turning one head), `product` (small matrices).

mod attention;
mod bias;
mod cross_entropy;
mod gelu;
mod heads;
mod layer_norm;
mod lora_product;
mod product;
mod rms_norm;
mod rope;
mod swiglu;
#[cfg(test)]
mod testing;

use candle_core::{DType, Device, Tensor};

pub(crate) use self::attention::{Sequences, attention};
pub(crate) use self::bias::add_bias;
pub(crate) use self::cross_entropy::cross_entropy;
pub(crate) use self::gelu::gelu;
pub(crate) use self::layer_norm::layer_norm;
pub(crate) use self::lora_product::LoraProduct;
pub(crate) use self::rms_norm::rms_norm;
pub(crate) use self::swiglu::swiglu;

/// Numbers that one task works on: some ten microseconds, and they fit a core's cache.
const PIECE: usize = 1 << 14;

/// True where the kernels of this module run.
pub(crate) fn runs_on(device: &Device, dtype: DType) -> bool {
    device.is_cpu() && dtype == DType::F32
}

fn has_kernels(x: &Tensor) -> bool {
    runs_on(x.device(), x.dtype())
}

/// Length of a piece that consists of whole rows.
fn piece(width: usize) -> usize {
    (PIECE / width.max(1)).max(1) * width.max(1)
}

/// Sums vectors element by element, always in the same order, so that a run can be repeated exactly.
fn add_up(vectors: Vec<Vec<f32>>) -> Vec<f32> {
    let mut vectors = vectors.into_iter();
    let mut total = vectors.next().unwrap_or_default();
    for vector in vectors {
        total.iter_mut().zip(vector).for_each(|(total, value)| *total += value);
    }
    total
}
