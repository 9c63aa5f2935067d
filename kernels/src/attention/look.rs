//! What one thread computes: scores of some queries with the keys of a chunk, and what follows from them.

use super::{Block, CHUNK, Heads, Slabs};
use crate::isa::Kernel;
use crate::lanes::{Lanes, MAX_PARTS, PANEL};
use crate::math::{exp, exp_all, half, largest};
use crate::output::Output;

/// Numbers of a cache.
trait Number: Copy {
    /// # Safety
    /// As for [`Lanes`].
    unsafe fn load<L: Lanes>(at: *const Self) -> L::F;

    fn to_f32(self) -> f32;
}

impl Number for f32 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(at: *const Self) -> L::F {
        L::load(at)
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
}

/// The bits of an f16.
impl Number for u16 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(at: *const Self) -> L::F {
        L::load_f16(at)
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        half(self)
    }
}

/// One chunk, for the queries of a single row.
pub(super) struct Look<'a> {
    pub(super) block: &'a Block<'a>,
    pub(super) chunk: usize,
    pub(super) records: &'a mut [f32],
}

impl Kernel for Look<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let queries = self.block.queries();
        let mut scores = vec![0.; self.block.heads.group() * CHUNK];
        look::<L>(self.block, self.chunk, &queries, &mut scores, self.records);
    }
}

/// All chunks, for the queries of several rows.
pub(super) struct Walk<'a> {
    pub(super) block: &'a Block<'a>,
    pub(super) out: &'a Output,
}

impl Kernel for Walk<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { block, out } = self;
        let (count, size) = (block.rows * block.heads.group(), block.heads.record());
        let queries = block.queries();
        let mut scores = vec![0.; count * CHUNK];
        let mut records = vec![0.; count * size];
        let mut states = vec![0.; count * size];
        for chunk in 0..block.chunks() {
            look::<L>(block, chunk, &queries, &mut scores, &mut records);
            let pairs = states.chunks_exact_mut(size).zip(records.chunks_exact(size));
            for (index, (state, record)) in pairs.enumerate() {
                match (chunk, block.seen(index, chunk)) {
                    (0, _) => state.copy_from_slice(record),
                    (_, 0) => {}
                    _ => join(state, record),
                }
            }
        }
        for (index, state) in states.chunks_exact_mut(size).enumerate() {
            finish(state);
            out.write(block.place(index), &state[2..]);
        }
    }
}

/// What was found in all chunks, for the queries of a single row.
pub(super) struct Join<'a> {
    pub(super) block: &'a Block<'a>,
    /// `[chunks, queries, record]`.
    pub(super) records: &'a [f32],
    pub(super) out: &'a Output,
}

impl Kernel for Join<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let (count, size) = (self.block.heads.group(), self.block.heads.record());
        let (first, others) = self.records.split_at(count * size);
        for (index, state) in first.chunks_exact(size).enumerate() {
            let mut state = state.to_vec();
            for record in others.chunks_exact(size).skip(index).step_by(count) {
                join(&mut state, record);
            }
            finish(&mut state);
            self.out.write(self.block.place(index), &state[2..]);
        }
    }
}

#[inline(always)]
unsafe fn look<L: Lanes>(
    block: &Block<'_>,
    chunk: usize,
    queries: &[f32],
    scores: &mut [f32],
    records: &mut [f32],
) {
    match block.sequence.slabs {
        Slabs::F32 { keys, values } => {
            look_at::<L, f32>(block, chunk, keys, values, queries, scores, records);
        }
        Slabs::F16 { keys, values } => {
            look_at::<L, u16>(block, chunk, keys, values, queries, scores, records);
        }
    }
}

