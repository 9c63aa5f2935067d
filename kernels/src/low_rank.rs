//! Low-rank updates of a linear (Hu et al. 2021, <https://arxiv.org/abs/2106.09685>): `x · Aᵀ · Bᵀ · s` in f32, added where
//! the linear's own outputs are written. As for quantised weights, rows of A and B lie in panels of sixteen, and a row's
//! update has the same bits whatever other rows are there.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use std::fmt;

use rayon::prelude::*;

use crate::isa::{Isa, Kernel};
use crate::lanes::{Lanes, MAX_PARTS, PANEL, Wide};
use crate::panels::Panels;

/// Sums that a product is shared among, so that none waits for the last; they are added up by pairs.
const CHAINS: usize = 4;

/// Multiplications below which no other thread is asked for help: some ten microseconds.
const WORK: usize = 1 << 18;

/// The update of a linear.
pub struct LowRank {
    /// `A`, `[rank, inputs]`.
    down: Panels,
    /// `B`, `[outputs, rank]`.
    up: Panels,
    scale: f32,
}

impl fmt::Debug for LowRank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LowRank[{}, {}, {}]", self.up.rows, self.down.rows, self.down.columns)
    }
}

impl LowRank {
    /// `a` is `[rank, inputs]`, `b` `[outputs, rank]`, both row after row; their product is scaled by `scale`.
    ///
    /// # Panics
    /// When `rank` is zero, or one of them is no such matrix.
    #[must_use]
    pub fn new(a: &[f32], b: &[f32], rank: usize, scale: f32) -> Self {
        let fits = rank > 0 && a.len().is_multiple_of(rank) && b.len().is_multiple_of(rank);
        assert!(fits, "matrices of {} and {} numbers of rank {rank}", a.len(), b.len());
        Self { down: Panels::new(a, rank), up: Panels::new(b, b.len() / rank), scale }
    }

    /// Outputs and inputs.
    #[must_use]
    pub fn dims(&self) -> (usize, usize) {
        (self.up.rows, self.down.columns)
    }

    /// The first half of the update, `x · Aᵀ · s`, for rows of `x` one after the other.
    pub(crate) fn narrow(&self, isa: Isa, x: &[f32]) -> Narrow<'_> {
        let (rank, inputs) = (self.down.rows, self.down.columns);
        let mut values = vec![0.; x.len() / inputs.max(1) * rank];
        let least = WORK.div_ceil((rank * inputs).max(1));
        let narrow_rows = |(x, out)| isa.run(Down { update: self, x, out });
        if x.len() <= least * inputs {
            narrow_rows((x, &mut values[..]));
        } else {
            x.par_chunks(least * inputs).zip(values.par_chunks_mut(least * rank)).for_each(narrow_rows);
        }
        Narrow { up: &self.up, values }
    }
}

/// The first half of an update, `[m, rank]`, and what the second half needs.
pub(crate) struct Narrow<'a> {
    up: &'a Panels,
    values: Vec<f32>,
}

impl Narrow<'_> {
    /// The update of one row's outputs in a panel.
    ///
    /// # Safety
    /// As for [`Lanes`].
    #[inline(always)]
    pub(crate) unsafe fn widen<L: Lanes>(&self, panel: usize, row: usize) -> Wide<L> {
        let rank = self.up.columns;
        self.up.product::<L>(panel, &self.values[row * rank..][..rank])
    }
}

/// `x · Aᵀ · s` of some rows.
struct Down<'a> {
    update: &'a LowRank,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Down<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let LowRank { down, scale, .. } = self.update;
        let rows = self.x.chunks_exact(down.columns).zip(self.out.chunks_exact_mut(down.rows));
        for (x, out) in rows {
            for (panel, out) in out.chunks_mut(PANEL).enumerate() {
                let mut values = [0f32; PANEL];
                for (part, sum) in down.product::<L>(panel, x).iter().enumerate().take(L::PARTS) {
                    L::store(values.as_mut_ptr().add(part * L::LANES), L::mul(*sum, L::splat(*scale)));
                }
                out.copy_from_slice(&values[..out.len()]);
            }
        }
    }
}

