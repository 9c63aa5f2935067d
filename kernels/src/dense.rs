//! Products with weights in f32 that are put into panels once, for encoders: many rows meet weights that fit the caches.
//! Bias, activation and what is added come while a product's numbers are at hand, so that a map is written once and never
//! cleared before.
//!
//! An output is its bias and then a chain of multiply-adds over the columns, so it has the same bits whatever other rows
//! are there, however the work is shared, and whatever the instruction set.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use std::array::from_fn;
use std::fmt;
use std::ops::Range;

use rayon::prelude::*;

use crate::activation::Activation;
use crate::isa::{Isa, Kernel};
use crate::lanes::{Lanes, PANEL};
use crate::output::{Output, filled};
use crate::panels::Panels;
use crate::wide;

/// Bytes of weights that stay in a core's cache beside the rows that they meet.
const CACHED: usize = 128 << 10;

/// Multiplications below which no other thread is asked for help: some ten microseconds.
const WORK: usize = 1 << 18;

/// Rows that meet a panel together where a vector holds the lanes of a whole one: their sums, a vector of weights and one of
/// a row's number take 14 registers.
const TALL: usize = 12;

/// The same where it takes several: with two, 15 of AVX2's 16 registers, with four, 29 of NEON's 32.
const LOW: usize = 6;

/// A linear: a matrix `[rows, columns]`, a bias, and what follows.
pub struct DenseMatrix {
    panels: Panels,
    /// A number for each row of each panel.
    bias: Vec<f32>,
    activation: Activation,
}

impl fmt::Debug for DenseMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DenseMatrix[{}, {}; {:?}]", self.panels.rows, self.panels.columns, self.activation)
    }
}

impl DenseMatrix {
    /// From numbers row after row, with a bias for each row.
    ///
    /// # Panics
    /// When they are no whole rows.
    #[must_use]
    pub fn new(numbers: &[f32], bias: &[f32], activation: Activation) -> Self {
        let rows = bias.len();
        let fits = rows > 0 && !numbers.is_empty() && numbers.len().is_multiple_of(rows);
        assert!(fits, "{} numbers in {rows} rows", numbers.len());
        let panels = Panels::new(numbers, rows);
        let mut padded = bias.to_vec();
        padded.resize(rows.next_multiple_of(PANEL), 0.);
        Self { panels, bias: padded, activation }
    }

    /// Rows and columns: outputs and inputs.
    #[must_use]
    pub fn dims(&self) -> (usize, usize) {
        (self.panels.rows, self.panels.columns)
    }

    /// `f(x · Wᵀ + b)` and what is `added` to it, for rows of `x` one after the other: `[m, columns]` to `[m, rows]`.
    ///
    /// # Panics
    /// When `x` is no whole number of rows, or what is added has another shape.
    #[must_use]
    pub fn product(&self, x: &[f32], added: Option<&[f32]>) -> Vec<f32> {
        self.product_with(Isa::best(), x, added)
    }

    fn product_with(&self, isa: Isa, x: &[f32], added: Option<&[f32]>) -> Vec<f32> {
        let (rows, columns) = self.dims();
        assert!(x.len().is_multiple_of(columns), "{} numbers in rows of {columns}", x.len());
        let m = x.len() / columns;
        if let Some(added) = added {
            assert_eq!(added.len(), m * rows, "numbers that are added");
        }
        // SAFETY: the blocks are all rows with all panels, and each output is written by the one that has both.
        unsafe {
            filled(m * rows, |out| {
                let run = |(rows, panels)| isa.run(Block { matrix: self, x, added, rows, panels, out });
                match m * rows * columns {
                    ..WORK => run((0..m, 0..self.panels.count())),
                    _ => self.blocks(m).into_par_iter().for_each(run),
                }
            })
        }
    }

    /// Rows and panels that are met at a time: some for each thread, with no more weights than stay in a cache.
    fn blocks(&self, m: usize) -> Vec<(Range<usize>, Range<usize>)> {
        let count = self.panels.count();
        let group = (CACHED / self.panels.bytes()).clamp(1, count);
        let chunks = (4 * rayon::current_num_threads()).div_ceil(count.div_ceil(group));
        let chunk = m.div_ceil(chunks).next_multiple_of(TALL);
        let panels = (0..count).step_by(group).map(|first| first..count.min(first + group));
        let rows = || (0..m).step_by(chunk).map(|first| first..m.min(first + chunk));
        panels.flat_map(|panels| rows().map(move |rows| (rows, panels.clone()))).collect()
    }
}

/// Some rows with some panels.
struct Block<'a> {
    matrix: &'a DenseMatrix,
    x: &'a [f32],
    added: Option<&'a [f32]>,
    rows: Range<usize>,
    panels: Range<usize>,
    out: &'a Output,
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        if L::PARTS == 1 {
            self.tiles::<L, TALL>();
        } else {
            self.tiles::<L, LOW>();
        }
    }
}

