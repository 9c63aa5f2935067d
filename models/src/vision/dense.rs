//! A linear of an encoder with what follows it.

use candle_core::{DType, Device, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use jnana_kernels::{Activation, DenseMatrix};

use super::clip::HiddenAct;
use crate::values::Values;

const NAME: &str = "dense";

/// `f(x · Wᵀ + b)`.
#[derive(Debug)]
pub(super) struct Dense {
    linear: Linear,
    /// What does not belong to the product.
    activation: Option<HiddenAct>,
}

#[derive(Debug)]
enum Linear {
    /// In f32 on the CPU.
    Panels(DenseMatrix),
    /// Of any type on any device.
    Plain(candle_nn::Linear),
}

impl Dense {
    /// From `weight` `[outputs, inputs]` and `bias` `[outputs]` below `vb`.
    pub(super) fn load(
        vb: &VarBuilder<'_>,
        (inputs, outputs): (usize, usize),
        activation: Option<HiddenAct>,
    ) -> Result<Self> {
        Self::new(&vb.get((outputs, inputs), "weight")?, &vb.get(outputs, "bias")?, activation)
    }

    /// From `weight` `[outputs, inputs]` and `bias` `[outputs]`.
    pub(super) fn new(weight: &Tensor, bias: &Tensor, activation: Option<HiddenAct>) -> Result<Self> {
        if weight.dtype() != DType::F32 || !weight.device().is_cpu() {
            let linear = Linear::Plain(candle_nn::Linear::new(weight.clone(), Some(bias.clone())));
            return Ok(Self { linear, activation });
        }
        let (fused, activation) = match activation {
            Some(HiddenAct::QuickGelu) => (Activation::QuickGelu, None),
            other => (Activation::Identity, other),
        };
        let (weight, bias) = (weight.flatten_all()?.to_vec1()?, bias.to_vec1()?);
        Ok(Self { linear: Linear::Panels(DenseMatrix::new(&weight, &bias, fused)), activation })
    }

    /// `[.., inputs]` to `[.., outputs]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.product(x, None)?;
        match &self.activation {
            Some(activation) => activation.forward(&y),
            None => Ok(y),
        }
    }

    /// The same, added to `residual` `[.., outputs]`.
    pub(super) fn forward_onto(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        match self.activation {
            Some(_) => residual + self.forward(x)?,
            None => self.product(x, Some(residual)),
        }
    }

    fn product(&self, x: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        let matrix = match (&self.linear, residual) {
            (Linear::Panels(matrix), _) => matrix,
            (Linear::Plain(linear), Some(residual)) => return residual + linear.forward(x)?,
            (Linear::Plain(linear), None) => return linear.forward(x),
        };
        let (outputs, inputs) = matrix.dims();
        let mut shape = x.dims().to_vec();
        if shape.pop() != Some(inputs) {
            bail!("{NAME}: expected [.., {inputs}], got {:?}", x.dims());
        }
        shape.push(outputs);
        let (x, residual) = (x.contiguous()?, residual.map(Tensor::contiguous).transpose()?);
        if let Some(residual) = residual.as_ref().filter(|residual| residual.dims() != shape) {
            bail!("{NAME}: expected {shape:?} to add to, got {:?}", residual.dims());
        }
        let residual = residual.as_ref().map(Values::of);
        let residual = residual.as_ref().map(|residual| residual.as_slice(NAME)).transpose()?;
        let y = matrix.product(Values::of(&x).as_slice(NAME)?, residual);
        Tensor::from_vec(y, shape, &Device::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(shape: &[usize]) -> Tensor {
        Tensor::randn(0f32, 1., shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn panels_equal_what_candle_computes() {
        let (weight, bias, x, residual) =
            (random(&[40, 24]), random(&[40]), random(&[2, 5, 24]), random(&[2, 5, 40]));
        let plain = candle_nn::Linear::new(weight.clone(), Some(bias.clone()));
        for activation in [None, Some(HiddenAct::QuickGelu), Some(HiddenAct::Gelu)] {
            let dense = Dense::new(&weight, &bias, activation).unwrap();
            assert!(matches!(dense.linear, Linear::Panels(_)));
            let want = plain.forward(&x).unwrap();
            let want = activation.map_or(Ok(want.clone()), |act| act.forward(&want)).unwrap();
            assert_close(&dense.forward(&x).unwrap(), &want);
            assert_close(&dense.forward_onto(&x, &residual).unwrap(), &(&residual + &want).unwrap());
        }
    }

    #[test]
    fn other_types_are_candles() {
        let half = |shape: &[usize]| random(shape).to_dtype(DType::F16).unwrap();
        let dense = Dense::new(&half(&[8, 4]), &half(&[8]), None).unwrap();
        assert!(matches!(dense.linear, Linear::Plain(_)));
        assert_eq!(dense.forward_onto(&half(&[3, 4]), &half(&[3, 8])).unwrap().dims(), [3, 8]);
    }

    #[test]
    fn wrong_shapes_are_errors() {
        let dense = Dense::new(&random(&[8, 4]), &random(&[8]), None).unwrap();
        assert!(dense.forward(&random(&[3, 5])).is_err());
        assert!(dense.forward_onto(&random(&[3, 4]), &random(&[3, 4])).is_err());
    }

    fn assert_close(got: &Tensor, want: &Tensor) {
        assert_eq!(got.dims(), want.dims());
        let difference = (got - want).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        assert!(difference.to_scalar::<f32>().unwrap() < 1e-4);
    }
}
