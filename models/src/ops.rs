//! Norms and attention: fused where nothing has to be remembered, differentiable where gradients flow.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops;

use crate::grad;
use crate::marks::sees;

/// Query rows that attention looks at in one piece; bounds the scores' memory and skips keys that no row of it may see.
const QUERY_ROWS: usize = 128;

/// Score of a key that may not be seen. Finite: a row that may see nothing gives an average instead of not-a-number.
pub(crate) const HIDDEN: f32 = -1e30;

/// What a network was loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Fused operations; gradients stop at them.
    #[default]
    Inference,
    /// Every operation has a backward pass.
    Training,
}

/// Layer normalisation over the last dimension (Ba et al. 2016).
#[derive(Debug, Clone)]
pub struct LayerNorm {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    pub(crate) epsilon: f32,
    pub(crate) mode: Mode,
}

impl LayerNorm {
    /// Normalises `x` (`[.., width]`).
    ///
    /// # Errors
    /// When widths disagree.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self.mode {
            Mode::Inference => ops::layer_norm(&x.contiguous()?, &self.weight, &self.bias, self.epsilon),
            Mode::Training => grad::layer_norm(x, &self.weight, &self.bias, self.epsilon),
        }
    }
}

/// Root-mean-square normalisation over the last dimension (Zhang and Sennrich 2019).
#[derive(Debug, Clone)]
pub struct RmsNorm {
    pub(crate) weight: Tensor,
    pub(crate) epsilon: f32,
    pub(crate) mode: Mode,
}

impl RmsNorm {
    /// Normalises `x` (`[.., width]`).
    ///
    /// # Errors
    /// When widths disagree.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self.mode {
            Mode::Inference => ops::rms_norm(&x.contiguous()?, &self.weight, self.epsilon),
            Mode::Training => grad::rms_norm(x, &self.weight, self.epsilon),
        }
    }
}

fn softmax(scores: &Tensor, mode: Mode) -> Result<Tensor> {
    match mode {
        Mode::Inference => ops::softmax_last_dim(scores),
        Mode::Training => ops::softmax(scores, D::Minus1),
    }
}

/// Attention of the last rows of one sequence over all its positions.
///
/// `q` is `[rows, heads, head_dim]`, `k` and `v` `[kv_heads, positions, head_dim]`, and row `i` stands at position
/// `positions - rows + i`. Returns `[rows, heads * head_dim]` in `q`'s type. Query heads that share a key head are folded
/// into the rows of one product, so keys are never copied.
pub(crate) fn attend_cached(q: &Tensor, k: &Tensor, v: &Tensor, mode: Mode) -> Result<Tensor> {
    let rows = q.dim(0)?;
    let past = k.dim(1)? - rows;
    if rows <= QUERY_ROWS {
        return attend_block(q, k, v, past, mode);
    }
    let mut blocks = Vec::with_capacity(rows.div_ceil(QUERY_ROWS));
    for start in (0..rows).step_by(QUERY_ROWS) {
        let take = QUERY_ROWS.min(rows - start);
        let seen = past + start + take;
        let (k, v) = (k.narrow(1, 0, seen)?, v.narrow(1, 0, seen)?);
        blocks.push(attend_block(&q.narrow(0, start, take)?, &k, &v, past + start, mode)?);
    }
    Tensor::cat(&blocks, 0)
}

fn attend_block(q: &Tensor, k: &Tensor, v: &Tensor, past: usize, mode: Mode) -> Result<Tensor> {
    let (rows, heads, dim) = q.dims3()?;
    let (kv_heads, positions, _) = k.dims3()?;
    let group = heads / kv_heads;
    let scaled = (q * (dim as f64).powf(-0.5))?.to_dtype(k.dtype())?;
    let folded = fold(&scaled.reshape((rows, kv_heads, group, dim))?)?;
    let mut scores = folded.matmul(&k.t()?)?.to_dtype(DType::F32)?;
    if rows > 1 {
        let hidden = causal_mask(rows, past, q.device())?.reshape((1, rows, positions))?;
        let by_row = scores.reshape((kv_heads * group, rows, positions))?;
        scores = by_row.broadcast_add(&hidden)?.reshape((kv_heads, group * rows, positions))?;
    }
    let mixed = softmax(&scores, mode)?.to_dtype(v.dtype())?.matmul(v)?;
    unfold(&mixed.reshape((kv_heads, group, rows, dim))?)?.to_dtype(q.dtype())
}

