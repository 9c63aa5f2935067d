//! The product itself: tiles of activations meet panels of weights, block after block.
//!
//! Threads share the panels in groups. A group's weights stay in a core's cache while the tiles pass, and a tile while the
//! panels of the group pass.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::PackedMatrix;
use super::activations::{Activations, TILE, Tile};
use super::format::{Blocks, Format, Panel, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
use crate::isa::{Isa, Kernel};
use crate::lanes::{BLOCK, Lanes, MAX_PARTS, PANEL, Wide};
use crate::low_rank::{LowRank, Narrow};
use crate::output::{Output, filled};

/// Bytes of weights that stay in a core's cache beside the activations that they meet.
const CACHED: usize = 128 << 10;

/// Bytes of weights, met by one row, below which a group is not worth another thread's waking up: some two microseconds.
const WORK: usize = 32 << 10;

/// What is added to a product `[m, rows]`, in this order.
#[derive(Clone, Copy, Default)]
pub struct Additions<'a> {
    /// To every row, `[rows]`.
    pub bias: Option<&'a [f32]>,
    /// The update of the same rows of `x`.
    pub update: Option<&'a LowRank>,
}

impl PackedMatrix {
    pub(crate) fn product_with(&self, isa: Isa, x: &[f32], additions: Additions<'_>) -> Vec<f32> {
        assert!(x.len().is_multiple_of(self.columns), "{} numbers in rows of {}", x.len(), self.columns);
        let m = x.len() / self.columns;
        if let Some(bias) = additions.bias {
            assert_eq!(bias.len(), self.rows, "numbers of a bias");
        }
        if let Some(update) = additions.update {
            assert_eq!(update.dims(), (self.rows, self.columns), "outputs and inputs of an update");
        }
        let rounded = Activations::round(isa, x, self.columns);
        let narrow = additions.update.map(|update| update.narrow(isa, x));
        let work = Work { matrix: self, x: &rounded, bias: additions.bias, narrow: narrow.as_ref() };
        // SAFETY: each row meets each panel, and a panel's outputs are written by the task that has the panel.
        unsafe { filled(m * self.rows, |out| self.share(isa, m, &work, out)) }
    }

    /// Shares the panels among the threads.
    fn share(&self, isa: Isa, m: usize, work: &Work<'_>, out: &Output) {
        let panels = self.rows.div_ceil(PANEL);
        let size = self.group(panels, m);
        let run = |first: usize| {
            let panels = first * size..panels.min((first + 1) * size);
            match self.format {
                Format::Q4_0 => isa.run(Group::<Q4_0>::new(work, panels, out)),
                Format::Q4_1 => isa.run(Group::<Q4_1>::new(work, panels, out)),
                Format::Q5_0 => isa.run(Group::<Q5_0>::new(work, panels, out)),
                Format::Q5_1 => isa.run(Group::<Q5_1>::new(work, panels, out)),
                Format::Q8_0 => isa.run(Group::<Q8_0>::new(work, panels, out)),
                Format::Q4K => isa.run(Group::<Q4K>::new(work, panels, out)),
                Format::Q5K => isa.run(Group::<Q5K>::new(work, panels, out)),
                Format::Q6K => isa.run(Group::<Q6K>::new(work, panels, out)),
            }
        };
        match panels.div_ceil(size) {
            1 => run(0),
            groups => (0..groups).into_par_iter().for_each(run),
        }
    }

    /// Panels of a group for `m` rows.
    fn group(&self, panels: usize, m: usize) -> usize {
        let bytes = self.format.panel_bytes(self.columns);
        let least = WORK.div_ceil(bytes * (1 + m / 2));
        let most = (CACHED / bytes).max(least);
        panels.div_ceil(4 * rayon::current_num_threads()).clamp(least, most)
    }
}

/// What all groups have in common.
struct Work<'a> {
    matrix: &'a PackedMatrix,
    x: &'a Activations,
    bias: Option<&'a [f32]>,
    narrow: Option<&'a Narrow<'a>>,
}

/// Some panels with all rows.
struct Group<'a, F> {
    work: &'a Work<'a>,
    panels: Range<usize>,
    out: &'a Output,
    format: PhantomData<F>,
}

