//! Rotary positions and causal attention of padded sequences as one operation, after FlashAttention (Dao et al. 2022,
//! <https://arxiv.org/abs/2205.14135>): weights exist for one block of query rows at a time; the backward pass computes
//! them again from the projections and from two numbers that were kept of each row's softmax. Turned queries and keys
//! are not kept either.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::heads::{Group, RowSoftmax, stride};
use crate::pass::HeadShape;
use crate::rotary::Turns;
use crate::values::{Values, contiguous};

const NAME: &str = "attention";

/// A batch of equally long sequences.
#[derive(Debug)]
pub(crate) struct Sequences {
    /// Positions of one.
    t: usize,
    /// Of each position, one sequence after the other; see [`marks`](crate::marks).
    marks: Vec<u32>,
}

impl Sequences {
    /// `b` sequences of `t` positions without padding.
    pub(crate) fn new(b: usize, t: usize) -> Self {
        Self { t, marks: vec![1; b * t] }
    }

    /// As many sequences as `mask` has rows of `t` [`marks`](crate::marks).
    pub(crate) fn padded(mask: &[Vec<u32>], t: usize) -> Self {
        Self { t, marks: mask.concat() }
    }
}

/// Attention of each position over those of the same sequence before it and itself that it [sees](crate::marks::sees).
///
/// `q` is `[n, heads * dim]`, `k` and `v` `[n, kv_heads * dim]`, in f32 on the CPU, as projected; `n` are the positions of
/// all `sequences`, and `turns` turn queries and keys. Returns `[n, heads * dim]`; rows that see nothing but padding mean
/// nothing, and are finite.
///
/// # Errors
/// When shapes disagree.
pub(crate) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    turns: &Turns,
    sequences: &Arc<Sequences>,
    shape: HeadShape,
) -> Result<Tensor> {
    let op = Attention {
        turns: turns.tables(),
        sequences: Arc::clone(sequences),
        shape,
        softmaxes: OnceLock::new(),
    };
    q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, op)
}

struct Attention {
    turns: [Tensor; 2],
    sequences: Arc<Sequences>,
    shape: HeadShape,
    /// Of each group, set by the forward pass.
    softmaxes: OnceLock<Vec<Vec<RowSoftmax>>>,
}

