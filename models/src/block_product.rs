//! Products with block formats on the CPU, for those that candle 0.11 multiplies one number at a time: Q4_1 (which many
//! small models are published in), Q5_0 and Q5_1, and for rows of Q8_0 that its packed kernels do not take. The others go
//! to candle's own kernels.
//!
//! Work is shared by stealing: where another program has taken a core, nobody waits for the thread that lost it.
//! Blocks are unpacked into f32 registers and multiplied there; activations are not rounded. `pulp` compiles the loops
//! once for each instruction set and picks one at run time.

use std::marker::PhantomData;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Numbers in a block of every format here.
const BLOCK: usize = 32;

/// Numbers in half a block: the low nibbles, and the high ones.
const HALF: usize = BLOCK / 2;

/// Weight rows that share a load of the activations.
const TILE: usize = 4;

/// Multiplications below which a task is not split: some ten microseconds.
const WORK: usize = 1 << 17;

/// Rows of a multiple of this many numbers are what candle's packed kernels for Q8_0 take.
const PACKED: usize = 256;

/// `x · Wᵀ` for `x` `[.., k]` in f32 and blocks `[n, k]`.
pub(crate) struct BlockProduct<'a>(pub(crate) &'a QTensor);

impl CustomOp1 for BlockProduct<'_> {
    fn name(&self) -> &'static str {
        "block-product"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        match self.0.dtype() {
            GgmlDType::Q4_1 => multiply::<Q4_1>(self.0, storage, layout),
            GgmlDType::Q5_0 => multiply::<Q5_0>(self.0, storage, layout),
            GgmlDType::Q5_1 => multiply::<Q5_1>(self.0, storage, layout),
            GgmlDType::Q8_0 if !layout.dims().last().is_some_and(|k| k.is_multiple_of(PACKED)) => {
                multiply::<Q8_0>(self.0, storage, layout)
            }
            _ => self.0.cpu_fwd(storage, layout),
        }
    }

    fn cuda_fwd(
        &self,
        storage: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        self.0.cuda_fwd(storage, layout)
    }
}

fn multiply<F: Format>(
    blocks: &QTensor,
    storage: &CpuStorage,
    layout: &Layout,
) -> Result<(CpuStorage, Shape)> {
    let (n, k) = blocks.shape().dims2()?;
    let mut dims = layout.dims().to_vec();
    if dims.last() != Some(&k) {
        bail!("product of rows {dims:?} with blocks {:?}", blocks.shape());
    }
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("product with blocks: the rows are not contiguous");
    };
    let x = &storage.as_slice::<f32>()?[start..end];
    let product = product::<F>(&blocks.data()?, x, k, n);
    dims.pop();
    dims.push(n);
    Ok((CpuStorage::F32(product), Shape::from(dims)))
}

/// `[m, n]`, row after row.
fn product<F: Format>(weights: &[u8], x: &[f32], k: usize, n: usize) -> Vec<f32> {
    let (m, row_bytes) = (x.len() / k, k / BLOCK * F::SIZE);
    let mut by_column = vec![0f32; n * m];
    let block_sums: Vec<f32> = x.chunks_exact(BLOCK).map(|block| block.iter().sum()).collect();
    let arch = Arch::new();
    let tile = |(out, weights): (&mut [f32], &[u8])| {
        arch.dispatch(Tile::<F> { weights, x, block_sums: &block_sums, k, out, format: PhantomData });
    };
    let columns = by_column.par_chunks_mut((TILE * m).max(1));
    let tiles = columns.zip(weights.par_chunks((TILE * row_bytes).max(1)));
    tiles.with_min_len((WORK / (TILE * m * k).max(1)).max(1)).for_each(tile);
    if m == 1 { by_column } else { transpose(&by_column, n, m) }
}

fn transpose(by_column: &[f32], n: usize, m: usize) -> Vec<f32> {
    let mut by_row = vec![0f32; n * m];
    for (column, values) in by_column.chunks_exact(m).enumerate() {
        for (row, value) in values.iter().enumerate() {
            by_row[row * n + column] = *value;
        }
    }
    by_row
}

