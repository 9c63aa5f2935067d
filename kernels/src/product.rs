//! Products of matrices in f32 by the `gemm` crate, into memory that nobody had to clear first, or onto numbers that are
//! there already.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use gemm::Parallelism;

/// `[rows, columns]` numbers of a slice: number `[i, j]` is `values[i * row_stride + j * column_stride]`.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Row after row without gaps.
    ///
    /// # Panics
    /// When `values` holds fewer numbers.
    #[must_use]
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(values, (rows, columns), (columns, 1))
    }

    /// With any steps from one row and one column to the next.
    ///
    /// # Panics
    /// When the last number lies outside of `values`.
    #[must_use]
    pub fn strided(values: &'a [f32], (rows, columns): (usize, usize), strides: (usize, usize)) -> Self {
        let matrix = Self { values, rows, columns, row_stride: strides.0, column_stride: strides.1 };
        assert!(
            matrix.end().is_some_and(|end| end <= values.len()),
            "a matrix [{rows}, {columns}] with strides {strides:?} in {} numbers",
            values.len()
        );
        matrix
    }

    /// Columns as rows.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// One past the last number's place; `None` when it has no name.
    fn end(&self) -> Option<usize> {
        match (self.rows.checked_sub(1), self.columns.checked_sub(1)) {
            (Some(row), Some(column)) => row
                .checked_mul(self.row_stride)?
                .checked_add(column.checked_mul(self.column_stride)?)?
                .checked_add(1),
            _ => Some(0),
        }
    }
}

/// `a · b`, row after row.
///
/// # Panics
/// When `a` has not as many columns as `b` has rows.
#[must_use]
pub fn product(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    let Some(len) = a.rows.checked_mul(b.columns) else {
        panic!("a product [{}, {}] has more numbers than there are addresses", a.rows, b.columns);
    };
    if len == 0 || a.columns == 0 {
        return vec![0.; len];
    }
    let mut out = Vec::with_capacity(len);
    multiply(a, b, &mut out.spare_capacity_mut()[..len], b.columns, false);
    // SAFETY: without `onto`, `multiply` has written each of the `len` numbers.
    unsafe { out.set_len(len) };
    out
}

/// `out += a · b`, where a row of `out` begins `stride` after the last.
///
/// # Panics
/// When `a` has not as many columns as `b` has rows, or the last number lies outside of `out`.
pub fn add_product(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], stride: usize) {
    if [a.rows, b.columns, a.columns].contains(&0) {
        return;
    }
    // SAFETY: initialised numbers may be seen as numbers that need not be; `multiply` writes nothing else than numbers.
    let out = unsafe { &mut *(std::ptr::from_mut(out) as *mut [MaybeUninit<f32>]) };
    multiply(a, b, out, stride, true);
}

/// Writes `[a.rows, b.columns]` numbers, or adds to those that are there. No size is zero.
fn multiply(a: Matrix<'_>, b: Matrix<'_>, out: &mut [MaybeUninit<f32>], stride: usize, onto: bool) {
    assert_eq!(a.columns, b.rows, "a product of [{}, {}] and [{}, {}]", a.rows, a.columns, b.rows, b.columns);
    assert!(stride >= b.columns, "rows of {} numbers lie {stride} apart", b.columns);
    let end = (a.rows - 1).checked_mul(stride).and_then(|start| start.checked_add(b.columns));
    assert!(
        end.is_some_and(|end| end <= out.len()),
        "a product [{}, {}] with rows {stride} apart in {} numbers",
        a.rows,
        b.columns,
        out.len()
    );
    let parallelism = match rayon::current_num_threads() {
        1 => Parallelism::None,
        threads => Parallelism::Rayon(threads),
    };
    // SAFETY: the last number of each operand was found inside its slice, of `a` and `b` when they were made; `out` is
    // borrowed alone, and its rows do not overlap. It is read only with `onto`, which is true for initialised numbers.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr().cast::<f32>(),
            1,
            stride as isize,
            onto,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.,
            1.,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919) % 23) as f32 - 11.).collect()
    }

    fn plain(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
        let at = |m: &Matrix<'_>, i: usize, j: usize| m.values[i * m.row_stride + j * m.column_stride];
        let sum = |i, j| (0..a.columns).map(|p| at(&a, i, p) * at(&b, p, j)).sum();
        (0..a.rows).flat_map(|i| (0..b.columns).map(move |j| sum(i, j))).collect()
    }

    #[test]
    fn equals_plain_loops() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 7), (16, 64, 33), (70, 130, 50)] {
            let (left, right) = (numbers(m * (k + 2)), numbers(k * n));
            let a = Matrix::strided(&left, (m, k), (k + 2, 1));
            let turned = Matrix::strided(&left, (m, k), (1, m));
            let (b, b_turned) = (Matrix::new(&right, k, n), Matrix::new(&right, n, k).transposed());
            for (a, b) in [(a, b), (a, b_turned), (turned, b), (turned, b_turned)] {
                assert_eq!(product(a, b), plain(a, b), "{m}x{k}x{n}");
            }
        }
    }

    #[test]
    fn adds_to_some_columns_and_leaves_the_others() {
        let (left, right) = (numbers(12), numbers(8));
        let (a, b) = (Matrix::new(&left, 3, 4), Matrix::new(&right, 4, 2));
        let before = numbers(15);
        let mut out = before.clone();
        add_product(a, b, &mut out[2..], 5);
        for (at, product) in plain(a, b).into_iter().enumerate() {
            let at = 2 + at / 2 * 5 + at % 2;
            assert_eq!(out[at], before[at] + product);
            out[at] = before[at];
        }
        assert_eq!(out, before);
    }

    #[test]
    fn nothing_times_nothing_is_zero() {
        assert_eq!(product(Matrix::new(&[], 2, 0), Matrix::new(&[], 0, 3)), [0.; 6]);
        assert!(product(Matrix::new(&[], 0, 2), Matrix::new(&[0.; 6], 2, 3)).is_empty());
        let mut out = [1.];
        add_product(Matrix::new(&[], 1, 0), Matrix::new(&[], 0, 1), &mut out, 1);
        assert_eq!(out, [1.]);
    }

    #[test]
    #[should_panic(expected = "in 5 numbers")]
    fn a_matrix_must_lie_in_its_numbers() {
        let _ = Matrix::new(&[0.; 5], 2, 3);
    }

    #[test]
    #[should_panic(expected = "a product of [1, 2] and [3, 1]")]
    fn sides_must_agree() {
        let _ = product(Matrix::new(&[0.; 2], 1, 2), Matrix::new(&[0.; 3], 3, 1));
    }

    #[test]
    #[should_panic(expected = "in 3 numbers")]
    fn a_result_must_have_room() {
        add_product(Matrix::new(&[0.; 2], 2, 1), Matrix::new(&[0.; 2], 1, 2), &mut [0.; 3], 2);
    }

    #[test]
    #[should_panic(expected = "in 3 numbers")]
    fn rows_too_far_apart_to_count_have_no_room() {
        add_product(Matrix::new(&[0.; 3], 3, 1), Matrix::new(&[0.; 1], 1, 1), &mut [0.; 3], usize::MAX);
    }
}
