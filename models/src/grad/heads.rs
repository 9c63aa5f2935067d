//! Attention of one key head of one sequence, with the query heads that share it: what one task of
//! [`attention`](super::attention) computes. Everything that it touches often is copied into rows of its own first, padded
//! to whole vectors and turned to its position on the way.

use jnana_kernels::math::{dot, exp, exp_all, largest};
use pulp::{Arch, Simd, WithSimd};

use super::product::{LANES, Matrix, Size, Store, multiply, multiply_transposed};
use super::rope::{turn, turn_back};
use crate::marks::sees;
use crate::ops::HIDDEN;
use crate::pass::HeadShape;

/// Query rows whose scores are in memory at a time; a row sees no key behind its block.
const BLOCK: usize = 24;

/// What is kept of a row's softmax.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RowSoftmax {
    /// The largest score.
    largest: f32,
    /// One by the sum of `e^(score - largest)`.
    scale: f32,
}

/// The arguments of the whole operation and which part of them is meant.
pub(super) struct Group<'a> {
    /// `[n, heads * dim]`.
    pub(super) q: &'a [f32],
    /// `[n, kv_heads * dim]`.
    pub(super) k: &'a [f32],
    /// `[n, kv_heads * dim]`.
    pub(super) v: &'a [f32],
    /// Cosines and sines, `[n, rotated / 2]`.
    pub(super) turns: [&'a [f32]; 2],
    pub(super) shape: HeadShape,
    /// Of this sequence's positions, `[t]`.
    pub(super) marks: &'a [u32],
    /// Row of `q`, `k` and `v` with which this sequence begins.
    pub(super) first_row: usize,
    pub(super) kv_head: usize,
}

/// Gradients of a group; rows of `stride` numbers.
pub(super) struct GroupGradients {
    /// `[query heads, t, stride]`.
    pub(super) q: Vec<f32>,
    /// `[t, stride]`.
    pub(super) k: Vec<f32>,
    /// `[t, stride]`.
    pub(super) v: Vec<f32>,
}

/// Length of a head's padded row.
pub(super) fn stride(shape: HeadShape) -> usize {
    shape.dim.next_multiple_of(LANES)
}