/// A few weight rows with all rows of `x`; `out` is `[weight rows, rows of x]`.
struct Tile<'a, F> {
    weights: &'a [u8],
    x: &'a [f32],
    block_sums: &'a [f32],
    k: usize,
    out: &'a mut [f32],
    format: PhantomData<F>,
}

impl<F: Format> WithSimd for Tile<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let row_bytes = self.k / BLOCK * F::SIZE;
        if self.x.len() == self.k {
            for (row, out) in self.weights.chunks_exact(row_bytes).zip(self.out) {
                *out = dot_packed::<S, F>(simd, row, self.x, self.block_sums);
            }
            return;
        }
        let m = self.x.len() / self.k;
        let rows = self.out.len() / m;
        let mut unpacked = vec![0f32; TILE * self.k];
        for (block, numbers) in self.weights.chunks_exact(F::SIZE).zip(unpacked.chunks_exact_mut(BLOCK)) {
            F::unpack(block).write(numbers);
        }
        for (i, x) in self.x.chunks_exact(self.k).enumerate() {
            let sums = dots(simd, &unpacked, x);
            for (row, sum) in sums.iter().enumerate().take(rows) {
                self.out[row * m + i] = *sum;
            }
        }
    }
}

/// `Σ (scale · q + minimum) · x`, block by block as `scale · Σ q · x + minimum · Σ x`.
#[inline(always)]
fn dot_packed<S: Simd, F: Format>(simd: S, row: &[u8], x: &[f32], block_sums: &[f32]) -> f32 {
    let (mut sum, mut minima) = (simd.splat_f32s(0.), 0f32);
    for ((block, x), block_sum) in row.chunks_exact(F::SIZE).zip(x.chunks_exact(BLOCK)).zip(block_sums) {
        let Block { q, scale, minimum } = F::unpack(block);
        let product = accumulate(simd, simd.splat_f32s(0.), q.as_flattened(), x);
        sum = simd.mul_add_f32s(product, simd.splat_f32s(scale), sum);
        minima += minimum * block_sum;
    }
    simd.reduce_sum_f32s(sum) + minima
}

/// The products of [`TILE`] unpacked rows with one row of `x`.
#[inline(always)]
fn dots<S: Simd>(simd: S, unpacked: &[f32], x: &[f32]) -> [f32; TILE] {
    let mut sums = [simd.splat_f32s(0.); TILE];
    for (at, x) in x.chunks_exact(BLOCK).enumerate() {
        for (row, sum) in sums.iter_mut().enumerate() {
            let start = row * (unpacked.len() / TILE) + at * BLOCK;
            *sum = accumulate(simd, *sum, &unpacked[start..start + BLOCK], x);
        }
    }
    sums.map(|sum| simd.reduce_sum_f32s(sum))
}

/// Lane by lane `sum + Σ a · b` over a block.
#[inline(always)]
fn accumulate<S: Simd>(simd: S, sum: S::f32s, a: &[f32], b: &[f32]) -> S::f32s {
    let (a, b) = (S::as_simd_f32s(a).0, S::as_simd_f32s(b).0);
    a.iter().zip(b).fold(sum, |sum, (a, b)| simd.mul_add_f32s(*a, *b, sum))
}

/// A block format of 32 numbers `scale · q + minimum` (ggml-common.h). In those of 4 and 5 bits the first 16 numbers are
/// in low and the last 16 in high nibbles.
trait Format: Sync {
    /// Bytes of a block.
    const SIZE: usize;

    /// The numbers of a block.
    fn unpack(block: &[u8]) -> Block;
}

/// 32 numbers `scale · q + minimum`.
struct Block {
    q: [[f32; HALF]; 2],
    scale: f32,
    minimum: f32,
}

