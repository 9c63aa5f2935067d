//! Any processor: what the other paths are compared with.

use std::array::from_fn;

use super::{Codes, Lanes, PANEL, VECTOR, WORDS, Wide};
use crate::math::{fold, half};

#[derive(Clone, Copy)]
pub(crate) struct Scalar;

impl Lanes for Scalar {
    const PARTS: usize = 1;

    type F = [f32; PANEL];
    type I = [i8; VECTOR];

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::F {
        [x; PANEL]
    }

    #[inline(always)]
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    unsafe fn mul_add(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        from_fn(|i| a[i].mul_add(b[i], c[i]))
    }

    #[inline(always)]
    unsafe fn clamp(x: Self::F, low: Self::F, high: Self::F) -> Self::F {
        from_fn(|i| x[i].clamp(low[i], high[i]))
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self::F {
        at.cast::<Self::F>().read()
    }

    #[inline(always)]
    unsafe fn load_f16(at: *const u16) -> Self::F {
        at.cast::<[u16; PANEL]>().read().map(half)
    }

    #[inline(always)]
    unsafe fn load_u8(at: *const u8) -> Self::F {
        at.cast::<[u8; PANEL]>().read().map(f32::from)
    }

    #[inline(always)]
    unsafe fn load_i8(at: *const u8) -> Self::F {
        at.cast::<[i8; PANEL]>().read().map(f32::from)
    }

    #[inline(always)]
    unsafe fn store(at: *mut f32, x: Self::F) {
        at.cast::<Self::F>().write(x);
    }

    #[inline(always)]
    unsafe fn sum(x: Wide<Self>) -> f32 {
        fold(x[0])
    }

    #[inline(always)]
    unsafe fn nibbles(at: *const u8) -> Codes<Self> {
        from_fn(|word| {
            let pairs = at.add(word % (WORDS / 2) * VECTOR).cast::<[u8; VECTOR]>().read();
            pairs.map(|pair| (pair >> (word / (WORDS / 2) * 4) & 15) as i8)
        })
    }

    #[inline(always)]
    unsafe fn fives(at: *const u8) -> Codes<Self> {
        let low = Self::nibbles(at);
        let high = at.add(WORDS / 2 * VECTOR).cast::<[u8; VECTOR]>().read();
        from_fn(|word| from_fn(|i| low[word][i] | ((high[i] >> word & 1) << 4) as i8))
    }

    #[inline(always)]
    unsafe fn sixes(at: *const u8) -> Codes<Self> {
        let low = Self::nibbles(at);
        from_fn(|word| {
            let high = at.add((WORDS / 2 + word / 4) * VECTOR).cast::<[u8; VECTOR]>().read();
            from_fn(|i| low[word][i] | ((high[i] >> (word % 4 * 2) & 3) << 4) as i8)
        })
    }

    #[inline(always)]
    unsafe fn bytes(at: *const u8) -> Codes<Self> {
        from_fn(|word| at.add(word * VECTOR).cast::<[i8; VECTOR]>().read())
    }

    #[inline(always)]
    unsafe fn dot_nibbles(codes: &Codes<Self>, x: *const i8) -> Self::F {
        dot(codes, x).map(|sum| sum as f32)
    }

    #[inline(always)]
    unsafe fn dot_fives(codes: &Codes<Self>, x: *const i8) -> Self::F {
        dot(codes, x).map(|sum| sum as f32)
    }

    #[inline(always)]
    unsafe fn dot_sixes(codes: &Codes<Self>, x: *const i8) -> [Self::F; 2] {
        let (first, last) = codes.split_at(WORDS / 2);
        [dot(first, x).map(|sum| sum as f32), dot(last, x.add(4 * first.len())).map(|sum| sum as f32)]
    }

    #[inline(always)]
    unsafe fn dot_bytes(codes: &Codes<Self>, x: *const i8, _sum: f32) -> Self::F {
        dot(codes, x).map(|sum| sum as f32)
    }
}

#[inline(always)]
unsafe fn dot(codes: &[[i8; VECTOR]], x: *const i8) -> [i32; PANEL] {
    let mut sums = [0; PANEL];
    for (word, codes) in codes.iter().enumerate() {
        let x = x.add(4 * word).cast::<[i8; 4]>().read();
        for (sum, codes) in sums.iter_mut().zip(codes.as_chunks::<4>().0) {
            *sum += codes.iter().zip(x).map(|(code, x)| i32::from(*code) * i32::from(x)).sum::<i32>();
        }
    }
    sums
}