impl Group<'_> {
    fn t(&self) -> usize {
        self.marks.len()
    }

    fn query_heads(&self) -> std::ops::Range<usize> {
        let shared = self.shape.heads / self.shape.kv_heads;
        self.kv_head * shared..(self.kv_head + 1) * shared
    }

    fn scale(&self) -> f32 {
        (self.shape.dim as f32).powf(-0.5)
    }

    /// This sequence's rows of one of `heads` heads, `[t, stride]`.
    fn rows(&self, x: &[f32], heads: usize, head: usize) -> Vec<f32> {
        let (dim, stride) = (self.shape.dim, stride(self.shape));
        let mut rows = vec![0f32; self.t() * stride];
        let x = x.chunks_exact(heads * dim).skip(self.first_row);
        for (row, x) in rows.chunks_exact_mut(stride).zip(x) {
            row[..dim].copy_from_slice(&x[head * dim..][..dim]);
        }
        rows
    }

    /// Each row with the cosines and sines of its position.
    fn positions<'r>(&self, rows: &'r mut [f32]) -> impl Iterator<Item = (&'r mut [f32], (&[f32], &[f32]))> {
        let [cos, sin] = self.turns;
        let half = cos.len() / (self.q.len() / (self.shape.heads * self.shape.dim));
        let tables = cos.chunks_exact(half).zip(sin.chunks_exact(half)).skip(self.first_row);
        rows.chunks_exact_mut(stride(self.shape)).zip(tables)
    }

    /// One query head's rows, turned and scaled.
    fn queries(&self, head: usize) -> Vec<f32> {
        let mut rows = self.rows(self.q, self.shape.heads, head);
        for (row, (cos, sin)) in self.positions(&mut rows) {
            turn(row, cos, sin);
        }
        let scale = self.scale();
        rows.iter_mut().for_each(|x| *x *= scale);
        rows
    }

    fn keys(&self) -> Vec<f32> {
        let mut rows = self.rows(self.k, self.shape.kv_heads, self.kv_head);
        for (row, (cos, sin)) in self.positions(&mut rows) {
            turn(row, cos, sin);
        }
        rows
    }

    fn values(&self) -> Vec<f32> {
        self.rows(self.v, self.shape.kv_heads, self.kv_head)
    }

    /// Blocks of query rows: the first one and how many.
    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let t = self.t();
        (0..t).step_by(BLOCK).map(move |start| (start, BLOCK.min(t - start)))
    }

    /// Outputs `[query heads, t, stride]`, and what the backward pass needs of each row's softmax.
    pub(super) fn forward(&self) -> (Vec<f32>, Vec<RowSoftmax>) {
        let (t, stride) = (self.t(), stride(self.shape));
        let keys = Columns::new(&self.keys(), stride, self.shape.dim);
        let values = self.values();
        let heads = self.query_heads();
        let mut outputs = vec![0f32; heads.len() * t * stride];
        let mut softmaxes = vec![RowSoftmax::default(); heads.len() * t];
        let mut scores = vec![0f32; BLOCK * keys.stride];
        let parts = outputs.chunks_exact_mut(t * stride).zip(softmaxes.chunks_exact_mut(t));
        for (head, (output, softmaxes)) in heads.zip(parts) {
            let queries = self.queries(head);
            for (start, rows) in self.blocks() {
                let seen = start + rows;
                keys.multiply(&queries[start * stride..], rows, seen, &mut scores);
                Arch::new().dispatch(Softmax {
                    scores: &mut scores,
                    stride: keys.stride,
                    start,
                    marks: &self.marks[..seen],
                    softmaxes: &mut softmaxes[start..seen],
                });
                multiply(
                    Matrix { values: &scores, stride: keys.stride },
                    Matrix { values: &values, stride },
                    (&mut output[start * stride..], stride),
                    Size { m: rows, k: seen, n: stride },
                    Store::Set,
                );
            }
        }
        (outputs, softmaxes)
    }

    /// Gradients of the group's arguments from its part of the operation's output and of that output's gradient, both
    /// `[n, heads * dim]`.
    pub(super) fn backward(
        &self,
        output: &[f32],
        gradient: &[f32],
        softmaxes: &[RowSoftmax],
    ) -> GroupGradients {
        let (t, stride) = (self.t(), stride(self.shape));
        let (keys, values) = (self.keys(), self.values());
        let key_columns = Columns::new(&keys, stride, self.shape.dim);
        let value_columns = Columns::new(&values, stride, self.shape.dim);
        let (wide, scale) = (key_columns.stride, self.scale());
        let heads = self.query_heads();
        let mut dq = vec![0f32; heads.len() * t * stride];
        let (mut dk, mut dv) = (vec![0f32; t * stride], vec![0f32; t * stride]);
        let (mut weights, mut dscores) = (vec![0f32; BLOCK * wide], vec![0f32; BLOCK * wide]);
        let parts = dq.chunks_exact_mut(t * stride).zip(softmaxes.chunks_exact(t));
        for (head, (dq, softmaxes)) in heads.zip(parts) {
            let queries = self.queries(head);
            let output = self.rows(output, self.shape.heads, head);
            let gradient = self.rows(gradient, self.shape.heads, head);
            for (start, rows) in self.blocks() {
                let seen = start + rows;
                let block = start * stride..seen * stride;
                key_columns.multiply(&queries[block.clone()], rows, seen, &mut weights);
                value_columns.multiply(&gradient[block.clone()], rows, seen, &mut dscores);
                Arch::new().dispatch(SoftmaxBackward {
                    weights: &mut weights,
                    dscores: &mut dscores,
                    stride: wide,
                    start,
                    marks: &self.marks[..seen],
                    softmaxes: &softmaxes[start..seen],
                    output: &output[block.clone()],
                    gradient: &gradient[block.clone()],
                });
                let size = Size { m: seen, k: rows, n: stride };
                let weights = Matrix { values: &weights, stride: wide };
                let dscores = Matrix { values: &dscores, stride: wide };
                let row = |values| Matrix { values, stride };
                multiply_transposed(
                    weights,
                    row(&gradient[block.clone()]),
                    (&mut dv, stride),
                    size,
                    Store::Add,
                );
                multiply_transposed(
                    dscores,
                    row(&queries[block.clone()]),
                    (&mut dk, stride),
                    size,
                    Store::Add,
                );
                let size = Size { m: rows, k: seen, n: stride };
                multiply(dscores, row(&keys), (&mut dq[block], stride), size, Store::Set);
            }
            for (row, (cos, sin)) in self.positions(dq) {
                turn_back(row, cos, sin);
                row.iter_mut().for_each(|x| *x *= scale);
            }
        }
        for (row, (cos, sin)) in self.positions(&mut dk) {
            turn_back(row, cos, sin);
        }
        GroupGradients { q: dq, k: dk, v: dv }
    }
}

