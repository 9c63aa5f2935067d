//! What follows a product while its numbers are still at hand.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use crate::lanes::{Lanes, Wide};
use crate::math::sigmoid;
use crate::wide;

/// A function of each number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Activation {
    /// The number itself.
    #[default]
    Identity,
    /// Held within 0 to 6.
    Relu6,
    /// `x · σ(1.702 x)`, the activation of OpenAI's CLIP.
    QuickGelu,
}

impl Activation {
    /// Its value for each lane; what is no number stays none.
    ///
    /// # Safety
    /// As for [`Lanes`].
    #[inline(always)]
    pub(crate) unsafe fn of<L: Lanes>(self, x: &Wide<L>) -> Wide<L> {
        match self {
            Self::Identity => *x,
            Self::Relu6 => {
                let mut held = *x;
                for lanes in held.iter_mut().take(L::PARTS) {
                    *lanes = L::clamp(*lanes, L::splat(0.), L::splat(6.));
                }
                held
            }
            Self::QuickGelu => {
                let mut values = wide::numbers::<L>(x);
                values.iter_mut().for_each(|value| *value *= sigmoid(1.702 * *value));
                wide::load::<L>(&values)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::{Isa, Kernel};
    use crate::lanes::PANEL;

    struct Of(Activation, [f32; PANEL]);

    impl Kernel for Of {
        type Output = [f32; PANEL];

        #[inline(always)]
        unsafe fn run<L: Lanes>(self) -> [f32; PANEL] {
            wide::numbers::<L>(&self.0.of::<L>(&wide::load::<L>(&self.1)))
        }
    }

    fn x() -> [f32; PANEL] {
        std::array::from_fn(|i| i as f32 - 7.5)
    }

    fn applied(activation: Activation) -> [f32; PANEL] {
        let all: Vec<_> = Isa::available().into_iter().map(|isa| isa.run(Of(activation, x()))).collect();
        assert!(all.iter().all(|other| *other == all[0]), "{activation:?}");
        all[0]
    }

    #[test]
    fn they_are_what_their_names_say() {
        assert_eq!(applied(Activation::Identity), x());
        assert_eq!(applied(Activation::Relu6), x().map(|x| x.clamp(0., 6.)));
        for (got, x) in applied(Activation::QuickGelu).into_iter().zip(x().map(f64::from)) {
            assert!((f64::from(got) - x / (1. + (-1.702 * x).exp())).abs() < 1e-5, "{x}: {got}");
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for activation in [Activation::Identity, Activation::Relu6, Activation::QuickGelu] {
            for isa in Isa::available() {
                let got = isa.run(Of(activation, [f32::NAN; PANEL]));
                assert!(got.iter().all(|got| got.is_nan()), "{activation:?} {isa:?}");
            }
        }
    }
}