impl Attention {
    /// Calls `compute` for each key head of each sequence.
    fn each_group<T: Send>(
        &self,
        [q, k, v]: [&[f32]; 3],
        compute: impl Fn(usize, Group<'_>) -> T + Sync,
    ) -> Result<Vec<T>> {
        let Self { turns, sequences, shape, .. } = self;
        let turns = turns.each_ref().map(Values::of);
        let turns = [turns[0].as_slice(NAME)?, turns[1].as_slice(NAME)?];
        let n = sequences.marks.len();
        let [cos, sin] = turns.map(<[f32]>::len);
        if cos != sin || cos < n || !cos.is_multiple_of(n.max(1)) || 2 * cos > n * shape.dim {
            bail!("{NAME}: tables of {cos} and {sin} numbers for {n} positions and {shape:?}");
        }
        let groups = (0..n / sequences.t.max(1) * shape.kv_heads).into_par_iter();
        Ok(groups
            .map(|index| {
                let first_row = index / shape.kv_heads * sequences.t;
                let marks = &sequences.marks[first_row..][..sequences.t];
                let kv_head = index % shape.kv_heads;
                compute(index, Group { q, k, v, turns, shape: *shape, marks, first_row, kv_head })
            })
            .collect())
    }

    /// Heads of the groups to rows `[n, kv_heads * shared * dim]`, where `part` gives a group's `[shared, t, stride]`.
    fn join<'a, T: Sync>(
        &self,
        groups: &'a [T],
        shared: usize,
        part: impl Fn(&'a T) -> &'a [f32] + Sync,
    ) -> Vec<f32> {
        let (t, HeadShape { kv_heads, dim, .. }) = (self.sequences.t, self.shape);
        let stride = stride(self.shape);
        let mut rows = vec![0f32; self.sequences.marks.len() * kv_heads * shared * dim];
        rows.par_chunks_mut(kv_heads * shared * dim).with_min_len(16).enumerate().for_each(|(row, out)| {
            for (head, out) in out.chunks_exact_mut(dim).enumerate() {
                let group = part(&groups[row / t * kv_heads + head / shared]);
                out.copy_from_slice(&group[(head % shared * t + row % t) * stride..][..dim]);
            }
        });
        rows
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, HeadShape { heads, kv_heads, dim }) = (self.sequences.marks.len(), self.shape);
        let (query, key) = ([n, heads * dim], [n, kv_heads * dim]);
        if q_layout.dims() != query || k_layout.dims() != key || v_layout.dims() != key {
            let got = [q_layout, k_layout, v_layout].map(Layout::dims);
            bail!("{NAME}: expected queries {query:?}, keys and values {key:?}, got {got:?}");
        }
        let q = contiguous(NAME, q, q_layout)?;
        let (k, v) = (contiguous(NAME, k, k_layout)?, contiguous(NAME, v, v_layout)?);
        let groups = self.each_group([q, k, v], |_, group| group.forward())?;
        let (outputs, softmaxes): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
        if self.softmaxes.set(softmaxes).is_err() {
            bail!("{NAME}: one operation cannot run forward twice");
        }
        let output = self.join(&outputs, heads / kv_heads, Vec::as_slice);
        Ok((CpuStorage::F32(output), q_layout.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(softmaxes) = self.softmaxes.get() else {
            bail!("{NAME}: backward before forward");
        };
        let gradient = gradient.contiguous()?;
        let arguments = [q, k, v].map(Values::of);
        let arguments =
            [arguments[0].as_slice(NAME)?, arguments[1].as_slice(NAME)?, arguments[2].as_slice(NAME)?];
        let results = [output, &gradient].map(Values::of);
        let (outputs, gradients) = (results[0].as_slice(NAME)?, results[1].as_slice(NAME)?);
        let groups =
            self.each_group(arguments, |index, group| group.backward(outputs, gradients, &softmaxes[index]))?;
        let tensor = |values: Vec<f32>, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        let dq = self.join(&groups, self.shape.heads / self.shape.kv_heads, |group| &group.q);
        let dk = self.join(&groups, 1, |group| &group.k);
        let dv = self.join(&groups, 1, |group| &group.v);
        Ok((Some(tensor(dq, q)?), Some(tensor(dk, k)?), Some(tensor(dv, v)?)))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::grad::testing::{assert_same_gradients, normal};
    use crate::ops::{Mode, attend_padded, padding_mask};
    use crate::rotary::{Rotary, Scaling};

    struct Case {
        q: Var,
        k: Var,
        v: Var,
        turns: Turns,
        shape: HeadShape,
        mask: Vec<Vec<u32>>,
    }

    impl Case {
        fn new((heads, kv_heads, dim): (usize, usize, usize), rotated: usize, mask: Vec<Vec<u32>>) -> Self {
            let n = mask.iter().map(Vec::len).sum();
            let var = |heads| Var::from_tensor(&normal(&[n, heads * dim], 1.)).unwrap();
            let positions: Vec<u32> = (0..n as u32).map(|i| i * 5 % 37).collect();
            let rotary = Rotary::new(rotated, 100., &Scaling::Default);
            Self {
                q: var(heads),
                k: var(kv_heads),
                v: var(kv_heads),
                turns: rotary.turns(&positions, DType::F32, &Device::Cpu).unwrap(),
                shape: HeadShape { heads, kv_heads, dim },
                mask,
            }
        }

        fn ours(&self) -> Tensor {
            let sequences = Arc::new(Sequences::padded(&self.mask, self.mask[0].len()));
            attention(&self.q, &self.k, &self.v, &self.turns, &sequences, self.shape).unwrap()
        }

        fn composed(&self) -> Tensor {
            let (b, t, HeadShape { heads, kv_heads, dim }) =
                (self.mask.len(), self.mask[0].len(), self.shape);
            let split = |x: &Var, heads: usize| x.reshape((b * t, heads, dim)).unwrap();
            let turned = |x: &Var, heads: usize| {
                let turned = self.turns.apply(&split(x, heads), Mode::Training).unwrap();
                turned.reshape((b, t, heads, dim)).unwrap()
            };
            let v = split(&self.v, kv_heads).reshape((b, t, kv_heads, dim)).unwrap();
            let hidden = padding_mask(&self.mask, t, &Device::Cpu).unwrap();
            let (q, k) = (turned(&self.q, heads), turned(&self.k, kv_heads));
            attend_padded(&q, &k, &v, &hidden, Mode::Training).unwrap().flatten_to(1).unwrap()
        }

        /// Only real positions count.
        fn real(&self, rows: &Tensor) -> Tensor {
            let mask: Vec<f32> = self.mask.iter().flatten().map(|mark| f32::from(*mark > 0)).collect();
            let mask = Tensor::from_vec(mask, (rows.dim(0).unwrap(), 1), &Device::Cpu).unwrap();
            rows.broadcast_mul(&mask).unwrap()
        }

        fn check(&self) {
            let (ours, composed) = (self.real(&self.ours()), self.real(&self.composed()));
            assert_same_gradients(&ours, &composed, &[&self.q, &self.k, &self.v]);
        }
    }

    fn padded(t: usize, real: std::ops::Range<usize>) -> Vec<u32> {
        (0..t).map(|position| u32::from(real.contains(&position))).collect()
    }

    #[test]
    fn equals_the_composed_form_without_padding() {
        for t in [1, 2, 16, 25, 80] {
            for (heads, rotated) in [((1, 1, 8), 8), ((4, 2, 8), 4), ((9, 3, 64), 64), ((2, 2, 80), 32)] {
                Case::new(heads, rotated, vec![vec![1; t]; 2]).check();
            }
        }
    }

    #[test]
    fn equals_the_composed_form_with_padding_on_either_side() {
        for t in [5, 33, 50] {
            let mask = vec![padded(t, 0..t), padded(t, 3..t), padded(t, 0..t - 3), padded(t, 2..t - 1)];
            for (heads, rotated) in [((3, 3, 16), 16), ((6, 2, 20), 8)] {
                Case::new(heads, rotated, mask.clone()).check();
            }
        }
    }

    #[test]
    fn equals_the_composed_form_with_branches() {
        let mut marks = padded(60, 2..60);
        for (mark, branch) in [(2, 20..25), (3, 25..50), (4, 50..51), (5, 51..57)] {
            marks[branch].fill(mark);
        }
        marks[57..].fill(0);
        for (heads, rotated) in [((3, 3, 16), 16), ((6, 2, 20), 8)] {
            Case::new(heads, rotated, vec![marks.clone(), padded(60, 0..60)]).check();
        }
    }

    #[test]
    fn rows_that_see_nothing_are_numbers() {
        let case = Case::new((2, 1, 8), 8, vec![padded(30, 0..0), padded(30, 29..30)]);
        let output = case.ours();
        let gradients = output.sum_all().unwrap().backward().unwrap();
        let tensors = [&output, gradients.get(&case.q).unwrap(), gradients.get(&case.k).unwrap()];
        for tensor in tensors {
            let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(values.iter().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn nothing_comes_from_later_positions_or_padding() {
        let case = Case::new((2, 1, 8), 8, vec![padded(30, 0..20)]);
        let row = case.ours().narrow(0, 25, 1).unwrap().sum_all().unwrap();
        let gradients = row.backward().unwrap();
        let dv = gradients.get(&case.v).unwrap().abs().unwrap().sum(1).unwrap().to_vec1::<f32>().unwrap();
        assert!(dv[..20].iter().all(|value| *value > 0.));
        assert!(dv[20..].iter().all(|value| *value == 0.));
    }

    #[test]
    fn other_shapes_are_refused() {
        let case = Case::new((2, 1, 8), 8, vec![vec![1; 4]]);
        let sequences = Arc::new(Sequences::new(1, 5));
        let error = attention(&case.q, &case.k, &case.v, &case.turns, &sequences, case.shape).unwrap_err();
        assert!(error.to_string().contains("expected queries [5, 16]"), "{error}");
    }
}