/// Keys or values the other way round, `[dim, t]`: what rows are multiplied with to meet all of them.
struct Columns {
    values: Vec<f32>,
    stride: usize,
    dim: usize,
}

impl Columns {
    fn new(rows: &[f32], row_stride: usize, dim: usize) -> Self {
        let stride = (rows.len() / row_stride).next_multiple_of(LANES);
        let mut values = vec![0f32; dim * stride];
        for (column, row) in rows.chunks_exact(row_stride).enumerate() {
            for (values, x) in values.chunks_exact_mut(stride).zip(row) {
                values[column] = *x;
            }
        }
        Self { values, stride, dim }
    }

    /// Products of the first `rows` of `x` with the first `seen` columns, into rows of [`stride`](Self::stride) numbers.
    fn multiply(&self, x: &[f32], rows: usize, seen: usize, out: &mut [f32]) {
        multiply(
            Matrix { values: x, stride: self.dim.next_multiple_of(LANES) },
            Matrix { values: &self.values, stride: self.stride },
            (out, self.stride),
            Size { m: rows, k: self.dim, n: seen.next_multiple_of(LANES) },
            Store::Set,
        );
    }
}

/// What is added to the score of a key.
#[inline(always)]
fn hidden(query: u32, key: u32) -> f32 {
    if sees(query, key) { 0. } else { HIDDEN }
}

/// Scores of a block to weights, in place. Row `i` sees keys up to `start + i`; the others' weights become 0.
struct Softmax<'a> {
    scores: &'a mut [f32],
    stride: usize,
    start: usize,
    marks: &'a [u32],
    softmaxes: &'a mut [RowSoftmax],
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let rows = self.scores.chunks_exact_mut(self.stride).zip(self.softmaxes);
        for (i, (row, softmax)) in rows.enumerate() {
            let (scores, behind) = row[..self.marks.len()].split_at_mut(self.start + i + 1);
            let query = self.marks[self.start + i];
            scores.iter_mut().zip(self.marks).for_each(|(score, key)| *score += hidden(query, *key));
            let largest = largest(scores);
            let scale = 1. / exp_all(scores, largest);
            scores.iter_mut().for_each(|weight| *weight *= scale);
            behind.fill(0.);
            *softmax = RowSoftmax { largest, scale };
        }
    }
}

/// In place: scores to weights `w` as [`Softmax`] does, and the weights' gradients `dw` to those of the scores,
/// `w · (dw - Σ w · dw)`. That sum is the product of the row's output with its gradient.
struct SoftmaxBackward<'a> {
    weights: &'a mut [f32],
    dscores: &'a mut [f32],
    stride: usize,
    start: usize,
    marks: &'a [u32],
    softmaxes: &'a [RowSoftmax],
    output: &'a [f32],
    gradient: &'a [f32],
}

impl WithSimd for SoftmaxBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let dim = self.output.len() / self.softmaxes.len();
        let outputs = self.output.chunks_exact(dim).zip(self.gradient.chunks_exact(dim));
        let rows = self.weights.chunks_exact_mut(self.stride).zip(self.dscores.chunks_exact_mut(self.stride));
        let rows = rows.zip(self.softmaxes).zip(outputs);
        for (i, (((weights, dscores), softmax), (output, gradient))) in rows.enumerate() {
            let sum = dot(output, gradient);
            let (seen, query) = (self.marks.len(), self.marks[self.start + i]);
            let (weights, behind) = weights[..seen].split_at_mut(self.start + i + 1);
            let (dscores, dbehind) = dscores[..seen].split_at_mut(self.start + i + 1);
            for ((weight, key), dscore) in weights.iter_mut().zip(self.marks).zip(dscores) {
                *weight = exp(*weight + hidden(query, *key) - softmax.largest) * softmax.scale;
                *dscore = *weight * (*dscore - sum);
            }
            behind.fill(0.);
            dbehind.fill(0.);
        }
    }
}