/// Fills the records of all queries that see something of the chunk: keys first, then values, so that the queries find each
/// in the cache.
#[inline(always)]
unsafe fn look_at<L: Lanes, T: Number>(
    block: &Block<'_>,
    chunk: usize,
    keys: &[T],
    values: &[T],
    queries: &[f32],
    scores: &mut [f32],
    records: &mut [f32],
) {
    let Heads { kv_heads, dim, .. } = block.heads;
    let start = block.kv_head * (keys.len() / kv_heads) + chunk * CHUNK * dim;
    let (keys, values) = (&keys[start..], &values[start..]);
    for (index, (query, scores)) in queries.chunks_exact(dim).zip(scores.chunks_exact_mut(CHUNK)).enumerate()
    {
        let seen = block.seen(index, chunk);
        let keys = &keys[..seen * dim];
        for (key, score) in scores[..seen].iter_mut().enumerate() {
            *score = dot::<L, T>(query, keys.as_ptr().add(key * dim));
        }
    }
    let records = records.chunks_exact_mut(block.heads.record());
    for (index, (record, scores)) in records.zip(scores.chunks_exact_mut(CHUNK)).enumerate() {
        let seen = block.seen(index, chunk);
        if seen > 0 {
            let weights = &mut scores[..seen];
            record[0] = largest(weights);
            record[1] = exp_all(weights, record[0]);
            mix::<L, T>(weights, &values[..seen * dim], &mut record[2..]);
        }
    }
}

/// Product of a query with the key at `key`.
#[inline(always)]
unsafe fn dot<L: Lanes, T: Number>(query: &[f32], key: *const T) -> f32 {
    let mut sums = [L::splat(0.); MAX_PARTS];
    let whole = query.len() / PANEL * PANEL;
    for first in (0..whole).step_by(PANEL) {
        for (part, sum) in sums.iter_mut().enumerate().take(L::PARTS) {
            let at = first + part * L::LANES;
            *sum = L::mul_add(L::load(query.as_ptr().add(at)), T::load::<L>(key.add(at)), *sum);
        }
    }
    let mut rest = 0f32;
    for (at, x) in query.iter().enumerate().skip(whole) {
        rest = x.mul_add((*key.add(at)).to_f32(), rest);
    }
    L::sum(sums) + rest
}

/// Sum of `values` `[weights, dim]` by their weights, position after position.
#[inline(always)]
unsafe fn mix<L: Lanes, T: Number>(weights: &[f32], values: &[T], out: &mut [f32]) {
    /// Vectors of sixteen numbers whose sums fit the registers.
    const STRIP: usize = 4;
    let dim = out.len();
    let mut at = 0;
    while at + STRIP * PANEL <= dim {
        strip::<L, T, STRIP>(weights, values.as_ptr().add(at), dim, &mut out[at..]);
        at += STRIP * PANEL;
    }
    while at + PANEL <= dim {
        strip::<L, T, 1>(weights, values.as_ptr().add(at), dim, &mut out[at..]);
        at += PANEL;
    }
    for (at, out) in out.iter_mut().enumerate().skip(at) {
        *out = 0.;
        for (weight, values) in weights.iter().zip(values.chunks_exact(dim)) {
            *out = weight.mul_add(values[at].to_f32(), *out);
        }
    }
}

/// The first `W · 16` numbers of [`mix`] from `values` on.
#[inline(always)]
unsafe fn strip<L: Lanes, T: Number, const W: usize>(
    weights: &[f32],
    mut values: *const T,
    dim: usize,
    out: &mut [f32],
) {
    let mut sums = [[L::splat(0.); MAX_PARTS]; W];
    for weight in weights {
        let weight = L::splat(*weight);
        for (wide, sums) in sums.iter_mut().enumerate() {
            for (part, sum) in sums.iter_mut().enumerate().take(L::PARTS) {
                let at = wide * PANEL + part * L::LANES;
                *sum = L::mul_add(T::load::<L>(values.add(at)), weight, *sum);
            }
        }
        values = values.wrapping_add(dim);
    }
    let out = &mut out[..W * PANEL];
    for (wide, sums) in sums.iter().enumerate() {
        for (part, sum) in sums.iter().enumerate().take(L::PARTS) {
            L::store(out.as_mut_ptr().add(wide * PANEL + part * L::LANES), *sum);
        }
    }
}

/// Takes into `state` what was found in the next chunk.
#[inline(always)]
fn join(state: &mut [f32], record: &[f32]) {
    let largest = if record[0] > state[0] { record[0] } else { state[0] };
    let (old, new) = (exp(state[0] - largest), exp(record[0] - largest));
    state[0] = largest;
    for (state, record) in state[1..].iter_mut().zip(&record[1..]) {
        *state = state.mul_add(old, record * new);
    }
}

/// Divides the weighted values by the sum of the weights.
#[inline(always)]
fn finish(state: &mut [f32]) {
    let scale = 1. / state[1];
    for value in &mut state[2..] {
        *value *= scale;
    }
}
