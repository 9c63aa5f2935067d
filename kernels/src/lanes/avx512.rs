//! AVX-512 with VNNI: one vector for the sixteen rows of a panel. `vpdpbusd` multiplies unsigned codes with signed
//! activations and sums four products into 32 bits.

use std::arch::x86_64::*;

use super::avx2::sum_of_eight;
use super::{Codes, Lanes, VECTOR, WORDS, Wide, word};

#[derive(Clone, Copy)]
pub(crate) struct Avx512;

impl Lanes for Avx512 {
    const PARTS: usize = 1;

    type F = __m512;
    type I = __m512i;

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        _mm512_set1_ps(x)
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(a, b)
    }

    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        _mm512_mul_ps(a, b)
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, c)
    }

    /// Both instructions give their second operand where one is no number.
    #[inline(always)]
    unsafe fn clamp(x: __m512, low: __m512, high: __m512) -> __m512 {
        _mm512_min_ps(high, _mm512_max_ps(low, x))
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> __m512 {
        _mm512_loadu_ps(at)
    }

    #[inline(always)]
    unsafe fn load_f16(at: *const u16) -> __m512 {
        _mm512_cvtph_ps(_mm256_loadu_si256(at.cast()))
    }

    #[inline(always)]
    unsafe fn load_u8(at: *const u8) -> __m512 {
        _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(at.cast())))
    }

    #[inline(always)]
    unsafe fn load_i8(at: *const u8) -> __m512 {
        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(at.cast())))
    }

    #[inline(always)]
    unsafe fn store(at: *mut f32, x: __m512) {
        _mm512_storeu_ps(at, x);
    }

    #[inline(always)]
    unsafe fn sum(x: Wide<Self>) -> f32 {
        let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(x[0])));
        sum_of_eight(_mm256_add_ps(_mm512_castps512_ps256(x[0]), high))
    }

    #[inline(always)]
    unsafe fn nibbles(at: *const u8) -> Codes<Self> {
        let low = _mm512_set1_epi8(15);
        let mut codes = [low; WORDS];
        for word in 0..WORDS / 2 {
            let pairs = _mm512_loadu_si512(at.add(word * VECTOR).cast());
            codes[word] = _mm512_and_si512(pairs, low);
            codes[word + WORDS / 2] = _mm512_and_si512(_mm512_srli_epi16::<4>(pairs), low);
        }
        codes
    }

    #[inline(always)]
    unsafe fn fives(at: *const u8) -> Codes<Self> {
        let mut codes = Self::nibbles(at);
        let upper = _mm512_set1_epi8(0x10);
        let high = _mm512_loadu_si512(at.add(WORDS / 2 * VECTOR).cast());
        let places = [
            _mm512_slli_epi16::<4>(high),
            _mm512_slli_epi16::<3>(high),
            _mm512_slli_epi16::<2>(high),
            _mm512_slli_epi16::<1>(high),
            high,
            _mm512_srli_epi16::<1>(high),
            _mm512_srli_epi16::<2>(high),
            _mm512_srli_epi16::<3>(high),
        ];
        for (codes, bits) in codes.iter_mut().zip(places) {
            *codes = _mm512_or_si512(*codes, _mm512_and_si512(bits, upper));
        }
        codes
    }

    #[inline(always)]
    unsafe fn sixes(at: *const u8) -> Codes<Self> {
        let mut codes = Self::nibbles(at);
        let upper = _mm512_set1_epi8(0x30);
        for (half, codes) in codes.chunks_exact_mut(4).enumerate() {
            let high = _mm512_loadu_si512(at.add((WORDS / 2 + half) * VECTOR).cast());
            let places = [
                _mm512_slli_epi16::<4>(high),
                _mm512_slli_epi16::<2>(high),
                high,
                _mm512_srli_epi16::<2>(high),
            ];
            for (codes, bits) in codes.iter_mut().zip(places) {
                *codes = _mm512_or_si512(*codes, _mm512_and_si512(bits, upper));
            }
        }
        codes
    }

    /// Made unsigned by adding 128, which is what turning the highest bit does.
    #[inline(always)]
    unsafe fn bytes(at: *const u8) -> Codes<Self> {
        let sign = _mm512_set1_epi8(i8::MIN);
        let mut codes = [sign; WORDS];
        for (word, codes) in codes.iter_mut().enumerate() {
            *codes = _mm512_xor_si512(_mm512_loadu_si512(at.add(word * VECTOR).cast()), sign);
        }
        codes
    }

    #[inline(always)]
    unsafe fn dot_nibbles(codes: &Codes<Self>, x: *const i8) -> __m512 {
        let [first, last] = halves(codes, x);
        _mm512_cvtepi32_ps(_mm512_add_epi32(first, last))
    }

    #[inline(always)]
    unsafe fn dot_fives(codes: &Codes<Self>, x: *const i8) -> __m512 {
        Self::dot_nibbles(codes, x)
    }

    #[inline(always)]
    unsafe fn dot_sixes(codes: &Codes<Self>, x: *const i8) -> [__m512; 2] {
        let [first, last] = halves(codes, x);
        [_mm512_cvtepi32_ps(first), _mm512_cvtepi32_ps(last)]
    }

    /// What the added 128 brought in is taken out again; both are whole numbers below 2²⁴, so nothing is rounded.
    #[inline(always)]
    unsafe fn dot_bytes(codes: &Codes<Self>, x: *const i8, sum: f32) -> __m512 {
        let [first, last] = halves(codes, x);
        let unsigned = _mm512_cvtepi32_ps(_mm512_add_epi32(first, last));
        _mm512_fmadd_ps(_mm512_set1_ps(sum), _mm512_set1_ps(-128.), unsigned)
    }
}

/// Sums over the first and the last 16 columns: two chains, since each waits for its last sum.
#[inline(always)]
unsafe fn halves(codes: &Codes<Avx512>, x: *const i8) -> [__m512i; 2] {
    let mut sums = [_mm512_setzero_si512(); 2];
    for (at, codes) in codes.iter().enumerate() {
        let sum = &mut sums[at / (WORDS / 2)];
        *sum = _mm512_dpbusd_epi32(*sum, *codes, _mm512_set1_epi32(word(x, at)));
    }
    sums
}