impl Panels {
    /// Products of a panel's rows with `x`, a number for each column.
    ///
    /// # Safety
    /// As for [`Lanes`].
    #[inline(always)]
    unsafe fn product<L: Lanes>(&self, panel: usize, x: &[f32]) -> Wide<L> {
        assert_eq!(x.len(), self.columns, "numbers of a row");
        let mut weights = self.panel(panel);
        let mut sums = [[L::splat(0.); MAX_PARTS]; CHAINS];
        let (fours, rest) = x.as_chunks::<CHAINS>();
        for x in fours {
            for (x, sums) in x.iter().zip(&mut sums) {
                add_product::<L>(sums, weights, *x);
                weights = weights.add(PANEL);
            }
        }
        for (x, sums) in rest.iter().zip(&mut sums) {
            add_product::<L>(sums, weights, *x);
            weights = weights.add(PANEL);
        }
        let mut total = sums[0];
        for (part, total) in total.iter_mut().enumerate().take(L::PARTS) {
            let pairs = [L::add(sums[0][part], sums[1][part]), L::add(sums[2][part], sums[3][part])];
            *total = L::add(pairs[0], pairs[1]);
        }
        total
    }
}

/// Adds the products of one column's weights with `x`.
#[inline(always)]
unsafe fn add_product<L: Lanes>(sums: &mut Wide<L>, weights: *const f32, x: f32) {
    let x = L::splat(x);
    for (part, sum) in sums.iter_mut().enumerate().take(L::PARTS) {
        *sum = L::mul_add(L::load(weights.add(part * L::LANES)), x, *sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::{Additions, Format, PackedMatrix};

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919) % 23) as f32 / 8. - 1.3).collect()
    }

    /// Beside a matrix of zeros, so that nothing else is there.
    fn update(isa: Isa, x: &[f32], (outputs, rank, inputs): (usize, usize, usize)) -> Vec<f32> {
        let (a, b) = (numbers(rank * inputs), numbers(outputs * rank));
        let update = LowRank::new(&a, &b, rank, 0.5);
        assert_eq!(update.dims(), (outputs, inputs));
        let zeros = PackedMatrix::new(Format::Q4_1, outputs, inputs, &vec![0; outputs * inputs / 32 * 20]);
        zeros.product_with(isa, x, Additions { bias: None, update: Some(&update) })
    }

    #[test]
    fn updates_equal_plain_loops_and_each_other_on_every_instruction_set() {
        for shape in [(1, 1, 32), (33, 5, 64), (40, 16, 96), (16, 64, 32)] {
            let (outputs, rank, inputs) = shape;
            let (a, b, x) = (numbers(rank * inputs), numbers(outputs * rank), numbers(9 * inputs));
            let narrow = |row: usize, j: usize| -> f64 {
                (0..inputs).map(|k| f64::from(x[row * inputs + k]) * f64::from(a[j * inputs + k])).sum()
            };
            let all: Vec<Vec<f32>> = Isa::available().into_iter().map(|isa| update(isa, &x, shape)).collect();
            for (at, got) in all[0].iter().enumerate() {
                let (row, output) = (at / outputs, at % outputs);
                let want: f64 =
                    (0..rank).map(|j| narrow(row, j) * f64::from(b[output * rank + j]) * 0.5).sum();
                assert!((f64::from(*got) - want).abs() < 1e-3, "{shape:?} at {row}, {output}: {got}, {want}");
            }
            assert!(all.iter().all(|other| *other == all[0]), "{shape:?}");
        }
    }

    #[test]
    fn a_row_alone_gets_the_same_bits_as_among_others() {
        let (outputs, rank, inputs) = (50, 16, 1536);
        let x = numbers(40 * inputs);
        for isa in Isa::available() {
            let together = update(isa, &x, (outputs, rank, inputs));
            for (row, x) in x.chunks_exact(inputs).enumerate() {
                assert_eq!(update(isa, x, (outputs, rank, inputs)), together[row * outputs..][..outputs]);
            }
        }
    }

    #[test]
    #[should_panic(expected = "of rank 3")]
    fn matrices_must_have_the_rank() {
        let _ = LowRank::new(&[0.; 6], &[0.; 4], 3, 1.);
    }
}
