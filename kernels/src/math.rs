//! Functions and sums that the compiler vectorises: no branches, no calls. They take the instruction set of the function
//! that they are inlined into, and give the same bits in all of them: nothing is contracted or put in another order.

use std::f32::consts::LOG2_E;

/// Independent sums of a reduction.
const LANES: usize = 32;

/// Above this `exp` would leave the finite numbers; it is held here.
const LARGEST: f32 = 88.;

/// Below this `exp` would leave the normal numbers; it is 0.
const SMALLEST: f32 = -87.3;

/// `eˣ`, within 3e-7 of itself: `x = n · ln 2 + r`, a series for `eʳ`, and `n` goes into the exponent.
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    /// 1.5 · 2²³: what is added to it is rounded to a whole number, whose bits are then the lowest.
    const ROUND: f32 = 12_582_912.;
    /// The first bits of ln 2, few enough that their product with `n` is exact, and the rest.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let held = x.clamp(SMALLEST, LARGEST);
    let shifted = held * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (held - n * LN_2[0]) - n * LN_2[1];
    let series = r * (1. / 720. + r * (1. / 5040.));
    let series = r * (1. / 6. + r * (1. / 24. + r * (1. / 120. + series)));
    let series = 1. + r * (1. + r * (0.5 + series));
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if x < SMALLEST { 0. } else { series * power }
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
#[must_use]
pub fn sigmoid(x: f32) -> f32 {
    1. / (1. + exp(-x))
}

/// `Σ term(a, b)` over pairs.
#[inline(always)]
#[must_use]
pub fn sum_of(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| term(*a, *b)).sum();
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += term(*a, *b);
        }
    }
    fold(sums) + rest
}

/// `Σ a · b`.
#[inline(always)]
#[must_use]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum_of(a, b, |a, b| a * b)
}

/// `Σ x`.
#[inline(always)]
#[must_use]
pub fn sum(x: &[f32]) -> f32 {
    sum_of(x, x, |x, _| x)
}

/// The largest of `x`; minus infinity of nothing.
#[inline(always)]
#[must_use]
pub fn largest(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let x = x.chunks_exact(LANES);
    let rest = x.remainder().iter().copied();
    let rest = rest.fold(f32::NEG_INFINITY, f32::max);
    for x in x {
        lanes.iter_mut().zip(x).for_each(|(lane, x)| *lane = if *x > *lane { *x } else { *lane });
    }
    lanes.into_iter().fold(rest, f32::max)
}

/// Replaces each `x` by `e^(x - shift)` and returns the sum.
#[inline(always)]
pub fn exp_all(x: &mut [f32], shift: f32) -> f32 {
    x.iter_mut().for_each(|x| *x = exp(*x - shift));
    sum(x)
}

/// The number that the bits of an f16 stand for.
#[inline(always)]
pub(crate) fn half(bits: u16) -> f32 {
    /// 2^112, the difference of the biases of f32 and f16.
    const REBIAS: f32 = f32::from_bits(0x7780_0000);
    let magnitude = u32::from(bits & 0x7fff) << 13;
    let finite = f32::from_bits(magnitude) * REBIAS;
    let magnitude = if bits & 0x7c00 == 0x7c00 { magnitude | 0x7f80_0000 } else { finite.to_bits() };
    f32::from_bits(magnitude | u32::from(bits & 0x8000) << 16)
}

/// The sum, halves onto halves, which keeps rounding small. `N` is a power of two.
#[inline(always)]
pub(crate) fn fold<const N: usize>(mut sums: [f32; N]) -> f32 {
    let mut half = N / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every 997th number of the interval that `exp` answers with normal numbers, both signs.
    fn samples() -> impl Iterator<Item = f32> {
        let bits = (0..LARGEST.to_bits()).step_by(997).map(f32::from_bits);
        bits.flat_map(|x| [x, -x]).filter(|x| *x > SMALLEST)
    }

    fn worst(ours: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> f64 {
        let error = |x: f32| (f64::from(ours(x)) / exact(f64::from(x)) - 1.).abs();
        samples().map(error).fold(0., f64::max)
    }

    #[test]
    fn exp_and_sigmoid_are_close_to_exact() {
        let error = worst(exp, f64::exp);
        assert!(error < 3e-7, "exp: {error:e}");
        let error = worst(sigmoid, |x| 1. / (1. + (-x).exp()));
        assert!(error < 4e-7, "sigmoid: {error:e}");
    }

    #[test]
    fn exp_stays_finite_and_passes_on_what_is_no_number() {
        assert_eq!([exp(0.), exp(-100.), exp(-1e30), exp(f32::NEG_INFINITY)], [1., 0., 0., 0.]);
        assert!(exp(1e30).is_finite() && exp(f32::INFINITY).is_finite());
        assert!(exp(f32::NAN).is_nan());
        assert_eq!([sigmoid(1e30), sigmoid(f32::INFINITY)], [1., 1.]);
        assert!(sigmoid(-1e30) < 1e-37);
    }

    #[test]
    fn halves_are_what_ieee_says() {
        for (bits, number) in [(0x3c00, 1.), (0xc000, -2.), (0x0001, 2f32.powi(-24)), (0x7bff, 65_504.)] {
            assert_eq!(half(bits), number);
        }
        for bits in 0..0x7c00u16 {
            let (mantissa, exponent) = (f32::from(bits & 0x3ff), i32::from(bits >> 10));
            let normal = (1. + mantissa / 1024.) * 2f32.powi(exponent - 15);
            let number = if exponent > 0 { normal } else { mantissa / 1024. * 2f32.powi(-14) };
            assert_eq!([half(bits), half(bits | 0x8000)], [number, -number], "{bits:#x}");
        }
        assert_eq!([half(0x7c00), half(0xfc00)], [f32::INFINITY, f32::NEG_INFINITY]);
        assert!(half(0x7e00).is_nan());
    }

    #[test]
    fn reductions_take_every_element() {
        for n in [0, 1, 31, 32, 33, 100] {
            let x: Vec<f32> = (0..n).map(|i| i as f32 - 40.).collect();
            assert_eq!(sum(&x), x.iter().sum::<f32>());
            assert_eq!(dot(&x, &x), x.iter().map(|x| x * x).sum::<f32>());
            assert_eq!(largest(&x), x.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}
