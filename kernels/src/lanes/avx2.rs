//! AVX2 with FMA and F16C: vectors of eight rows. Products of four codes are summed by `maddubs`, unsigned codes with signed
//! activations, in 16 bits that saturate, and then by `madd` in 32. Saturation is never reached: see each sum.

use std::arch::x86_64::*;

use super::{Codes, Lanes, VECTOR, WORDS, Wide, word};

#[derive(Clone, Copy)]
pub(crate) struct Avx2;

impl Lanes for Avx2 {
    const PARTS: usize = 2;

    type F = __m256;
    type I = __m256i;

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        _mm256_set1_ps(x)
    }

    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        _mm256_add_ps(a, b)
    }

    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        _mm256_mul_ps(a, b)
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        _mm256_fmadd_ps(a, b, c)
    }

    /// Both instructions give their second operand where one is no number.
    #[inline(always)]
    unsafe fn clamp(x: __m256, low: __m256, high: __m256) -> __m256 {
        _mm256_min_ps(high, _mm256_max_ps(low, x))
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> __m256 {
        _mm256_loadu_ps(at)
    }

    #[inline(always)]
    unsafe fn load_f16(at: *const u16) -> __m256 {
        _mm256_cvtph_ps(_mm_loadu_si128(at.cast()))
    }

    #[inline(always)]
    unsafe fn load_u8(at: *const u8) -> __m256 {
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(at.cast())))
    }

    #[inline(always)]
    unsafe fn load_i8(at: *const u8) -> __m256 {
        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(at.cast())))
    }

    #[inline(always)]
    unsafe fn store(at: *mut f32, x: __m256) {
        _mm256_storeu_ps(at, x);
    }

    #[inline(always)]
    unsafe fn sum(x: Wide<Self>) -> f32 {
        sum_of_eight(_mm256_add_ps(x[0], x[1]))
    }

    #[inline(always)]
    unsafe fn nibbles(at: *const u8) -> Codes<Self> {
        let low = _mm256_set1_epi8(15);
        let mut codes = [low; WORDS];
        for word in 0..WORDS / 2 {
            let pairs = _mm256_loadu_si256(at.add(word * VECTOR).cast());
            codes[word] = _mm256_and_si256(pairs, low);
            codes[word + WORDS / 2] = _mm256_and_si256(_mm256_srli_epi16::<4>(pairs), low);
        }
        codes
    }

    #[inline(always)]
    unsafe fn fives(at: *const u8) -> Codes<Self> {
        let mut codes = Self::nibbles(at);
        let upper = _mm256_set1_epi8(0x10);
        let high = _mm256_loadu_si256(at.add(WORDS / 2 * VECTOR).cast());
        let places = [
            _mm256_slli_epi16::<4>(high),
            _mm256_slli_epi16::<3>(high),
            _mm256_slli_epi16::<2>(high),
            _mm256_slli_epi16::<1>(high),
            high,
            _mm256_srli_epi16::<1>(high),
            _mm256_srli_epi16::<2>(high),
            _mm256_srli_epi16::<3>(high),
        ];
        for (codes, bits) in codes.iter_mut().zip(places) {
            *codes = _mm256_or_si256(*codes, _mm256_and_si256(bits, upper));
        }
        codes
    }

    #[inline(always)]
    unsafe fn sixes(at: *const u8) -> Codes<Self> {
        let mut codes = Self::nibbles(at);
        let upper = _mm256_set1_epi8(0x30);
        for (half, codes) in codes.chunks_exact_mut(4).enumerate() {
            let high = _mm256_loadu_si256(at.add((WORDS / 2 + half) * VECTOR).cast());
            let places = [
                _mm256_slli_epi16::<4>(high),
                _mm256_slli_epi16::<2>(high),
                high,
                _mm256_srli_epi16::<2>(high),
            ];
            for (codes, bits) in codes.iter_mut().zip(places) {
                *codes = _mm256_or_si256(*codes, _mm256_and_si256(bits, upper));
            }
        }
        codes
    }

    #[inline(always)]
    unsafe fn bytes(at: *const u8) -> Codes<Self> {
        let mut codes = [_mm256_setzero_si256(); WORDS];
        for (word, codes) in codes.iter_mut().enumerate() {
            *codes = _mm256_loadu_si256(at.add(word * VECTOR).cast());
        }
        codes
    }

    /// At most 8 · 2 · 15 · 127 = 30,480 in 16 bits.
    #[inline(always)]
    unsafe fn dot_nibbles(codes: &Codes<Self>, x: *const i8) -> __m256 {
        let mut pairs = _mm256_setzero_si256();
        for (at, codes) in codes.iter().enumerate() {
            pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(*codes, four(x, at)));
        }
        _mm256_cvtepi32_ps(join(pairs))
    }

    /// At most 4 · 2 · 31 · 127 = 31,496 in 16 bits.
    #[inline(always)]
    unsafe fn dot_fives(codes: &Codes<Self>, x: *const i8) -> __m256 {
        let mut halves = [_mm256_setzero_si256(); 2];
        for (at, codes) in codes.iter().enumerate() {
            let pairs = &mut halves[at / (WORDS / 2)];
            *pairs = _mm256_add_epi16(*pairs, _mm256_maddubs_epi16(*codes, four(x, at)));
        }
        _mm256_cvtepi32_ps(_mm256_add_epi32(join(halves[0]), join(halves[1])))
    }

    /// At most 2 · 2 · 63 · 127 = 32,004 in 16 bits.
    #[inline(always)]
    unsafe fn dot_sixes(codes: &Codes<Self>, x: *const i8) -> [__m256; 2] {
        let mut sums = [_mm256_setzero_si256(); 4];
        for (two, sum) in sums.iter_mut().enumerate() {
            let first = _mm256_maddubs_epi16(codes[2 * two], four(x, 2 * two));
            let second = _mm256_maddubs_epi16(codes[2 * two + 1], four(x, 2 * two + 1));
            *sum = join(_mm256_add_epi16(first, second));
        }
        [
            _mm256_cvtepi32_ps(_mm256_add_epi32(sums[0], sums[1])),
            _mm256_cvtepi32_ps(_mm256_add_epi32(sums[2], sums[3])),
        ]
    }

    /// At most 2 · 128 · 127 = 32,512 in 16 bits. The codes' signs go over to the activations.
    #[inline(always)]
    unsafe fn dot_bytes(codes: &Codes<Self>, x: *const i8, _sum: f32) -> __m256 {
        let mut sum = _mm256_setzero_si256();
        for (at, codes) in codes.iter().enumerate() {
            let x = _mm256_sign_epi8(four(x, at), *codes);
            sum = _mm256_add_epi32(sum, join(_mm256_maddubs_epi16(_mm256_abs_epi8(*codes), x)));
        }
        _mm256_cvtepi32_ps(sum)
    }
}

/// Four activations, the same for each row.
#[inline(always)]
unsafe fn four(x: *const i8, at: usize) -> __m256i {
    _mm256_set1_epi32(word(x, at))
}

/// Sums of two pairs each.
#[inline(always)]
unsafe fn join(pairs: __m256i) -> __m256i {
    _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
}

/// The end of [`Lanes::sum`], from its second step on.
#[inline(always)]
pub(super) unsafe fn sum_of_eight(x: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}
