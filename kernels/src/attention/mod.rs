//! Attention of a step's rows over the keys and values that their sequences have cached, read where they are.
//!
//! Keys are looked at in chunks of [`CHUNK`] positions, as in FlashAttention (Dao et al. 2022,
//! <https://arxiv.org/abs/2205.14135>): of each chunk a query gets its largest score, a sum and weighted values, and those
//! of all chunks are joined in their order. A row that stands alone has its chunks looked at by several threads, rows of a
//! prompt go through them eight at a time; the numbers are the same to the bit.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

mod look;
#[cfg(test)]
mod tests;

use rayon::prelude::*;

use self::look::{Join, Look, Walk};
use crate::isa::{Isa, Kernel};
use crate::lanes::Lanes;
use crate::output::{Output, filled};

/// Positions that are looked at together: keys and values of a head of 64 numbers fit the first cache.
const CHUNK: usize = 64;

/// Rows of a prompt that go through the chunks together.
const ROWS: usize = 8;

/// Multiplications below which no other thread is asked for help: some ten microseconds.
const WORK: usize = 1 << 17;

/// Head counts and width.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Query heads, a multiple of the key heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Numbers of a head.
    pub dim: usize,
}

impl Heads {
    /// Query heads that share a key head.
    fn group(self) -> usize {
        self.heads / self.kv_heads
    }

    /// Numbers of what is known of a query: the largest score, the sum, the weighted values.
    fn record(self) -> usize {
        2 + self.dim
    }
}

/// Keys and values of a sequence, `[kv_heads, capacity, dim]` each.
#[derive(Debug, Clone, Copy)]
pub enum Slabs<'a> {
    /// In f32.
    F32 {
        /// Of all heads.
        keys: &'a [f32],
        /// Of all heads.
        values: &'a [f32],
    },
    /// In f16, by their bits.
    F16 {
        /// Of all heads.
        keys: &'a [u16],
        /// Of all heads.
        values: &'a [u16],
    },
}

impl Slabs<'_> {
    fn lens(&self) -> [usize; 2] {
        match self {
            Self::F32 { keys, values } => [keys.len(), values.len()],
            Self::F16 { keys, values } => [keys.len(), values.len()],
        }
    }
}

/// A sequence with rows in a step.
#[derive(Debug, Clone, Copy)]
pub struct Cached<'a> {
    /// Its keys and values, those of the step's rows among them.
    pub slabs: Slabs<'a>,
    /// Positions before the step.
    pub past: usize,
    /// Rows of the step that are its own: row `i` stands at position `past + i` and sees what stands there and before.
    pub rows: usize,
}

