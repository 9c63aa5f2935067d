//! Activations rounded to 8 bits: in each block of 32 columns of a row, `x = scale · code` with codes from -127 to 127.
//!
//! Rows lie in tiles of at most [`TILE`], and in a tile block after block with all its rows, so that the rows which meet an
//! unpacked block of weights come one after the other.

#![allow(unsafe_code)]

use rayon::prelude::*;

use crate::isa::{Isa, Kernel};
use crate::lanes::{BLOCK, Lanes};

/// Rows that meet a block of weights once it is unpacked.
pub(super) const TILE: usize = 8;

/// Numbers below which no other thread is asked for help: some twenty microseconds.
const WORK: usize = 1 << 16;

/// Blocks whose numbers are all smaller than this are taken as zero: their scale would leave the normal numbers.
const SMALLEST: f32 = 1e-30;

/// What belongs to the codes of a block.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Factors {
    pub(super) scale: f32,
    /// Sum of all codes, for formats with a zero point or a minimum.
    pub(super) sum: f32,
    /// Of the first and the last 16.
    pub(super) halves: [f32; 2],
}

/// Rows `[rows, columns]`.
pub(super) struct Activations {
    rows: usize,
    columns: usize,
    codes: Vec<i8>,
    factors: Vec<Factors>,
}

/// Some rows: block after block, in each block row after row.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    /// Number of the first row.
    pub(super) first: usize,
    pub(super) rows: usize,
    /// `[blocks, rows, 32]`.
    pub(super) codes: &'a [i8],
    /// `[blocks, rows]`.
    pub(super) factors: &'a [Factors],
}

impl Activations {
    /// Rounds `x`, row after row of `columns` numbers, a whole number of blocks.
    pub(super) fn round(isa: Isa, x: &[f32], columns: usize) -> Self {
        let mut codes = vec![0; x.len()];
        let mut factors = vec![Factors::default(); x.len() / BLOCK];
        let tile = TILE * columns;
        let each = |(x, (codes, factors))| isa.run(Round { x, columns, codes, factors });
        if x.len() < WORK {
            let outputs = codes.chunks_mut(tile).zip(factors.chunks_mut(tile / BLOCK));
            x.chunks(tile).zip(outputs).for_each(each);
        } else {
            let outputs = codes.par_chunks_mut(tile).zip(factors.par_chunks_mut(tile / BLOCK));
            x.par_chunks(tile).zip(outputs).for_each(each);
        }
        Self { rows: x.len() / columns, columns, codes, factors }
    }

    /// The tiles, all but the last of [`TILE`] rows.
    pub(super) fn tiles(&self) -> impl Iterator<Item = Tile<'_>> {
        (0..self.rows).step_by(TILE).map(|first| {
            let rows = TILE.min(self.rows - first);
            let (start, len) = (first * self.columns, rows * self.columns);
            Tile {
                first,
                rows,
                codes: &self.codes[start..][..len],
                factors: &self.factors[start / BLOCK..][..len / BLOCK],
            }
        })
    }
}

/// One tile.
struct Round<'a> {
    x: &'a [f32],
    columns: usize,
    codes: &'a mut [i8],
    factors: &'a mut [Factors],
}

impl Kernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let rows = self.x.len() / self.columns;
        for (row, x) in self.x.chunks_exact(self.columns).enumerate() {
            for (block, x) in x.as_chunks::<BLOCK>().0.iter().enumerate() {
                let at = block * rows + row;
                let codes = &mut self.codes.as_chunks_mut::<BLOCK>().0[at];
                self.factors[at] = round(x, codes);
            }
        }
    }
}

/// Not-a-number and infinity make the scale such, so that they come out of the product and are not lost.
#[inline(always)]
fn round(x: &[f32; BLOCK], codes: &mut [i8; BLOCK]) -> Factors {
    /// 1.5 · 2²³: what is added to it is rounded to a whole number, halves to even ones, whose bits are then the lowest.
    const ROUND: f32 = 12_582_912.;
    // Magnitudes have the order of their bits, with what is no number behind infinity.
    let mut largest = 0u32;
    for x in x {
        largest = largest.max(x.to_bits() & 0x7fff_ffff);
    }
    let largest = f32::from_bits(largest);
    let inverse = if largest >= SMALLEST { 127. / largest } else { 0. };
    let mut halves = [0i32; 2];
    for (half, sum) in halves.iter_mut().enumerate() {
        for i in half * BLOCK / 2..(half + 1) * BLOCK / 2 {
            let whole = (x[i] * inverse + ROUND).to_bits().wrapping_sub(ROUND.to_bits());
            codes[i] = whole as i8;
            *sum += i32::from(codes[i]);
        }
    }
    let halves = halves.map(|sum| sum as f32);
    Factors { scale: largest / 127., sum: halves[0] + halves[1], halves }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(x: [f32; BLOCK]) -> ([i8; BLOCK], Factors) {
        let mut codes = [0; BLOCK];
        let factors = round(&x, &mut codes);
        (codes, factors)
    }

    #[test]
    fn the_largest_number_is_127_steps_and_halves_go_to_even_ones() {
        let mut x = [0.; BLOCK];
        x[..6].copy_from_slice(&[-254., 1., 3., 5., -3., 253.]);
        x[20] = 100.;
        let (codes, factors) = rounded(x);
        assert_eq!(codes[..6], [-127, 0, 2, 2, -2, 126]);
        assert_eq!((factors.scale, factors.sum, factors.halves), (2., 51., [1., 50.]));
    }

    #[test]
    fn numbers_too_small_for_a_scale_are_zero() {
        for x in [[0.; BLOCK], [1e-38; BLOCK], [f32::from_bits(1); BLOCK]] {
            let (codes, factors) = rounded(x);
            assert_eq!((codes, factors.sum), ([0; BLOCK], 0.));
            assert!(factors.scale.is_finite());
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = [1.; BLOCK];
            x[7] = bad;
            assert!(!rounded(x).1.scale.is_finite());
        }
    }

    #[test]
    fn tiles_have_their_rows_block_by_block() {
        let (rows, columns) = (11, 2 * BLOCK);
        // Row r has r + 1 in its first and half of it in its second block, beside the block's largest number.
        let x: Vec<f32> = (0..rows * columns)
            .map(|at| {
                if at % BLOCK == 0 {
                    127.
                } else {
                    (at / columns + 1) as f32 / (1 + at % columns / BLOCK) as f32
                }
            })
            .collect();
        for isa in Isa::available() {
            let activations = Activations::round(isa, &x, columns);
            let tiles: Vec<Tile<'_>> = activations.tiles().collect();
            assert_eq!(
                tiles.iter().map(|tile| (tile.first, tile.rows)).collect::<Vec<_>>(),
                [(0, 8), (8, 3)]
            );
            for tile in tiles {
                for row in 0..tile.rows {
                    let number = (tile.first + row + 1) as f32;
                    assert_eq!(tile.codes[row * BLOCK + 1], number as i8);
                    assert_eq!(
                        tile.codes[(tile.rows + row) * BLOCK + 1],
                        (number / 2.).round_ties_even() as i8
                    );
                    assert_eq!(tile.factors[row].sum, 127. + 31. * number);
                }
            }
        }
    }
}
