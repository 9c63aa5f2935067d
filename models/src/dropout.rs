//! Dropout (Srivastava et al. 2014) whose masks follow from one number, so that a run goes on after a restart with the
//! masks that it would have had.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use candle_core::backend::BackendStorage;
use candle_core::op::Mul;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Device, Layout, Result, Shape, Storage, Tensor, bail};
use rayon::prelude::*;

use crate::random::SplitMix64;

/// Numbers that one task masks.
const CHUNK: usize = 1 << 14;

/// Zeroes each number with a probability and scales the others up, so that the expectation stays.
#[derive(Debug)]
pub(crate) struct Dropout {
    probability: f32,
    state: AtomicU64,
    paused: AtomicBool,
}

impl Dropout {
    /// `probability` is below one.
    pub(crate) fn new(probability: f64, seed: u64) -> Self {
        Self { probability: probability as f32, state: AtomicU64::new(seed), paused: AtomicBool::new(false) }
    }

    pub(crate) fn drops_nothing(&self) -> bool {
        self.probability == 0. || self.paused.load(Ordering::Relaxed)
    }

    /// Lets everything through, or no longer.
    pub(crate) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// What the next masks follow from.
    pub(crate) fn state(&self) -> u64 {
        self.state.load(Ordering::Relaxed)
    }

    /// Goes on from a [`state`](Self::state).
    pub(crate) fn restore(&self, state: u64) {
        self.state.store(state, Ordering::Relaxed);
    }

    /// A mask of its own for each call.
    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        if self.drops_nothing() {
            return Ok(x.clone());
        }
        let random = SplitMix64(self.state());
        self.restore(random.ahead(x.elem_count() as u64).0);
        x.contiguous()?.apply_op1(Mask { probability: self.probability, random })
    }
}

/// One mask. It is drawn again in the backward pass instead of being kept.
#[derive(Debug, Clone)]
struct Mask {
    probability: f32,
    random: SplitMix64,
}

impl Mask {
    fn times(&self, x: &[f32]) -> Vec<f32> {
        let scale = 1. / (1. - self.probability);
        let mut masked = vec![0f32; x.len()];
        let chunks = masked.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).enumerate();
        chunks.for_each(|(chunk, (masked, x))| {
            let mut random = self.random.ahead((chunk * CHUNK) as u64);
            for (masked, x) in masked.iter_mut().zip(x) {
                *masked = if random.unit() < self.probability { 0. } else { x * scale };
            }
        });
        masked
    }
}

impl CustomOp1 for Mask {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("dropout: the numbers are not contiguous");
        };
        let masked = self.times(&x.as_slice::<f32>()?[start..end]);
        Ok((CpuStorage::F32(masked), layout.shape().clone()))
    }

    /// The mask is drawn on the host, so that it is the same everywhere.
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let mask = self.times(&vec![1f32; layout.shape().elem_count()]);
        let device = Device::Cuda(x.device().clone());
        let mask = Tensor::from_vec(mask, layout.shape(), &device)?.to_dtype(x.dtype())?;
        let (mask, mask_layout) = mask.storage_and_layout();
        let Storage::Cuda(mask) = &*mask else { bail!("dropout: the mask is not on the GPU") };
        Ok((x.binary_impl::<Mul>(mask, layout, mask_layout)?, layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        gradient.contiguous()?.apply_op1_no_bwd(self).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Var};

    use super::*;

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_share_is_dropped_and_the_expectation_stays() {
        let ones = Tensor::ones((200, 300), DType::F32, &Device::Cpu).unwrap();
        let masked = values(&Dropout::new(0.25, 3).apply(&ones).unwrap());
        assert!(masked.iter().all(|value| *value == 0. || (*value - 4. / 3.).abs() < 1e-6));
        let mean = masked.iter().sum::<f32>() / masked.len() as f32;
        assert!((mean - 1.).abs() < 0.01, "{mean}");
    }

    #[test]
    fn a_restored_state_draws_the_same_masks() {
        let ones = Tensor::ones((3, 50), DType::F32, &Device::Cpu).unwrap();
        let dropout = Dropout::new(0.5, 3);
        let first = values(&dropout.apply(&ones).unwrap());
        let state = dropout.state();
        let second = values(&dropout.apply(&ones).unwrap());
        assert_ne!(first, second);
        dropout.restore(state);
        assert_eq!(values(&dropout.apply(&ones).unwrap()), second);
    }

    #[test]
    fn the_gradient_goes_through_the_same_mask() {
        let x = Var::ones((20, 30), DType::F32, &Device::Cpu).unwrap();
        let masked = Dropout::new(0.5, 9).apply(&x).unwrap();
        let gradients = masked.sum_all().unwrap().backward().unwrap();
        assert_eq!(values(gradients.get(&x).unwrap()), values(&masked));
    }
}