impl Block<'_> {
    /// Tile after tile of rows, which stay in the first cache while the panels pass. What is missing to a whole tile is read
    /// as the last row and not written.
    #[inline(always)]
    unsafe fn tiles<L: Lanes, const ROWS: usize>(&self) {
        let columns = self.matrix.panels.columns;
        for first in self.rows.clone().step_by(ROWS) {
            let rows = ROWS.min(self.rows.end - first);
            let x = self.x[first * columns..][..rows * columns].as_ptr();
            let x: [*const f32; ROWS] = from_fn(|row| x.add(row.min(rows - 1) * columns));
            for panel in self.panels.clone() {
                let sums = self.tile::<L, ROWS>(panel, &x);
                for (row, sums) in sums.iter().enumerate().take(rows) {
                    self.finish::<L>(panel, first + row, sums);
                }
            }
        }
    }

    /// Bias and products of a panel's rows with each row of `x`.
    #[inline(always)]
    unsafe fn tile<L: Lanes, const ROWS: usize>(
        &self,
        panel: usize,
        x: &[*const f32; ROWS],
    ) -> [[f32; PANEL]; ROWS] {
        let matrix = self.matrix;
        let bias = matrix.bias[panel * PANEL..][..PANEL].as_ptr();
        let mut sums = [wide::load_from::<L>(bias); ROWS];
        let mut weights = matrix.panels.panel(panel);
        for column in 0..matrix.panels.columns {
            let weight = wide::load_from::<L>(weights);
            for (sums, x) in sums.iter_mut().zip(x) {
                let x = L::splat(*x.add(column));
                for (sum, weight) in sums.iter_mut().zip(&weight).take(L::PARTS) {
                    *sum = L::mul_add(x, *weight, *sum);
                }
            }
            weights = weights.add(PANEL);
        }
        wide::all_numbers::<L, ROWS>(&sums)
    }

    /// What follows the sums of a panel's rows; writes them.
    #[inline(always)]
    unsafe fn finish<L: Lanes>(&self, panel: usize, row: usize, sums: &[f32; PANEL]) {
        let (first, outputs) = (panel * PANEL, self.matrix.panels.rows);
        let (at, width) = (row * outputs + first, PANEL.min(outputs - first));
        let mut lanes = self.matrix.activation.of::<L>(&wide::load::<L>(sums));
        if let Some(added) = self.added {
            lanes = wide::sum::<L>(&lanes, &wide::load_some::<L>(&added[at..][..width]));
        }
        let numbers = wide::numbers::<L>(&lanes);
        match width {
            // A length that is known, so that vectors are stored and nothing is copied.
            PANEL => self.out.write(at, &numbers),
            _ => self.out.write(at, &numbers[..width]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919) % 23) as f32 / 8. - 1.3).collect()
    }

    struct Case {
        numbers: Vec<f32>,
        bias: Vec<f32>,
        x: Vec<f32>,
        added: Vec<f32>,
        columns: usize,
    }

    impl Case {
        fn new((m, rows, columns): (usize, usize, usize)) -> Self {
            let [numbers, bias, x, added] = [rows * columns, rows, m * columns, m * rows].map(some);
            Self { numbers, bias, x, added, columns }
        }

        fn matrix(&self, activation: Activation) -> DenseMatrix {
            DenseMatrix::new(&self.numbers, &self.bias, activation)
        }

        /// `x · Wᵀ + b` in f64.
        fn exact(&self) -> Vec<f64> {
            let dot = |x: &[f32], row: &[f32]| -> f64 {
                x.iter().zip(row).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum()
            };
            let rows = || self.numbers.chunks(self.columns).zip(&self.bias);
            let of = |x| rows().map(move |(row, bias)| dot(x, row) + f64::from(*bias));
            self.x.chunks(self.columns).flat_map(of).collect()
        }
    }

    /// Whole and broken panels and tiles, alone and shared among threads.
    const SHAPES: [(usize, usize, usize); 6] =
        [(1, 1, 1), (5, 40, 3), (12, 16, 27), (13, 24, 64), (50, 100, 70), (100, 33, 300)];

    #[test]
    fn products_equal_plain_loops_on_every_instruction_set() {
        for shape in SHAPES {
            let case = Case::new(shape);
            let matrix = case.matrix(Activation::Identity);
            assert_eq!(matrix.dims(), (shape.1, shape.2));
            for isa in Isa::available() {
                for (got, want) in matrix.product_with(isa, &case.x, None).iter().zip(case.exact()) {
                    assert!((f64::from(*got) - want).abs() < 1e-3, "{isa:?} {shape:?}: {got}, {want}");
                }
            }
        }
    }

    #[test]
    fn activation_comes_before_what_is_added() {
        let case = Case::new((13, 24, 64));
        for activation in [Activation::Identity, Activation::Relu6, Activation::QuickGelu] {
            let plain = case.matrix(activation).product_with(Isa::Scalar, &case.x, None);
            let want: Vec<f32> = plain.iter().zip(&case.added).map(|(value, added)| value + added).collect();
            for isa in Isa::available() {
                assert_eq!(case.matrix(activation).product_with(isa, &case.x, Some(&case.added)), want);
            }
        }
    }

    #[test]
    fn a_row_alone_gets_the_same_bits_as_among_others() {
        let case = Case::new((50, 100, 70));
        let matrix = case.matrix(Activation::Identity);
        let together = matrix.product(&case.x, None);
        for (x, together) in case.x.chunks(case.columns).zip(together.chunks(case.bias.len())) {
            assert_eq!(matrix.product(x, None), together);
        }
        assert!(matrix.product(&[], None).is_empty());
    }

    #[test]
    #[should_panic(expected = "numbers in rows of 3")]
    fn rows_must_be_whole() {
        let _ = DenseMatrix::new(&[0.; 6], &[0.; 2], Activation::Identity).product(&[0.; 4], None);
    }

    #[test]
    #[should_panic(expected = "numbers that are added")]
    fn what_is_added_must_have_the_shape() {
        let matrix = DenseMatrix::new(&[0.; 6], &[0.; 2], Activation::Identity);
        let _ = matrix.product(&[0.; 3], Some(&[0.; 3]));
    }
}
