//! Attention over caches on the CPU, straight from their memory: all sequences of a step in one operation.

use candle_core::{DType, Result, Tensor, bail};
use jnana_kernels::{Cached, Heads, Slabs};

use crate::decoder::Span;
use crate::grad;
use crate::pass::HeadShape;
use crate::values::Values;

const NAME: &str = "cached attention";

/// True where there are kernels for queries `q` and the caches of `spans`.
pub(crate) fn has_kernels(q: &Tensor, spans: &[Span<'_>]) -> bool {
    let known = |span: &Span<'_>| matches!(span.cache.dtype(), DType::F32 | DType::F16);
    grad::runs_on(q.device(), q.dtype()) && spans.iter().all(known)
}

/// Attention of the rows of all `spans` over the positions of their caches in `layer`, to which theirs were appended.
///
/// `q` is `[n, heads, dim]`, turned. Returns `[n, heads * dim]`.
pub(crate) fn attend(layer: usize, q: &Tensor, spans: &[Span<'_>], shape: HeadShape) -> Result<Tensor> {
    let q = q.contiguous()?;
    let slabs: Vec<[Values<'_>; 2]> =
        spans.iter().map(|span| span.cache.slabs(layer).map(Values::of)).collect();
    let sequences = spans.iter().zip(&slabs).map(|(span, slabs)| {
        Ok(Cached { slabs: borrow(slabs, span.cache.dtype())?, past: span.cache.len(), rows: span.rows })
    });
    let sequences = sequences.collect::<Result<Vec<_>>>()?;
    let heads = Heads { heads: shape.heads, kv_heads: shape.kv_heads, dim: shape.dim };
    let queries = Values::of(&q);
    let mixed = jnana_kernels::cached_attention(queries.as_slice(NAME)?, &sequences, heads);
    Tensor::from_vec(mixed, (q.dim(0)?, shape.heads * shape.dim), q.device())
}

fn borrow<'a>([keys, values]: &'a [Values<'_>; 2], dtype: DType) -> Result<Slabs<'a>> {
    match dtype {
        DType::F32 => Ok(Slabs::F32 { keys: keys.as_slice(NAME)?, values: values.as_slice(NAME)? }),
        DType::F16 => Ok(Slabs::F16 {
            keys: bytemuck::cast_slice(keys.as_halves(NAME)?),
            values: bytemuck::cast_slice(values.as_halves(NAME)?),
        }),
        other => bail!("{NAME}: a cache of {other:?}"),
    }
}
