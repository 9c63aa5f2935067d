//! Matrices in f32 whose rows lie in panels of sixteen, column after column: a lane is a row, so that products are never
//! added up across lanes.

use crate::lanes::PANEL;
use crate::memory::Memory;

/// A matrix `[rows, columns]` as `[panels, columns, 16]`; rows behind the last are zero.
pub(crate) struct Panels {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    memory: Memory,
}

impl Panels {
    /// From numbers row after row.
    pub(crate) fn new(numbers: &[f32], rows: usize) -> Self {
        let columns = numbers.len().checked_div(rows).unwrap_or(0);
        let mut memory = Memory::zeroed(rows.next_multiple_of(PANEL) * columns * size_of::<f32>());
        let words = memory.as_mut_slice().as_chunks_mut::<{ size_of::<f32>() }>().0;
        for (row, numbers) in numbers.chunks_exact(columns.max(1)).enumerate() {
            let first = row / PANEL * columns * PANEL + row % PANEL;
            for (column, number) in numbers.iter().enumerate() {
                words[first + column * PANEL] = number.to_ne_bytes();
            }
        }
        Self { rows, columns, memory }
    }

    /// Panels, the last of which may have rows of zeros.
    pub(crate) fn count(&self) -> usize {
        self.rows.div_ceil(PANEL)
    }

    /// Bytes of a panel.
    pub(crate) fn bytes(&self) -> usize {
        self.columns * PANEL * size_of::<f32>()
    }

    /// The numbers of a panel, `[columns, 16]`.
    #[inline(always)]
    pub(crate) fn panel(&self, index: usize) -> *const f32 {
        self.memory.as_slice()[index * self.bytes()..][..self.bytes()].as_ptr().cast()
    }
}