/// `[rows, kv_heads, group, dim]` to `[kv_heads, group * rows, dim]`.
fn fold(q: &Tensor) -> Result<Tensor> {
    let (rows, kv_heads, group, dim) = q.dims4()?;
    if rows == 1 {
        return q.reshape((kv_heads, group, dim));
    }
    q.permute((1, 2, 0, 3))?.reshape((kv_heads, group * rows, dim))
}

/// `[kv_heads, group, rows, dim]` to `[rows, kv_heads * group * dim]`.
fn unfold(mixed: &Tensor) -> Result<Tensor> {
    let (kv_heads, group, rows, dim) = mixed.dims4()?;
    if rows == 1 {
        return mixed.reshape((1, kv_heads * group * dim));
    }
    mixed.permute((2, 0, 1, 3))?.reshape((rows, kv_heads * group * dim))
}

/// `[rows, past + rows]`: 0 where row `i` may see a position, [`HIDDEN`] behind `past + i`.
fn causal_mask(rows: usize, past: usize, device: &Device) -> Result<Tensor> {
    let positions = past + rows;
    let values: Vec<f32> = (0..rows)
        .flat_map(|row| (0..positions).map(move |position| if position <= past + row { 0. } else { HIDDEN }))
        .collect();
    Tensor::from_vec(values, (rows, positions), device)
}

/// What each row of a padded batch may see: `[b, 1, t, t]`, to be added to scores. `mask` holds [`marks`](crate::marks).
pub(crate) fn padding_mask(mask: &[Vec<u32>], t: usize, device: &Device) -> Result<Tensor> {
    let mut hidden = vec![HIDDEN; mask.len() * t * t];
    for (marks, hidden) in mask.iter().zip(hidden.chunks_exact_mut((t * t).max(1))) {
        for (query, hidden) in hidden.chunks_exact_mut(t).enumerate() {
            let seen = hidden.iter_mut().zip(marks).take(query + 1);
            seen.filter(|(_, key)| sees(marks[query], **key)).for_each(|(hidden, _)| *hidden = 0.);
        }
    }
    Tensor::from_vec(hidden, (mask.len(), 1, t, t), device)
}

/// Attention within each row of a batch.
///
/// `q` is `[b, t, heads, head_dim]`, `k` and `v` `[b, t, kv_heads, head_dim]`, `hidden` `[b or 1, 1, t, t]`. Returns
/// `[b, t, heads * head_dim]`.
pub(crate) fn attend_padded(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    hidden: &Tensor,
    mode: Mode,
) -> Result<Tensor> {
    let (b, t, heads, dim) = q.dims4()?;
    let kv_heads = k.dim(2)?;
    let group = heads / kv_heads;
    let folded = (q * (dim as f64).powf(-0.5))?.reshape((b, t, kv_heads, group, dim))?;
    let folded = folded.permute((0, 2, 3, 1, 4))?.reshape((b * kv_heads, group * t, dim))?;
    let per_head = |x: &Tensor| x.transpose(1, 2)?.reshape((b * kv_heads, t, dim));
    let (k, v) = (per_head(k)?, per_head(v)?);
    let scores = folded.matmul(&k.t()?)?.to_dtype(DType::F32)?.reshape((b, heads, t, t))?;
    let weights = softmax(&scores.broadcast_add(hidden)?, mode)?.to_dtype(v.dtype())?;
    let mixed = weights.reshape((b * kv_heads, group * t, t))?.matmul(&v)?;
    mixed.reshape((b, heads, t, dim))?.transpose(1, 2)?.reshape((b, t, heads * dim))
}

/// No padding: `[1, 1, t, t]`.
pub(crate) fn causal_only(t: usize, device: &Device) -> Result<Tensor> {
    causal_mask(t, 0, device)?.reshape((1, 1, t, t))
}
