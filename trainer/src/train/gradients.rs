//! Gradients of a step: the sum over its micro-batches, measured and clipped.

use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Storage, Tensor, TensorId, Var};
use rayon::prelude::*;

/// Numbers that one task sums.
const CHUNK: usize = 1 << 16;
/// Keeps the clipping factor finite, as in torch.
const CLIP_EPSILON: f64 = 1e-6;

/// The sums of gradients, in f32, and a factor that is applied when they are used: scaling and clipping touch no numbers.
#[derive(Debug)]
pub struct Gradients {
    variables: Vec<Var>,
    sums: HashMap<TensorId, Tensor>,
    factor: f64,
}

impl Gradients {
    /// Nothing yet, for `variables`.
    #[must_use]
    pub fn new(variables: Vec<Var>) -> Self {
        Self { variables, sums: HashMap::new(), factor: 1.0 }
    }

    /// Adds the gradients of a micro-batch. What it does not reach stays as it was.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn add(&mut self, gradients: &GradStore) -> Result<()> {
        for variable in &self.variables {
            let Some(gradient) = gradients.get(variable) else { continue };
            let gradient = gradient.to_dtype(DType::F32)?.contiguous()?;
            let sum = match self.sums.remove(&variable.id()) {
                Some(sum) => (sum + gradient)?,
                None => gradient,
            };
            self.sums.insert(variable.id(), sum);
        }
        Ok(())
    }

    /// Multiplies all by `factor`, such as one over the tokens that counted.
    pub fn scale(&mut self, factor: f64) {
        self.factor *= factor;
    }

    /// Euclidean norm of all together, summed in f64. Not finite when one of them is not.
    ///
    /// # Errors
    /// When a device fails.
    pub fn norm(&self) -> Result<f64> {
        let sums = self.variables.iter().filter_map(|variable| self.sums.get(&variable.id()));
        let (on_host, elsewhere): (Vec<&Tensor>, Vec<&Tensor>) = sums.partition(|sum| sum.device().is_cpu());
        let mut square: f64 = on_host.into_iter().map(square_on_host).sum::<Result<f64>>()?;
        if !elsewhere.is_empty() {
            // One transfer for all of them.
            let squares =
                elsewhere.into_iter().map(|sum| sum.sqr()?.sum_all()).collect::<Result<Vec<_>>>()?;
            square += Tensor::stack(&squares, 0)?.to_vec1::<f32>()?.into_iter().map(f64::from).sum::<f64>();
        }
        Ok(square.sqrt() * self.factor.abs())
    }

    /// Scales all so that their norm is at most `limit`, as torch's `clip_grad_norm_`; returns the norm before.
    ///
    /// # Errors
    /// When a device fails.
    pub fn clip(&mut self, limit: f64) -> Result<f64> {
        let norm = self.norm()?;
        self.factor *= (limit / (norm + CLIP_EPSILON)).min(1.0);
        Ok(norm)
    }

    /// The gradient of a variable and the factor that it has to be multiplied by; `None` when nothing reached it.
    #[must_use]
    pub fn get(&self, variable: &Var) -> Option<(&Tensor, f64)> {
        Some((self.sums.get(&variable.id())?, self.factor))
    }
}

/// Sum of squares in f64; the same for any number of threads.
fn square_on_host(tensor: &Tensor) -> Result<f64> {
    on_host(tensor, |values| {
        let chunk = |values: &[f32]| values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
        values.par_chunks(CHUNK).map(chunk).collect::<Vec<f64>>().into_iter().sum()
    })
}

/// Lets `read` look at the numbers of a contiguous f32 tensor in the CPU's memory.
fn on_host<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    let values = match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(cpu), Some((start, end))) => cpu.as_slice::<f32>()?.get(start..end),
        _ => None,
    };
    values.map(read).ok_or_else(|| candle_core::Error::msg("expected contiguous numbers on the CPU"))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Of the loss `Σ weight·x`, so that the gradient is `weight`.
    fn gradients(variable: &Var, weight: &[f32]) -> GradStore {
        let weight = Tensor::new(weight, &Device::Cpu).unwrap();
        (variable.as_tensor() * weight).unwrap().sum_all().unwrap().backward().unwrap()
    }

    #[test]
    fn micro_batches_add_up() {
        let a = Var::new(&[1f32, 2.0], &Device::Cpu).unwrap();
        let b = Var::new(&[1f32], &Device::Cpu).unwrap();
        let mut sum = Gradients::new(vec![a.clone(), b.clone()]);
        sum.add(&gradients(&a, &[1.0, 2.0])).unwrap();
        sum.add(&gradients(&a, &[2.0, 2.0])).unwrap();
        sum.scale(0.5);
        assert_eq!(sum.norm().unwrap(), 2.5);
        let (gradient, factor) = sum.get(&a).unwrap();
        assert_eq!((gradient.to_vec1::<f32>().unwrap(), factor), (vec![3.0, 4.0], 0.5));
        assert!(sum.get(&b).is_none(), "nothing reached it");
    }

    #[test]
    fn clipping_only_makes_smaller() {
        let a = Var::new(&[0f32, 0.0], &Device::Cpu).unwrap();
        let mut sum = Gradients::new(vec![a.clone()]);
        sum.add(&gradients(&a, &[3.0, 4.0])).unwrap();
        assert_eq!(sum.clip(10.0).unwrap(), 5.0);
        assert_eq!(sum.norm().unwrap(), 5.0);
        assert_eq!(sum.clip(1.0).unwrap(), 5.0);
        assert!((sum.norm().unwrap() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_number_shows_in_the_norm() {
        let a = Var::new(&[0f32, 0.0], &Device::Cpu).unwrap();
        let mut sum = Gradients::new(vec![a.clone()]);
        sum.add(&gradients(&a, &[f32::NAN, 1.0])).unwrap();
        assert!(sum.norm().unwrap().is_nan());
    }
}
