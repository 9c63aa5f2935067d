//! One forward through a network: which rows stand where and what they see. Networks are written once, over flat rows
//! `[n, width]`; whether these are spans of cached sequences or a padded batch is decided here.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, bail};

use crate::cached_attention;
use crate::decoder::Span;
use crate::grad::{self, Sequences};
use crate::marks;
use crate::ops::{Mode, attend_cached, attend_padded, causal_only, padding_mask};
use crate::rotary::{Rotary, Turns};

/// Head counts and width of one attention layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadShape {
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) dim: usize,
}

enum Rows<'a, 'c> {
    Spans(&'a [Span<'c>]),
    Batch {
        b: usize,
        t: usize,
        hidden: Tensor,
    },
    /// A batch where [`grad`] has kernels.
    Training(Arc<Sequences>),
}

/// The positions of all rows and how they attend.
pub(crate) struct Pass<'a, 'c> {
    rows: Rows<'a, 'c>,
    turns: Turns,
    mode: Mode,
}

impl<'a, 'c> Pass<'a, 'c> {
    /// The rows of `spans`, one after the other; they have to be `n`.
    pub(crate) fn over_spans(
        spans: &'a [Span<'c>],
        n: usize,
        rotary: &Rotary,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let total: usize = spans.iter().map(|span| span.rows).sum();
        if total != n {
            bail!("forward: {n} rows given, the spans have {total}");
        }
        for Span { cache, rows } in spans {
            if cache.len() + rows > cache.capacity() {
                bail!("cache of {} positions is full: {} + {rows}", cache.capacity(), cache.len());
            }
        }
        let positions: Vec<u32> = spans
            .iter()
            .flat_map(|span| (span.cache.len()..span.cache.len() + span.rows).map(|position| position as u32))
            .collect();
        let turns = rotary.turns(&positions, dtype, device)?;
        Ok(Self { rows: Rows::Spans(spans), turns, mode: Mode::Inference })
    }

    /// All rows of a batch `[b, t]`; `mask` as in [`forward_padded`](crate::decoder::Decoder::forward_padded).
    pub(crate) fn over_batch(
        (b, t): (usize, usize),
        mask: Option<&Tensor>,
        rotary: &Rotary,
        dtype: DType,
        device: &Device,
        mode: Mode,
    ) -> Result<Self> {
        let mask = mask.map(|mask| read_mask(mask, b, t)).transpose()?;
        let positions: Vec<u32> = match &mask {
            None => (0..b).flat_map(|_| 0..t as u32).collect(),
            Some(mask) => mask.iter().flat_map(|row| marks::positions(row)).collect(),
        };
        let turns = rotary.turns(&positions, dtype, device)?;
        let rows = if mode == Mode::Training && grad::runs_on(device, dtype) {
            let sequences = mask.map_or_else(|| Sequences::new(b, t), |mask| Sequences::padded(&mask, t));
            Rows::Training(Arc::new(sequences))
        } else {
            let hidden = match mask {
                None => causal_only(t, device)?,
                Some(mask) => padding_mask(&mask, t, device)?,
            };
            Rows::Batch { b, t, hidden }
        };
        Ok(Self { rows, turns, mode })
    }

    /// Attention of `layer`: `q` `[n, heads * dim]`, `k` and `v` `[n, kv_heads * dim]`, as projected. Queries and keys are
    /// turned by their positions first. Returns `[n, heads * dim]`.
    pub(crate) fn attend(
        &self,
        layer: usize,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        shape: HeadShape,
    ) -> Result<Tensor> {
        match &self.rows {
            Rows::Training(sequences) => grad::attention(q, k, v, &self.turns, sequences, shape),
            Rows::Spans(spans) => {
                let [q, k, v] = self.turned([q, k, v], shape)?;
                append(layer, spans, &k, &v)?;
                match cached_attention::has_kernels(&q, spans) {
                    true => cached_attention::attend(layer, &q, spans, shape),
                    false => self.attend_one_by_one(layer, spans, &q),
                }
            }
            Rows::Batch { b, t, hidden } => {
                let [q, k, v] = self.turned([q, k, v], shape)?;
                let batch = |x: &Tensor| x.reshape((*b, *t, x.dim(1)?, shape.dim));
                let mixed = attend_padded(&batch(&q)?, &batch(&k)?, &batch(&v)?, hidden, self.mode)?;
                mixed.flatten_to(1)
            }
        }
    }

    /// Queries, keys and values by heads, `[n, heads, dim]`, the first two turned by their positions.
    fn turned(&self, [q, k, v]: [&Tensor; 3], shape: HeadShape) -> Result<[Tensor; 3]> {
        let split = |x: &Tensor, heads| x.reshape((x.dim(0)?, heads, shape.dim));
        Ok([
            self.turns.apply(&split(q, shape.heads)?, self.mode)?,
            self.turns.apply(&split(k, shape.kv_heads)?, self.mode)?,
            split(v, shape.kv_heads)?,
        ])
    }

    /// Attention from candle's operations, span by span.
    fn attend_one_by_one(&self, layer: usize, spans: &[Span<'_>], q: &Tensor) -> Result<Tensor> {
        let mut mixed = Vec::with_capacity(spans.len());
        let mut start = 0;
        for Span { cache, rows } in spans {
            if *rows > 0 {
                let [keys, values] = cache.slabs(layer).map(|slab| slab.narrow(1, 0, cache.len() + rows));
                mixed.push(attend_cached(&q.narrow(0, start, *rows)?, &keys?, &values?, self.mode)?);
                start += rows;
            }
        }
        match mixed.as_slice() {
            [one] => Ok(one.clone()),
            _ => Tensor::cat(&mixed, 0),
        }
    }
}

/// A mask `[b, t]` row by row.
fn read_mask(mask: &Tensor, b: usize, t: usize) -> Result<Vec<Vec<u32>>> {
    if mask.dims() != [b, t] {
        bail!("forward: mask of shape {:?} for a batch of {b} rows of {t}", mask.dims());
    }
    mask.to_device(&Device::Cpu)?.to_dtype(DType::U32)?.to_vec2::<u32>()
}

/// Appends the keys and values of all spans, `[n, kv_heads, dim]`, to their caches.
fn append(layer: usize, spans: &[Span<'_>], k: &Tensor, v: &Tensor) -> Result<()> {
    let mut start = 0;
    for Span { cache, rows } in spans {
        if *rows > 0 {
            let part = |x: &Tensor| x.narrow(0, start, *rows)?.transpose(0, 1);
            cache.append(layer, &part(k)?, &part(v)?)?;
            start += rows;
        }
    }
    Ok(())
}