impl Block {
    #[inline(always)]
    fn write(&self, numbers: &mut [f32]) {
        for (number, q) in numbers.iter_mut().zip(self.q.as_flattened()) {
            *number = q * self.scale + self.minimum;
        }
    }
}

struct Q4_1;
struct Q5_0;
struct Q5_1;
struct Q8_0;

impl Format for Q4_1 {
    const SIZE: usize = 20;

    #[inline(always)]
    fn unpack(block: &[u8]) -> Block {
        Block { q: nibbles(&block[4..20], 0), scale: half(block, 0), minimum: half(block, 2) }
    }
}

impl Format for Q5_0 {
    const SIZE: usize = 22;

    #[inline(always)]
    fn unpack(block: &[u8]) -> Block {
        let scale = half(block, 0);
        Block { q: nibbles(&block[6..22], word(block, 2)), scale, minimum: -16. * scale }
    }
}

impl Format for Q5_1 {
    const SIZE: usize = 24;

    #[inline(always)]
    fn unpack(block: &[u8]) -> Block {
        Block { q: nibbles(&block[8..24], word(block, 4)), scale: half(block, 0), minimum: half(block, 2) }
    }
}

impl Format for Q8_0 {
    const SIZE: usize = 34;

    #[inline(always)]
    fn unpack(block: &[u8]) -> Block {
        let mut q = [[0f32; HALF]; 2];
        for (q, byte) in q.as_flattened_mut().iter_mut().zip(&block[2..34]) {
            *q = f32::from(*byte as i8);
        }
        Block { q, scale: half(block, 0), minimum: 0. }
    }
}

/// `fifth` holds the fifth bits, number by number.
#[inline(always)]
fn nibbles(pairs: &[u8], fifth: u32) -> [[f32; HALF]; 2] {
    let mut q = [[0f32; HALF]; 2];
    for (i, pair) in pairs[..HALF].iter().enumerate() {
        let low = u32::from(pair & 15) | ((fifth >> i) & 1) << 4;
        let high = u32::from(pair >> 4) | ((fifth >> (i + HALF)) & 1) << 4;
        q[0][i] = low as i32 as f32;
        q[1][i] = high as i32 as f32;
    }
    q
}

#[inline(always)]
fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// The f16 at `at`. Scales are finite, so moving the bits and correcting the exponent's bias is enough, and it is
/// inlined, which a conversion that asks for the processor's features on each call is not.
#[inline(always)]
fn half(block: &[u8], at: usize) -> f32 {
    /// 2^112, the difference of the biases of f32 and f16.
    const REBIAS: f32 = f32::from_bits(0x7780_0000);
    let bits = u32::from(u16::from_le_bytes([block[at], block[at + 1]]));
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * REBIAS;
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn products_equal_those_of_dequantised_weights() {
        for blocks in [GgmlDType::Q4_1, GgmlDType::Q5_0, GgmlDType::Q5_1, GgmlDType::Q8_0] {
            for (m, n, k) in [(1, 1, 32), (1, 37, 576), (2, 4, 64), (7, 10, 96), (33, 129, 576)] {
                let weight = Tensor::randn(0f32, 1., (n, k), &Device::Cpu).unwrap();
                let quantized = QTensor::quantize(&weight, blocks).unwrap();
                let x = Tensor::randn(0f32, 1., (m, k), &Device::Cpu).unwrap();
                let got = x.apply_op1_no_bwd(&BlockProduct(&quantized)).unwrap();
                let want = x.matmul(&quantized.dequantize(&Device::Cpu).unwrap().t().unwrap()).unwrap();
                let difference =
                    (&got - &want).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                assert!(difference <= 1e-5 * k as f32, "{blocks:?} {m}x{n}x{k}: {difference}");
            }
        }
    }

    #[test]
    fn halves_convert_exactly() {
        for bits in (0..0x7c00u16).chain(0x8000..0xfc00) {
            assert_eq!(half(&bits.to_le_bytes(), 0), half::f16::from_bits(bits).to_f32(), "{bits:#x}");
        }
    }
}
