//! The block formats: how large their parts are in a panel, how a block is loaded, and what its codes mean.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use super::activations::Factors;
use crate::lanes::{BLOCK, Codes, Lanes, PANEL, VECTOR};

/// A block format of GGUF files (ggml-common.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// 4 bits, one scale for 32 numbers.
    Q4_0,
    /// 4 bits, scale and minimum for 32 numbers.
    Q4_1,
    /// 5 bits, one scale for 32 numbers.
    Q5_0,
    /// 5 bits, scale and minimum for 32 numbers.
    Q5_1,
    /// 8 bits, one scale for 32 numbers.
    Q8_0,
    /// 4 bits; scale and minimum for 256 numbers, and multiples of them for each 32.
    Q4K,
    /// 5 bits; scale and minimum for 256 numbers, and multiples of them for each 32.
    Q5K,
    /// 6 bits; a scale for 256 numbers, and a multiple of it for each 16.
    Q6K,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Q4_0, Self::Q4_1, Self::Q5_0, Self::Q5_1, Self::Q8_0, Self::Q4K, Self::Q5K, Self::Q6K];

    /// True when rows of so many numbers are whole blocks.
    #[must_use]
    pub fn fits(self, columns: usize) -> bool {
        columns > 0 && columns.is_multiple_of(self.block_columns())
    }

    /// Numbers of a block in the file.
    pub(super) fn block_columns(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => BLOCK,
            Self::Q4K | Self::Q5K | Self::Q6K => SUPER * BLOCK,
        }
    }

    /// Bytes of a block in the file.
    pub(super) fn block_bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Bytes of the codes of 32 columns of a panel.
    pub(super) fn code_bytes(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q4K => NIBBLES,
            Self::Q5_0 | Self::Q5_1 | Self::Q5K => FIVES,
            Self::Q6K => SIXES,
            Self::Q8_0 => BYTES,
        }
    }

    /// Bytes of the scales of [`block_columns`](Self::block_columns) columns of a panel.
    pub(super) fn scale_bytes(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q5_0 | Self::Q8_0 => HALVES,
            Self::Q4_1 | Self::Q5_1 => 2 * HALVES,
            Self::Q4K | Self::Q5K => 2 * HALVES + MULTIPLES,
            Self::Q6K => HALVES + MULTIPLES,
        }
    }

    /// Bytes of a panel of so many columns: codes, scales, and what is missing to a whole vector.
    pub(super) fn panel_bytes(self, columns: usize) -> usize {
        let scales = columns / self.block_columns() * self.scale_bytes();
        (columns / BLOCK * self.code_bytes() + scales).next_multiple_of(VECTOR)
    }
}

/// Blocks of 32 columns in one of those formats whose blocks have 256.
const SUPER: usize = 8;

/// Bytes of the codes of 32 columns of a panel.
pub(super) const NIBBLES: usize = 4 * VECTOR;
const FIVES: usize = 5 * VECTOR;
const SIXES: usize = 6 * VECTOR;
const BYTES: usize = 8 * VECTOR;

/// Bytes of an f16 for each row of a panel.
pub(super) const HALVES: usize = 2 * PANEL;

/// Bytes of two multiples of scales for each row and block of 256 columns.
const MULTIPLES: usize = SUPER * 2 * PANEL;

/// Where a panel's codes and scales begin.
#[derive(Clone, Copy)]
pub(super) struct Panel {
    pub(super) codes: *const u8,
    pub(super) scales: *const u8,
}

/// # Safety
/// As for [`Blocks`].
impl Panel {
    /// The codes of a block, of which there are so many bytes.
    #[inline(always)]
    unsafe fn block<L: Lanes>(self, block: usize, bytes: usize, part: usize) -> *const u8 {
        self.codes.add(block * bytes + part * (VECTOR / L::PARTS))
    }

    /// Numbers in f16, from byte `at` of the scales on.
    #[inline(always)]
    unsafe fn halves<L: Lanes>(self, at: usize, part: usize) -> L::F {
        L::load_f16(self.scales.add(at).cast::<u16>().add(part * L::LANES))
    }

    /// A scale for each block.
    #[inline(always)]
    unsafe fn scale<L: Lanes>(self, block: usize, part: usize) -> [L::F; 2] {
        [self.halves::<L>(block * HALVES, part), L::splat(0.)]
    }

    /// Scale and minimum for each block.
    #[inline(always)]
    unsafe fn scale_and_minimum<L: Lanes>(self, block: usize, part: usize) -> [L::F; 2] {
        let at = block * 2 * HALVES;
        [self.halves::<L>(at, part), self.halves::<L>(at + HALVES, part)]
    }

    /// Multiples of a scale and of a minimum. Scale and minimum for eight blocks, then the multiples for each; minima are
    /// stored with the other sign.
    #[inline(always)]
    unsafe fn scale_and_minimum_of_super<L: Lanes>(self, block: usize, part: usize) -> [L::F; 2] {
        let at = block / SUPER * (2 * HALVES + MULTIPLES);
        let multiples = self.scales.add(at + 2 * HALVES + block % SUPER * 2 * PANEL + part * L::LANES);
        let (scale, minimum) = (self.halves::<L>(at, part), self.halves::<L>(at + HALVES, part));
        [L::mul(scale, L::load_u8(multiples)), L::mul(minimum, L::load_u8(multiples.add(PANEL)))]
    }

