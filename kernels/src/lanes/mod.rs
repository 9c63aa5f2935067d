//! Vectors as an instruction set has them: sixteen lanes of f32, one for each row of a panel, in as many vectors as that
//! takes, and the codes of quantised weights.
//!
//! Every path computes the same bits. Lanes meet only in [`Lanes::sum`], whose order is fixed; a multiply-add rounds once
//! everywhere; what is summed over the columns of a block are integers.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
mod scalar;

#[cfg(target_arch = "x86_64")]
pub(crate) use self::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use self::avx512::Avx512;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
pub(crate) use self::neon::Neon;
pub(crate) use self::scalar::Scalar;

/// Rows of a panel, and lanes that always go together.
pub(crate) const PANEL: usize = 16;

/// Most vectors that hold the lanes of a panel.
pub(crate) const MAX_PARTS: usize = 4;

/// Columns that one scale or pair of scales of the activations is for.
pub(crate) const BLOCK: usize = 32;

/// Groups of four columns in a block: the products of four codes with four activations are what instructions sum at once.
pub(crate) const WORDS: usize = BLOCK / 4;

/// Bytes of a vector of codes: four columns of each row of a panel, or eight in halves of bytes.
pub(crate) const VECTOR: usize = 4 * PANEL;

/// Lanes of a panel's rows in f32, vector by vector; those behind [`Lanes::PARTS`] mean nothing.
pub(crate) type Wide<L> = [<L as Lanes>::F; MAX_PARTS];

/// Codes of a block for the rows of one vector, four columns in each.
pub(crate) type Codes<L> = [<L as Lanes>::I; WORDS];

/// What kernels need of an instruction set.
///
/// A block of codes lies in vectors of [`VECTOR`] bytes, of which a part's rows are a section: `at` points to its first
/// byte in the first vector, and those in the others are [`VECTOR`] apart. Columns 4w to 4w + 3 of a row are the four bytes
/// of its word in vector w; with half bytes, vector w has columns 4w.. in low and 16 + 4w.. in high halves.
///
/// # Safety
/// All functions: the processor has the instruction set, and pointers lead to as many numbers as the function reads or
/// writes, of which there are [`LANES`](Lanes::LANES) unless it says otherwise. Floats and f16 are aligned as such.
pub(crate) trait Lanes: Copy {
    /// Vectors that hold the lanes of a panel.
    const PARTS: usize;

    /// Rows, and lanes, of one vector.
    const LANES: usize = PANEL / Self::PARTS;

    /// [`LANES`](Lanes::LANES) numbers.
    type F: Copy;

    /// Four codes of as many rows.
    type I: Copy;

    /// `x` in every lane.
    unsafe fn splat(x: f32) -> Self::F;

    /// `a + b`.
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;

    /// `a · b`.
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;

    /// `a · b + c`, rounded once.
    unsafe fn mul_add(a: Self::F, b: Self::F, c: Self::F) -> Self::F;

    /// `x` held within `low` to `high`; what is no number stays none.
    unsafe fn clamp(x: Self::F, low: Self::F, high: Self::F) -> Self::F;

    /// Numbers in f32.
    unsafe fn load(at: *const f32) -> Self::F;

    /// Numbers in f16, by their bits.
    unsafe fn load_f16(at: *const u16) -> Self::F;

    /// Whole numbers from 0 to 255.
    unsafe fn load_u8(at: *const u8) -> Self::F;

    /// Whole numbers from -128 to 127.
    unsafe fn load_i8(at: *const u8) -> Self::F;

    /// Writes the lanes.
    unsafe fn store(at: *mut f32, x: Self::F);

    /// Sum of the lanes of a panel: lane i and lane i + 8, of these i and i + 4, then i and i + 2, then the last two.
    unsafe fn sum(x: Wide<Self>) -> f32;

    /// Codes of 4 bits, four vectors.
    unsafe fn nibbles(at: *const u8) -> Codes<Self>;

    /// Codes of 5 bits: the lower 4 as [`nibbles`](Lanes::nibbles), then a vector of the upper one, where bit w of the bytes
    /// is that of columns 4w to 4w + 3.
    unsafe fn fives(at: *const u8) -> Codes<Self>;

    /// Codes of 6 bits: the lower 4 as [`nibbles`](Lanes::nibbles), then two vectors of the upper 2, where bits 2i and
    /// 2i + 1 of the bytes in vector h are those of columns 16h + 4i to 16h + 4i + 3.
    unsafe fn sixes(at: *const u8) -> Codes<Self>;

    /// Codes of 8 bits with a sign, eight vectors.
    unsafe fn bytes(at: *const u8) -> Codes<Self>;

    /// Sums of products of a block's [`nibbles`](Lanes::nibbles) with 32 activations.
    unsafe fn dot_nibbles(codes: &Codes<Self>, x: *const i8) -> Self::F;

    /// The same for [`fives`](Lanes::fives).
    unsafe fn dot_fives(codes: &Codes<Self>, x: *const i8) -> Self::F;

    /// The same for [`sixes`](Lanes::sixes), the first and the last 16 columns each.
    unsafe fn dot_sixes(codes: &Codes<Self>, x: *const i8) -> [Self::F; 2];

    /// The same for [`bytes`](Lanes::bytes); `sum` is that of the activations. They are none below -127.
    unsafe fn dot_bytes(codes: &Codes<Self>, x: *const i8, sum: f32) -> Self::F;
}

/// Four activations as one word.
#[inline(always)]
unsafe fn word(x: *const i8, at: usize) -> i32 {
    x.cast::<i32>().add(at).read_unaligned()
}
