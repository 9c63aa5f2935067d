//! What the tests of this module share.

use std::cell::RefCell;
use std::f32::consts::TAU;

use candle_core::{Device, Tensor, Var};

use crate::random::SplitMix64;

thread_local! {
    /// A test runs on a thread of its own and sees the same numbers each time.
    static RANDOM: RefCell<SplitMix64> = const { RefCell::new(SplitMix64(1)) };
}

/// Normally distributed values (Box and Muller 1958).
pub(super) fn normal(shape: &[usize], deviation: f32) -> Tensor {
    let values: Vec<f32> = RANDOM.with_borrow_mut(|random| {
        let mut unit = || 1. - random.unit();
        let mut value = || deviation * (-2. * unit().ln()).sqrt() * (TAU * unit()).cos();
        (0..shape.iter().product()).map(|_| value()).collect()
    });
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The largest difference, in parts of the largest value of `want`; arguments are about one, so that a gradient far below
/// is one of zero with rounding.
pub(super) fn relative_difference(got: &Tensor, want: &Tensor) -> f32 {
    assert_eq!(got.dims(), want.dims());
    let largest = |x: &Tensor| x.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    largest(&(got - want).unwrap()) / largest(want).max(0.1)
}

/// Compares two results, and their gradients with respect to `variables` when every element of the result counts by a
/// weight of its own.
pub(super) fn assert_same_gradients(got: &Tensor, want: &Tensor, variables: &[&Var]) {
    let difference = relative_difference(got, want);
    assert!(difference < 1e-5, "{:?}: result off by {difference}", got.shape());
    let weights = normal(want.dims(), 1.);
    let gradients = |result: &Tensor| (result * &weights).unwrap().sum_all().unwrap().backward().unwrap();
    let (got, want) = (gradients(got), gradients(want));
    for (index, variable) in variables.iter().enumerate() {
        let (got, want) = (got.get(variable).unwrap(), want.get(variable).unwrap());
        let difference = relative_difference(got, want);
        assert!(difference < 5e-5, "{:?}: gradient {index} off by {difference}", variable.shape());
    }
}