    /// Multiples of a scale for the first and the last 16 columns. The scale for eight blocks, then the multiples for each.
    #[inline(always)]
    unsafe fn two_scales_of_super<L: Lanes>(self, block: usize, part: usize) -> [L::F; 2] {
        let at = block / SUPER * (HALVES + MULTIPLES);
        let multiples = self.scales.add(at + HALVES + block % SUPER * 2 * PANEL + part * L::LANES);
        let scale = self.halves::<L>(at, part);
        [L::mul(scale, L::load_i8(multiples)), L::mul(scale, L::load_i8(multiples.add(PANEL)))]
    }
}

/// A block of 32 columns for the rows of one vector.
pub(super) struct Weights<L: Lanes> {
    codes: Codes<L>,
    /// Scale and minimum, or the scales of the first and the last 16 columns.
    scales: [L::F; 2],
}

/// What a format does in a product.
///
/// # Safety
/// As for [`Lanes`]; the panel is of this format and has the block, and `x` are 32 activations.
pub(super) trait Blocks {
    /// Loads a block for the rows of one part.
    unsafe fn load<L: Lanes>(panel: Panel, block: usize, part: usize) -> Weights<L>;

    /// The block's share of each row's product, before the scale of the activations.
    unsafe fn share<L: Lanes>(weights: &Weights<L>, x: *const i8, factors: &Factors) -> L::F;
}

/// `Σ scale · (code - zero) · x` from `dot = Σ code · x` and `sum = Σ x`: whole numbers below 2²⁴, rounded only at the end.
#[inline(always)]
unsafe fn centred<L: Lanes>(scale: L::F, dot: L::F, sum: f32, zero: f32) -> L::F {
    L::mul(scale, L::mul_add(L::splat(sum), L::splat(-zero), dot))
}

/// `Σ (scale · code + minimum) · x`.
#[inline(always)]
unsafe fn raised<L: Lanes>([scale, minimum]: [L::F; 2], dot: L::F, sum: f32) -> L::F {
    L::mul_add(scale, dot, L::mul(minimum, L::splat(sum)))
}

/// Writes what a format does: its codes, their size, its scales, and how a share follows from both.
macro_rules! blocks {
    ($name:ident, $codes:ident, $bytes:ident, $scales:ident, |$weights:ident, $x:ident, $factors:ident| $share:expr) => {
        pub(super) struct $name;

        impl Blocks for $name {
            #[inline(always)]
            unsafe fn load<L: Lanes>(panel: Panel, block: usize, part: usize) -> Weights<L> {
                let codes = L::$codes(panel.block::<L>(block, $bytes, part));
                Weights { codes, scales: panel.$scales::<L>(block, part) }
            }

            #[inline(always)]
            unsafe fn share<L: Lanes>($weights: &Weights<L>, $x: *const i8, $factors: &Factors) -> L::F {
                $share
            }
        }
    };
}

blocks!(Q4_0, nibbles, NIBBLES, scale, |weights, x, factors| {
    centred::<L>(weights.scales[0], L::dot_nibbles(&weights.codes, x), factors.sum, 8.)
});
blocks!(Q4_1, nibbles, NIBBLES, scale_and_minimum, |weights, x, factors| {
    raised::<L>(weights.scales, L::dot_nibbles(&weights.codes, x), factors.sum)
});
blocks!(Q5_0, fives, FIVES, scale, |weights, x, factors| {
    centred::<L>(weights.scales[0], L::dot_fives(&weights.codes, x), factors.sum, 16.)
});
blocks!(Q5_1, fives, FIVES, scale_and_minimum, |weights, x, factors| {
    raised::<L>(weights.scales, L::dot_fives(&weights.codes, x), factors.sum)
});
blocks!(Q8_0, bytes, BYTES, scale, |weights, x, factors| {
    L::mul(weights.scales[0], L::dot_bytes(&weights.codes, x, factors.sum))
});
blocks!(Q4K, nibbles, NIBBLES, scale_and_minimum_of_super, |weights, x, factors| {
    raised::<L>(weights.scales, L::dot_nibbles(&weights.codes, x), factors.sum)
});
blocks!(Q5K, fives, FIVES, scale_and_minimum_of_super, |weights, x, factors| {
    raised::<L>(weights.scales, L::dot_fives(&weights.codes, x), factors.sum)
});
blocks!(Q6K, sixes, SIXES, two_scales_of_super, |weights, x, factors| {
    let [first, last] = L::dot_sixes(&weights.codes, x);
    let first = centred::<L>(weights.scales[0], first, factors.halves[0], 32.);
    let last = L::mul_add(L::splat(factors.halves[1]), L::splat(-32.), last);
    L::mul_add(weights.scales[1], last, first)
});
