//! NEON, which every 64-bit ARM has: four vectors of four rows. Products of eight codes in 16 bits, summed by pairs there
//! (at most 2 · 128 · 127 = 32,512) and then in 32.

use std::arch::aarch64::*;

use super::{Codes, Lanes, VECTOR, WORDS, Wide, word};
use crate::math::half;

#[derive(Clone, Copy)]
pub(crate) struct Neon;

impl Lanes for Neon {
    const PARTS: usize = 4;

    type F = float32x4_t;
    type I = int8x16_t;

    #[inline(always)]
    unsafe fn splat(x: f32) -> float32x4_t {
        vdupq_n_f32(x)
    }

    #[inline(always)]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vaddq_f32(a, b)
    }

    #[inline(always)]
    unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vmulq_f32(a, b)
    }

    #[inline(always)]
    unsafe fn mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        vfmaq_f32(c, a, b)
    }

    #[inline(always)]
    unsafe fn clamp(x: float32x4_t, low: float32x4_t, high: float32x4_t) -> float32x4_t {
        let raised = vbslq_f32(vcltq_f32(x, low), low, x);
        vbslq_f32(vcgtq_f32(raised, high), high, raised)
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> float32x4_t {
        vld1q_f32(at)
    }

    #[inline(always)]
    unsafe fn load_f16(at: *const u16) -> float32x4_t {
        four(at.cast::<[u16; 4]>().read().map(half))
    }

    #[inline(always)]
    unsafe fn load_u8(at: *const u8) -> float32x4_t {
        four(at.cast::<[u8; 4]>().read().map(f32::from))
    }

    #[inline(always)]
    unsafe fn load_i8(at: *const u8) -> float32x4_t {
        four(at.cast::<[i8; 4]>().read().map(f32::from))
    }

    #[inline(always)]
    unsafe fn store(at: *mut f32, x: float32x4_t) {
        vst1q_f32(at, x);
    }

    #[inline(always)]
    unsafe fn sum(x: Wide<Self>) -> f32 {
        let four = vaddq_f32(vaddq_f32(x[0], x[2]), vaddq_f32(x[1], x[3]));
        let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
        vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
    }

    #[inline(always)]
    unsafe fn nibbles(at: *const u8) -> Codes<Self> {
        let mut codes = [vdupq_n_s8(0); WORDS];
        for word in 0..WORDS / 2 {
            let pairs = vld1q_u8(at.add(word * VECTOR));
            codes[word] = vreinterpretq_s8_u8(vandq_u8(pairs, vdupq_n_u8(15)));
            codes[word + WORDS / 2] = vreinterpretq_s8_u8(vshrq_n_u8::<4>(pairs));
        }
        codes
    }

    #[inline(always)]
    unsafe fn fives(at: *const u8) -> Codes<Self> {
        let mut codes = Self::nibbles(at);
        let high = vld1q_u8(at.add(WORDS / 2 * VECTOR));
        let places = [
            vshlq_n_u8::<4>(high),
            vshlq_n_u8::<3>(high),
            vshlq_n_u8::<2>(high),
            vshlq_n_u8::<1>(high),
            high,
            vshrq_n_u8::<1>(high),
            vshrq_n_u8::<2>(high),
            vshrq_n_u8::<3>(high),
        ];
        for (codes, bits) in codes.iter_mut().zip(places) {
            *codes = vorrq_s8(*codes, vreinterpretq_s8_u8(vandq_u8(bits, vdupq_n_u8(0x10))));
        }
        codes
    }

    #[inline(always)]
    unsafe fn sixes(at: *const u8) -> Codes<Self> {
        let mut codes = Self::nibbles(at);
        for (half, codes) in codes.chunks_exact_mut(4).enumerate() {
            let high = vld1q_u8(at.add((WORDS / 2 + half) * VECTOR));
            let places = [vshlq_n_u8::<4>(high), vshlq_n_u8::<2>(high), high, vshrq_n_u8::<2>(high)];
            for (codes, bits) in codes.iter_mut().zip(places) {
                *codes = vorrq_s8(*codes, vreinterpretq_s8_u8(vandq_u8(bits, vdupq_n_u8(0x30))));
            }
        }
        codes
    }

    #[inline(always)]
    unsafe fn bytes(at: *const u8) -> Codes<Self> {
        let mut codes = [vdupq_n_s8(0); WORDS];
        for (word, codes) in codes.iter_mut().enumerate() {
            *codes = vreinterpretq_s8_u8(vld1q_u8(at.add(word * VECTOR)));
        }
        codes
    }

    #[inline(always)]
    unsafe fn dot_nibbles(codes: &Codes<Self>, x: *const i8) -> float32x4_t {
        let [first, last] = halves(codes, x);
        vcvtq_f32_s32(vaddq_s32(first, last))
    }

    #[inline(always)]
    unsafe fn dot_fives(codes: &Codes<Self>, x: *const i8) -> float32x4_t {
        Self::dot_nibbles(codes, x)
    }

    #[inline(always)]
    unsafe fn dot_sixes(codes: &Codes<Self>, x: *const i8) -> [float32x4_t; 2] {
        let [first, last] = halves(codes, x);
        [vcvtq_f32_s32(first), vcvtq_f32_s32(last)]
    }

    #[inline(always)]
    unsafe fn dot_bytes(codes: &Codes<Self>, x: *const i8, _sum: f32) -> float32x4_t {
        Self::dot_nibbles(codes, x)
    }
}

#[inline(always)]
unsafe fn four(numbers: [f32; 4]) -> float32x4_t {
    vld1q_f32(numbers.as_ptr())
}

/// Sums over the first and the last 16 columns.
#[inline(always)]
unsafe fn halves(codes: &Codes<Neon>, x: *const i8) -> [int32x4_t; 2] {
    let mut sums = [vdupq_n_s32(0); 2];
    for (at, codes) in codes.iter().enumerate() {
        let x = vreinterpretq_s8_s32(vdupq_n_s32(word(x, at)));
        let low = vmull_s8(vget_low_s8(*codes), vget_low_s8(x));
        let pairs = vpaddq_s16(low, vmull_high_s8(*codes, x));
        let sum = &mut sums[at / (WORDS / 2)];
        *sum = vpadalq_s16(*sum, pairs);
    }
    sums
}