impl<'a, F> Group<'a, F> {
    fn new(work: &'a Work<'a>, panels: Range<usize>, out: &'a Output) -> Self {
        Self { work, panels, out, format: PhantomData }
    }
}

impl<F: Blocks> Kernel for Group<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        for tile in self.work.x.tiles() {
            for index in self.panels.clone() {
                let panel = self.panel(index);
                if tile.rows == 1 {
                    let sums = one_row::<L, F>(panel, tile);
                    self.finish::<L>(index, tile.first, &sums);
                } else {
                    for (row, sums) in rows::<L, F>(panel, tile).iter().enumerate().take(tile.rows) {
                        self.finish::<L>(index, tile.first + row, sums);
                    }
                }
            }
        }
    }
}

impl<F> Group<'_, F> {
    #[inline(always)]
    fn panel(&self, index: usize) -> Panel {
        let matrix = self.work.matrix;
        let bytes = matrix.format.panel_bytes(matrix.columns);
        let panel = &matrix.memory.as_slice()[index * bytes..][..bytes];
        let (codes, scales) = panel.split_at(matrix.columns / BLOCK * matrix.format.code_bytes());
        Panel { codes: codes.as_ptr(), scales: scales.as_ptr() }
    }

    /// Adds what is to be added to the sums of a panel's rows, and writes them.
    #[inline(always)]
    unsafe fn finish<L: Lanes>(&self, panel: usize, row: usize, sums: &Wide<L>) {
        let (first, outputs) = (panel * PANEL, self.work.matrix.rows);
        let width = PANEL.min(outputs - first);
        let mut values = [0f32; PANEL];
        for (part, sum) in sums.iter().enumerate().take(L::PARTS) {
            L::store(values.as_mut_ptr().add(part * L::LANES), *sum);
        }
        if let Some(bias) = self.work.bias {
            for (value, bias) in values.iter_mut().zip(&bias[first..first + width]) {
                *value += bias;
            }
        }
        if let Some(narrow) = self.work.narrow {
            let update = narrow.widen::<L>(panel, row);
            for (part, update) in update.iter().enumerate().take(L::PARTS) {
                let at = values.as_mut_ptr().add(part * L::LANES);
                L::store(at, L::add(L::load(at), *update));
            }
        }
        self.out.write(row * outputs + first, &values[..width]);
    }
}

/// Sums of the panel's rows with the one row of `tile`, in registers.
#[inline(always)]
unsafe fn one_row<L: Lanes, F: Blocks>(panel: Panel, tile: Tile<'_>) -> Wide<L> {
    let mut sums = [L::splat(0.); MAX_PARTS];
    let mut x = tile.codes.as_ptr();
    for (block, factors) in tile.factors.iter().enumerate() {
        let scale = L::splat(factors.scale);
        for (part, sum) in sums.iter_mut().enumerate().take(L::PARTS) {
            let weights = F::load::<L>(panel, block, part);
            *sum = L::mul_add(F::share::<L>(&weights, x, factors), scale, *sum);
        }
        x = x.add(BLOCK);
    }
    sums
}

/// Sums of the panel's rows with each row of `tile`; those behind its last mean nothing. Unpacked weights stay in
/// registers, sums in the first cache.
#[inline(always)]
unsafe fn rows<L: Lanes, F: Blocks>(panel: Panel, tile: Tile<'_>) -> [Wide<L>; TILE] {
    let mut sums = [[L::splat(0.); MAX_PARTS]; TILE];
    let mut codes = tile.codes.as_ptr();
    for (block, factors) in tile.factors.chunks_exact(tile.rows).enumerate() {
        for part in 0..L::PARTS {
            let weights = F::load::<L>(panel, block, part);
            let mut x = codes;
            for (factors, sums) in factors.iter().zip(&mut sums) {
                let share = F::share::<L>(&weights, x, factors);
                sums[part] = L::mul_add(share, L::splat(factors.scale), sums[part]);
                x = x.add(BLOCK);
            }
        }
        codes = codes.add(tile.rows * BLOCK);
    }
    sums
}
