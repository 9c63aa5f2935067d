//! First weights of a network that is trained from nothing.

use candle_core::{Device, Tensor, Var};
use jnana_models::config::Config;
use jnana_models::shapes::checkpoint_shapes;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::learner::Variables;
use crate::{Error, Result};

/// Half the width of the uniform distribution with GPT-2's standard deviation of 0.02 (Radford et al. 2019).
const SPREAD: f32 = 0.02 * 1.732_050_8;

/// A variable for every tensor of `config`'s checkpoint: norms one, biases zero, matrices random. The same `seed` gives the
/// same numbers on every machine.
///
/// # Errors
/// When the device has no memory left.
pub fn variables(config: &Config, seed: u64, device: &Device) -> Result<Variables> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |shape: &[usize]| -> Vec<f32> {
        (0..shape.iter().product()).map(|_| random.random_range(-SPREAD..SPREAD)).collect()
    };
    let variable = |(name, shape): (String, Vec<usize>)| {
        let tensor = match shape.len() {
            1 if name.ends_with(".weight") => Tensor::ones(shape.as_slice(), candle_core::DType::F32, device),
            1 => Tensor::zeros(shape.as_slice(), candle_core::DType::F32, device),
            _ => Tensor::from_vec(draw(&shape), shape.as_slice(), device),
        };
        let variable = tensor.and_then(|tensor| Var::from_tensor(&tensor)).map_err(Error::compute(&name))?;
        Ok((name, variable))
    };
    checkpoint_shapes(config).into_iter().map(variable).collect()
}
