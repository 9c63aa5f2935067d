//! Rotary position embeddings (Su et al. 2021, <https://arxiv.org/abs/2104.09864>), the variant of GPT-NeoX that pairs
//! element `i` with element `i + rotated/2`.

use std::f32::consts::PI;

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::rotary_emb::rope_thd;
use serde::{Deserialize, Serialize};

use crate::ops::Mode;

/// How the frequencies are stretched beyond the context that the network was first trained for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum Scaling {
    /// Not at all.
    #[default]
    Default,
    /// All positions divided by `factor`.
    Linear {
        /// The divisor.
        factor: f32,
    },
    /// Llama 3.1: long wavelengths divided by `factor`, short ones left alone, those between interpolated.
    Llama3 {
        /// The divisor of long wavelengths.
        factor: f32,
        /// Wavelengths above `original / low_freq_factor` are long.
        low_freq_factor: f32,
        /// Wavelengths below `original / high_freq_factor` are short.
        high_freq_factor: f32,
        /// Positions of the first training.
        original_max_position_embeddings: f32,
    },
    /// One divisor for each frequency, as GGUF files store it.
    #[serde(skip)]
    Divisors(Vec<f32>),
}

/// `rope_parameters` of newer `config.json` files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RopeParameters {
    /// Base of the frequencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_theta: Option<f64>,
    /// How much of each head turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial_rotary_factor: Option<f64>,
    /// Stretching of the frequencies.
    #[serde(flatten)]
    pub scaling: Scaling,
}

impl Scaling {
    fn apply(&self, index: usize, frequency: f32) -> f32 {
        match self {
            Self::Default => frequency,
            Self::Linear { factor } => frequency / factor,
            Self::Divisors(divisors) => frequency / divisors.get(index).copied().unwrap_or(1.),
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
                let wavelength = 2. * PI / frequency;
                if wavelength < original_max_position_embeddings / high_freq_factor {
                    return frequency;
                }
                if wavelength > original_max_position_embeddings / low_freq_factor {
                    return frequency / factor;
                }
                let smooth = (original_max_position_embeddings / wavelength - low_freq_factor)
                    / (high_freq_factor - low_freq_factor);
                (1. - smooth) * frequency / factor + smooth * frequency
            }
        }
    }

    /// What each frequency is divided by, as GGUF files store it; `None` where it is the same for all.
    pub(crate) fn divisors(&self, rotated: usize, theta: f64) -> Option<Vec<f32>> {
        match self {
            Self::Default | Self::Linear { .. } => None,
            Self::Divisors(divisors) => Some(divisors.clone()),
            Self::Llama3 { .. } => {
                let plain = Rotary::new(rotated, theta, &Self::Default).frequencies;
                let stretched = Rotary::new(rotated, theta, self).frequencies;
                Some(plain.into_iter().zip(stretched).map(|(plain, stretched)| plain / stretched).collect())
            }
        }
    }
}

/// Frequencies of one network; all its layers and heads share them.
#[derive(Debug, Clone)]
pub struct Rotary {
    frequencies: Vec<f32>,
}

impl Rotary {
    /// `rotated` elements of every head turn (an even number, the first ones), with base `theta`.
    #[must_use]
    pub fn new(rotated: usize, theta: f64, scaling: &Scaling) -> Self {
        let plain = (0..rotated / 2).map(|i| theta.powf(-2. * i as f64 / rotated as f64) as f32);
        Self { frequencies: plain.enumerate().map(|(i, frequency)| scaling.apply(i, frequency)).collect() }
    }

    /// Cosines and sines for rows at `positions`.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn turns(&self, positions: &[u32], dtype: DType, device: &Device) -> Result<Turns> {
        let half = self.frequencies.len();
        let mut cos = Vec::with_capacity(positions.len() * half);
        let mut sin = Vec::with_capacity(positions.len() * half);
        for &position in positions {
            for &frequency in &self.frequencies {
                let (s, c) = (position as f32 * frequency).sin_cos();
                cos.push(c);
                sin.push(s);
            }
        }
        let table = |values| Tensor::from_vec(values, (positions.len(), half), device)?.to_dtype(dtype);
        Ok(Turns { cos: table(cos)?, sin: table(sin)? })
    }
}

/// Cosines and sines, `[n, rotated/2]`.
#[derive(Debug)]
pub struct Turns {
    cos: Tensor,
    sin: Tensor,
}

impl Turns {
    /// Cosines and sines, `[n, rotated/2]` each.
    pub(crate) fn tables(&self) -> [Tensor; 2] {
        [self.cos.clone(), self.sin.clone()]
    }

    /// Turns the heads of `x` (`[n, heads, head_dim]`), each row by its own position.
    ///
    /// # Errors
    /// When shapes disagree.
    pub fn apply(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let rotated = 2 * self.cos.dim(1)?;
        let width = x.dim(D::Minus1)?;
        if rotated == width {
            return self.turn(x, mode);
        }
        let turned = self.turn(&x.narrow(D::Minus1, 0, rotated)?.contiguous()?, mode)?;
        Tensor::cat(&[&turned, &x.narrow(D::Minus1, rotated, width - rotated)?], D::Minus1)
    }

    fn turn(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        match mode {
            Mode::Inference => rope_thd(&x.contiguous()?.unsqueeze(0)?, &self.cos, &self.sin)?.squeeze(0),
            Mode::Training => {
                let half = self.cos.dim(1)?;
                let (cos, sin) = (self.cos.unsqueeze(1)?, self.sin.unsqueeze(1)?);
                let (a, b) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
                let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
                let second = (a.broadcast_mul(&sin)? + b.broadcast_mul(&cos)?)?;
                Tensor::cat(&[first, second], D::Minus1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_modes_turn_alike_and_leave_the_rest() {
        let x = Tensor::randn(0f32, 1., (5, 3, 16), &Device::Cpu).unwrap();
        let turns =
            Rotary::new(8, 10_000., &Scaling::Default).turns(&[0, 7, 1, 90, 3], DType::F32, &Device::Cpu);
        let turns = turns.unwrap();
        let fused = turns.apply(&x, Mode::Inference).unwrap();
        let plain = turns.apply(&x, Mode::Training).unwrap();
        let difference =
            (&fused - &plain).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(difference < 1e-6, "{difference}");
        let rest = |t: &Tensor| t.narrow(2, 8, 8).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(rest(&fused), rest(&x));
    }

    #[test]
    fn llama3_keeps_short_and_divides_long_wavelengths() {
        let scaling = Scaling::Llama3 {
            factor: 8.,
            low_freq_factor: 1.,
            high_freq_factor: 4.,
            original_max_position_embeddings: 8192.,
        };
        let plain = Rotary::new(128, 500_000., &Scaling::Default).frequencies;
        let scaled = Rotary::new(128, 500_000., &scaling).frequencies;
        assert_eq!(plain[0], scaled[0]);
        assert_eq!(plain[63] / 8., scaled[63]);
        assert!(plain.iter().zip(&scaled).all(|(p, s)| s <= p && *s >= p / 8.));
    }
}