/// `softmax(q · kᵀ / √dim) · v` for the rows of all `sequences`, one after the other: `q` is `[rows, heads * dim]`, and so
/// is the result.
///
/// # Panics
/// When shapes disagree.
#[must_use]
pub fn cached_attention(q: &[f32], sequences: &[Cached<'_>], heads: Heads) -> Vec<f32> {
    attend(Isa::best(), q, sequences, heads)
}

fn attend(isa: Isa, q: &[f32], sequences: &[Cached<'_>], heads: Heads) -> Vec<f32> {
    check(q, sequences, heads);
    let blocks = blocks(q, sequences, heads);
    let slots: usize = blocks.iter().filter(|block| block.is_single()).map(Block::chunks).sum();
    let mut records = vec![0.; slots * heads.group() * heads.record()];
    // SAFETY: the blocks are all rows with all heads, and each is written by one task, or below when it was looked at.
    unsafe {
        filled(q.len(), |out| {
            run_all(isa, tasks(&blocks, &mut records, out), work(sequences, heads));
            join_all(isa, &blocks, &records, out);
        })
    }
}

fn check(q: &[f32], sequences: &[Cached<'_>], heads: Heads) {
    let Heads { heads: queries, kv_heads, dim } = heads;
    assert!(kv_heads > 0 && dim > 0 && queries.is_multiple_of(kv_heads), "{heads:?}");
    let rows: usize = sequences.iter().map(|sequence| sequence.rows).sum();
    assert_eq!(Some(q.len()), rows.checked_mul(queries * dim), "numbers of {rows} rows of queries");
    for Cached { slabs, past, rows } in sequences {
        let [keys, values] = slabs.lens();
        let room = keys / (kv_heads * dim);
        assert!(
            keys == values && keys.is_multiple_of(kv_heads * dim),
            "{keys} and {values} numbers: {heads:?}"
        );
        assert!(
            past.checked_add(*rows).is_some_and(|seen| seen <= room),
            "{past} + {rows} positions of {room}"
        );
    }
}

/// Multiplications of all rows, those of scores and of values.
fn work(sequences: &[Cached<'_>], heads: Heads) -> usize {
    let seen = sequences.iter().map(|sequence| sequence.rows * (sequence.past + sequence.rows));
    2 * seen.sum::<usize>() * heads.heads * heads.dim
}

/// Some rows of one sequence with the query heads that share a key head.
#[derive(Clone, Copy)]
struct Block<'a> {
    sequence: &'a Cached<'a>,
    heads: Heads,
    /// Of all heads, `[rows, heads * dim]`.
    q: &'a [f32],
    /// Number of the first row in the step.
    row: usize,
    /// Position of the first row.
    position: usize,
    rows: usize,
    kv_head: usize,
}

impl Block<'_> {
    /// Chunks of positions that its last row sees.
    fn chunks(&self) -> usize {
        (self.position + self.rows).div_ceil(CHUNK)
    }

    /// The only row of its sequence in this step.
    fn is_single(&self) -> bool {
        self.sequence.rows == 1
    }

    /// Keys of a chunk that query `index` (row by row, head by head) sees.
    #[inline(always)]
    fn seen(&self, index: usize, chunk: usize) -> usize {
        (self.position + index / self.heads.group() + 1).saturating_sub(chunk * CHUNK).min(CHUNK)
    }

    /// Where the result of query `index` goes.
    fn place(&self, index: usize) -> usize {
        let Heads { heads, dim, .. } = self.heads;
        let group = self.heads.group();
        ((self.row + index / group) * heads + self.kv_head * group + index % group) * dim
    }

    /// Its queries, scaled: `[rows, group, dim]`.
    fn queries(&self) -> Vec<f32> {
        let (width, size) = (self.heads.heads * self.heads.dim, self.heads.group() * self.heads.dim);
        let scale = 1. / (self.heads.dim as f32).sqrt();
        let mut queries = Vec::with_capacity(self.rows * size);
        for row in self.q.chunks_exact(width) {
            queries.extend(row[self.kv_head * size..][..size].iter().map(|x| x * scale));
        }
        queries
    }
}

fn blocks<'a>(mut q: &'a [f32], sequences: &'a [Cached<'a>], heads: Heads) -> Vec<Block<'a>> {
    let mut blocks = Vec::new();
    let mut row = 0;
    for sequence in sequences {
        for first in (0..sequence.rows).step_by(ROWS) {
            let rows = ROWS.min(sequence.rows - first);
            let (own, rest) = q.split_at(rows * heads.heads * heads.dim);
            let position = sequence.past + first;
            blocks.extend((0..heads.kv_heads).map(|kv_head| Block {
                sequence,
                heads,
                q: own,
                row,
                position,
                rows,
                kv_head,
            }));
            q = rest;
            row += rows;
        }
    }
    blocks
}

/// What one thread does at a time.
enum Task<'a> {
    /// A block with all chunks.
    Walk(Walk<'a>),
    /// A single row with one chunk.
    Look(Look<'a>),
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        match self {
            Self::Walk(walk) => walk.run::<L>(),
            Self::Look(look) => look.run::<L>(),
        }
    }
}

fn tasks<'a>(blocks: &'a [Block<'a>], records: &'a mut [f32], out: &'a Output) -> Vec<Task<'a>> {
    let mut tasks = Vec::with_capacity(blocks.len());
    let mut records = Slots(records);
    for block in blocks {
        if block.is_single() {
            for chunk in 0..block.chunks() {
                tasks.push(Task::Look(Look { block, chunk, records: records.next(block.heads) }));
            }
        } else {
            tasks.push(Task::Walk(Walk { block, out }));
        }
    }
    tasks
}

/// Records of the queries of single rows, chunk after chunk.
struct Slots<'a>(&'a mut [f32]);

impl<'a> Slots<'a> {
    /// Those of one chunk.
    fn next(&mut self, heads: Heads) -> &'a mut [f32] {
        let (next, rest) = std::mem::take(&mut self.0).split_at_mut(heads.group() * heads.record());
        self.0 = rest;
        next
    }
}

fn run_all(isa: Isa, tasks: Vec<Task<'_>>, work: usize) {
    if work < WORK {
        tasks.into_iter().for_each(|task| isa.run(task));
    } else {
        tasks.into_par_iter().for_each(|task| isa.run(task));
    }
}

/// Joins what was found in the chunks of single rows.
fn join_all(isa: Isa, blocks: &[Block<'_>], mut records: &[f32], out: &Output) {
    for block in blocks.iter().filter(|block| block.is_single()) {
        let size = block.chunks() * block.heads.group() * block.heads.record();
        let (own, rest) = records.split_at(size);
        isa.run(Join { block, records: own, out });
        records = rest;
    }
}
