//! Products with quantised weights, which are put into another order once and then multiplied as they are.
//!
//! Weights lie in panels of sixteen rows. All columns of a panel come one after the other, in blocks of 32: codes first,
//! scales behind them. So a product of one row walks through memory from front to back, and one of many rows unpacks a
//! block once for several of them. Activations are rounded to 8 bits in blocks of 32; see [`activations`].
//!
//! A row's product is the same to the bit whatever other rows are there, however the work is shared among threads, and
//! whatever the instruction set: each output adds up its blocks in their order, and nothing else is added in between.

mod activations;
mod format;
mod multiply;
mod pack;
#[cfg(test)]
mod tests;

use std::fmt;

use rayon::prelude::*;

pub use self::format::Format;
pub use self::multiply::Additions;
use crate::isa::Isa;
use crate::lanes::PANEL;
use crate::memory::Memory;

/// A quantised matrix `[rows, columns]` in panels.
pub struct PackedMatrix {
    format: Format,
    rows: usize,
    columns: usize,
    /// Panel after panel; rows behind the last are zero.
    memory: Memory,
}

impl fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedMatrix[{}, {}; {:?}]", self.rows, self.columns, self.format)
    }
}

impl PackedMatrix {
    /// Number of the order that panels lie in. It is the same for every instruction set; whoever keeps panels keeps it
    /// beside them, since another order makes them worthless.
    pub const LAYOUT: u32 = 1;

    /// Packs the `blocks` of a matrix, row after row as GGUF files have them.
    ///
    /// # Panics
    /// When a row is no whole number of blocks, or `blocks` are not those of so many rows.
    #[must_use]
    pub fn new(format: Format, rows: usize, columns: usize, blocks: &[u8]) -> Self {
        let mut matrix = Self::zeros(format, rows, columns);
        let row_bytes = columns / format.block_columns() * format.block_bytes();
        assert_eq!(Some(blocks.len()), rows.checked_mul(row_bytes), "bytes of {rows} rows of {columns}");
        let panels = matrix.memory.as_mut_slice().par_chunks_exact_mut(format.panel_bytes(columns));
        panels.zip(blocks.par_chunks(PANEL * row_bytes)).for_each(|(panel, blocks)| {
            pack::pack(format, panel, blocks, columns);
        });
        matrix
    }

    /// A matrix whose panels are there already: `read` writes what [`panels`](Self::panels) gave of the same one. They are
    /// copied into memory of huge pages, since a mapped file's small ones would make every product slower.
    ///
    /// # Errors
    /// When `read` fails.
    ///
    /// # Panics
    /// When a row is no whole number of blocks.
    pub fn restore<E>(
        format: Format,
        rows: usize,
        columns: usize,
        read: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut matrix = Self::zeros(format, rows, columns);
        read(matrix.memory.as_mut_slice())?;
        Ok(matrix)
    }

    fn zeros(format: Format, rows: usize, columns: usize) -> Self {
        assert!(format.fits(columns), "rows of {columns} numbers in blocks of {}", format.block_columns());
        let memory = Memory::zeroed(rows.div_ceil(PANEL) * format.panel_bytes(columns));
        Self { format, rows, columns, memory }
    }

    /// The format of the blocks that it was packed from.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Its panels as they lie in memory, to be kept.
    #[must_use]
    pub fn panels(&self) -> &[u8] {
        self.memory.as_slice()
    }

    /// Rows and columns.
    #[must_use]
    pub fn dims(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.memory.as_slice().len()
    }

    /// Writes one row as plain numbers, the same that GGUF's blocks stand for.
    ///
    /// # Panics
    /// When there is no such row, or `numbers` are not as many as columns.
    pub fn unpack_row(&self, row: usize, numbers: &mut [f32]) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        assert_eq!(numbers.len(), self.columns, "numbers of a row");
        let panel_bytes = self.format.panel_bytes(self.columns);
        let panel = &self.memory.as_slice()[row / PANEL * panel_bytes..][..panel_bytes];
        pack::unpack(self.format, panel, row % PANEL, numbers);
    }

    /// `x · Wᵀ` and what is added to it, for rows of `x` one after the other: `[m, columns]` to `[m, rows]`.
    ///
    /// Differs from the product of the plain numbers by the rounding of `x`: each number by at most 1/254 of the largest
    /// in its block of 32.
    ///
    /// # Panics
    /// When `x` is no whole number of rows, or what is added has other shapes.
    #[must_use]
    pub fn product(&self, x: &[f32], additions: Additions<'_>) -> Vec<f32> {
        self.product_with(Isa::best(), x, additions)
    }
}
