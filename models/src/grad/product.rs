//! Products of small matrices, of which attention has one for each head and block of rows. Their operands lie in a core's
//! caches as they are, so nothing is packed: a strip of [`ROWS`] rows meets two vectors of columns, and the sums stay in
//! registers.

use std::array::from_fn;

use pulp::{Arch, Simd, WithSimd};

/// Widths of right operands and results are multiples of this; vectors of every instruction set divide it.
pub(super) const LANES: usize = 16;

/// Rows of a strip: with two vectors each, 12 sums, which 16 registers hold beside their operands.
const ROWS: usize = 6;

/// Rows of numbers that begin `stride` apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
}

/// What a product does with the numbers that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    /// Replaces them.
    Set,
    /// Adds to them.
    Add,
}

/// `[m, k]` with `[k, n]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) n: usize,
}

/// `out = a · b` or `out += a · b`; `b` and `out` have rows of `n` numbers, a multiple of [`LANES`].
pub(super) fn multiply(a: Matrix<'_>, b: Matrix<'_>, out: (&mut [f32], usize), size: Size, store: Store) {
    Arch::new().dispatch(Product { left: ByRows(a, size.k), b, out, size, store });
}

/// As [`multiply`] with `aᵀ · b`: `a` is `[k, m]`.
pub(super) fn multiply_transposed(
    a: Matrix<'_>,
    b: Matrix<'_>,
    out: (&mut [f32], usize),
    size: Size,
    store: Store,
) {
    Arch::new().dispatch(Product { left: ByColumns(a), b, out, size, store });
}

/// How a strip of the left operand is read, one column after the other.
trait Left: Copy {
    fn strip<const R: usize>(self, row: usize) -> impl Iterator<Item = [f32; R]>;
}

/// Row after row, so many columns.
#[derive(Clone, Copy)]
struct ByRows<'a>(Matrix<'a>, usize);

impl Left for ByRows<'_> {
    #[inline(always)]
    fn strip<const R: usize>(self, row: usize) -> impl Iterator<Item = [f32; R]> {
        let Self(Matrix { values, stride }, columns) = self;
        let rows: [&[f32]; R] = from_fn(|i| &values[(row + i) * stride..][..columns]);
        (0..columns).map(move |column| from_fn(|i| rows[i][column]))
    }
}

/// Column after column.
#[derive(Clone, Copy)]
struct ByColumns<'a>(Matrix<'a>);

impl Left for ByColumns<'_> {
    #[inline(always)]
    fn strip<const R: usize>(self, row: usize) -> impl Iterator<Item = [f32; R]> {
        self.0.values.chunks(self.0.stride).map(move |column| {
            let strip = &column[row..row + R];
            from_fn(|i| strip[i])
        })
    }
}

struct Product<'a, L> {
    left: L,
    b: Matrix<'a>,
    /// Its numbers and where each row begins after the last.
    out: (&'a mut [f32], usize),
    size: Size,
    store: Store,
}

impl<L: Left> WithSimd for Product<'_, L> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for row in (0..self.size.m).step_by(ROWS) {
            match self.size.m - row {
                1 => self.strip::<S, 1>(simd, row),
                2 => self.strip::<S, 2>(simd, row),
                3 => self.strip::<S, 3>(simd, row),
                4 => self.strip::<S, 4>(simd, row),
                5 => self.strip::<S, 5>(simd, row),
                _ => self.strip::<S, ROWS>(simd, row),
            }
        }
    }
}

impl<L: Left> Product<'_, L> {
    #[inline(always)]
    fn strip<S: Simd, const R: usize>(&mut self, simd: S, row: usize) {
        let mut column = 0;
        while column + 2 * S::F32_LANES <= self.size.n {
            self.tile::<S, R, 2>(simd, row, column);
            column += 2 * S::F32_LANES;
        }
        if column < self.size.n {
            self.tile::<S, R, 1>(simd, row, column);
        }
    }

    /// `R` rows and `C` vectors of the result.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const C: usize>(&mut self, simd: S, row: usize, column: usize) {
        let width = C * S::F32_LANES;
        let mut sums = [[simd.splat_f32s(0.); C]; R];
        let rows = self.b.values.chunks(self.b.stride).take(self.size.k);
        for (b, a) in rows.zip(self.left.strip::<R>(row)) {
            let b = S::as_simd_f32s(&b[column..column + width]).0;
            for (sums, a) in sums.iter_mut().zip(&a) {
                let a = simd.splat_f32s(*a);
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = simd.mul_add_e_f32s(a, *b, *sum);
                }
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            let out = &mut self.out.0[(row + i) * self.out.1 + column..][..width];
            for (out, sum) in S::as_mut_simd_f32s(out).0.iter_mut().zip(sums) {
                *out = if self.store == Store::Add { simd.add_f32s(*out, sum) } else { sum };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919) % 23) as f32 - 11.).collect()
    }

    #[test]
    fn equal_plain_loops() {
        for (m, k, n) in [(1, 1, 16), (7, 5, 32), (12, 64, 48), (35, 80, 80), (5, 3, 112)] {
            let (a_stride, b_stride, out_stride) = (k + 3, n + 16, n + 32);
            let a = numbers(m * a_stride);
            let b = numbers(k * b_stride);
            let transposed: Vec<f32> = (0..k * (m + 2))
                .map(|at| a.get(at % (m + 2) * a_stride + at / (m + 2)).copied().unwrap_or(9.))
                .collect();
            let before = numbers(m * out_stride);
            let want = |row: usize, column: usize| {
                (0..k).map(|p| a[row * a_stride + p] * b[p * b_stride + column]).sum::<f32>()
            };
            let a = Matrix { values: &a, stride: a_stride };
            let b = Matrix { values: &b, stride: b_stride };
            let transposed = Matrix { values: &transposed, stride: m + 2 };
            let size = Size { m, k, n };
            let (mut set, mut added) = (before.clone(), before.clone());
            multiply(a, b, (&mut set, out_stride), size, Store::Set);
            multiply_transposed(transposed, b, (&mut added, out_stride), size, Store::Add);
            for (at, before) in before.into_iter().enumerate() {
                let (row, column) = (at / out_stride, at % out_stride);
                let (sum, inside) = if column < n { (want(row, column), 1.) } else { (0., 0.) };
                assert_eq!(set[at], sum + before * (1. - inside), "set {m}x{k}x{n} at {row}, {column}");
                assert_eq!(added[at], sum + before, "added {m}x{k}x{n} at {row}, {column}");
            }
        }
    }
}
