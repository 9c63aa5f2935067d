//! What every decoder offers to the core and to the trainer.

use candle_core::{DType, Device, Result, Tensor};

use crate::pass::Pass;

/// Shapes that a decoder's user has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecoderShape {
    /// Network family: `phi` or `llama`.
    pub family: &'static str,
    /// Rows of the embedding table and of the logits.
    pub vocab_size: usize,
    /// Embedding width.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Key/value heads (fewer than query heads with grouped queries).
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Positions that the network was made for.
    pub max_positions: usize,
}

impl DecoderShape {
    /// Bytes that one position takes in a [`SequenceCache`].
    #[must_use]
    pub fn cache_bytes_per_position(&self, dtype: DType) -> usize {
        2 * self.layers * self.kv_heads * self.head_dim * dtype.size_in_bytes()
    }
}

/// Keys and values of one sequence: pre-allocated for `capacity` positions and written in place.
///
/// Per layer `[kv_heads, capacity, head_dim]`; the first `len` positions are valid.
#[derive(Debug)]
pub struct SequenceCache {
    keys: Vec<Tensor>,
    values: Vec<Tensor>,
    len: usize,
    capacity: usize,
}

impl SequenceCache {
    /// Allocates room for `capacity` positions.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn new(shape: &DecoderShape, capacity: usize, dtype: DType, device: &Device) -> Result<Self> {
        let slab = || Tensor::zeros((shape.kv_heads, capacity, shape.head_dim), dtype, device);
        Ok(Self {
            keys: (0..shape.layers).map(|_| slab()).collect::<Result<_>>()?,
            values: (0..shape.layers).map(|_| slab()).collect::<Result<_>>()?,
            len: 0,
            capacity,
        })
    }

    /// Valid positions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True before the first position.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Positions that fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets all positions from `len` on; longer than the cache is a no-op.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// The first `len` positions in a cache with room for `capacity`. Layer by layer, so that two whole caches never exist
    /// at once.
    ///
    /// # Errors
    /// When `len` exceeds either cache, or the device has no memory left.
    pub fn resized(self, len: usize, capacity: usize) -> Result<Self> {
        self.check_beginning(len, capacity)?;
        let moved = |slab: Tensor| beginning(&slab, len, capacity);
        Ok(Self {
            keys: self.keys.into_iter().map(moved).collect::<Result<_>>()?,
            values: self.values.into_iter().map(moved).collect::<Result<_>>()?,
            len,
            capacity,
        })
    }

    /// A copy of the first `len` positions with room for `capacity`.
    ///
    /// # Errors
    /// When `len` exceeds either cache, or the device has no memory left.
    pub fn fork(&self, len: usize, capacity: usize) -> Result<Self> {
        self.check_beginning(len, capacity)?;
        let copy = |slab: &Tensor| beginning(slab, len, capacity);
        Ok(Self {
            keys: self.keys.iter().map(copy).collect::<Result<_>>()?,
            values: self.values.iter().map(copy).collect::<Result<_>>()?,
            len,
            capacity,
        })
    }

    fn check_beginning(&self, len: usize, capacity: usize) -> Result<()> {
        if len > self.len || len > capacity {
            candle_core::bail!("the first {len} of {} positions in a cache of {capacity}", self.len);
        }
        Ok(())
    }

    /// Writes the keys and values (`[kv_heads, t, head_dim]`) of `layer` behind the valid positions.
    /// [`advance`](Self::advance) makes them valid once every layer has written.
    pub(crate) fn append(&self, layer: usize, k: &Tensor, v: &Tensor) -> Result<()> {
        let t = k.dim(1)?;
        if self.len + t > self.capacity {
            candle_core::bail!("cache of {} positions is full: {} + {t}", self.capacity, self.len);
        }
        let [keys, values] = self.slabs(layer);
        keys.slice_set(&k.to_dtype(keys.dtype())?.contiguous()?, 1, self.len)?;
        values.slice_set(&v.to_dtype(values.dtype())?.contiguous()?, 1, self.len)
    }

    /// Keys and values of `layer`, all positions that fit.
    pub(crate) fn slabs(&self, layer: usize) -> [&Tensor; 2] {
        [&self.keys[layer], &self.values[layer]]
    }

    /// Type of its numbers.
    pub(crate) fn dtype(&self) -> DType {
        self.keys.first().map_or(DType::F32, Tensor::dtype)
    }

    /// Makes the `t` positions that every layer has appended valid.
    pub(crate) fn advance(&mut self, t: usize) {
        self.len += t;
    }
}

/// A slab `[heads, capacity, head_dim]` of its own with the first `len` positions of another.
fn beginning(slab: &Tensor, len: usize, capacity: usize) -> Result<Tensor> {
    let (heads, _, head_dim) = slab.dims3()?;
    let new = Tensor::zeros((heads, capacity, head_dim), slab.dtype(), slab.device())?;
    if len > 0 {
        new.slice_set(&slab.narrow(1, 0, len)?.contiguous()?, 1, 0)?;
    }
    Ok(new)
}

/// Some new positions of one sequence within a ragged step.
#[derive(Debug)]
pub struct Span<'a> {
    /// The sequence's cache; the rows continue at its `len()`.
    pub cache: &'a mut SequenceCache,
    /// How many rows of the step belong to it.
    pub rows: usize,
}

impl Span<'_> {
    /// Makes the rows that every layer has appended valid.
    pub(crate) fn commit(&mut self) {
        self.cache.advance(self.rows);
    }
}

/// Where the rows of a batch stand and what they see, the same for all layers.
pub struct Batch(pub(crate) Pass<'static, 'static>);

/// A network that continues a sequence of embeddings.
///
/// Linears work on all rows of a step at once; only attention looks at each sequence's own cache, so no padding is needed
/// in serving. Training and whole-batch work use [`forward_padded`](Decoder::forward_padded).
pub trait Decoder: Send {
    /// The shapes.
    fn shape(&self) -> &DecoderShape;

    /// Where the weights are.
    fn device(&self) -> &Device;

    /// Type of hidden states: what embeddings given to the forwards must have.
    fn dtype(&self) -> DType;

    /// Ids (u32, any shape) to embeddings (the same shape and the width).
    ///
    /// # Errors
    /// When an id is outside the vocabulary.
    fn embed(&self, ids: &Tensor) -> Result<Tensor>;

    /// One step of any mix of prefill chunks and decodes. `rows` is `[n, width]`, the spans' rows one after the other
    /// (their `rows` sum to n). Returns hidden states after the last norm, `[n, width]`, and extends every cache.
    ///
    /// # Errors
    /// When shapes disagree or a cache is full; then no cache has become longer.
    fn forward_ragged(&self, rows: &Tensor, spans: &mut [Span<'_>]) -> Result<Tensor>;

    /// A whole batch at once, without caches: `embeds` is `[b, t, width]`, `mask` (u8 or u32, `[b, t]`) is 1 at real
    /// positions and 0 at padding, left or right; `None` means no padding. Positions count from each row's first real
    /// one. A row may go on in branches, each with a mark of its own from 2 on: a branch sees what is marked 1 and itself,
    /// and counts its positions on from there. Returns hidden states after the last norm, `[b, t, width]`; those at
    /// padding mean nothing. Differentiable when the network was loaded for training.
    ///
    /// # Errors
    /// When shapes disagree.
    fn forward_padded(&self, embeds: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let (b, t, width) = embeds.dims3()?;
        let batch = self.batch((b, t), mask)?;
        let mut rows = embeds.reshape((b * t, width))?;
        for layer in 0..self.shape().layers {
            rows = self.layer(layer, &rows, &batch)?;
        }
        self.finish(&rows)?.reshape((b, t, width))
    }

    /// What the layers need of a batch of `b` rows of `t` positions: [`forward_padded`](Decoder::forward_padded) in steps,
    /// for whoever keeps nothing but what goes into each layer.
    ///
    /// # Errors
    /// When the mask has another shape.
    fn batch(&self, shape: (usize, usize), mask: Option<&Tensor>) -> Result<Batch>;

    /// One layer over the rows of a batch, `[b * t, width]` to the same shape.
    ///
    /// # Errors
    /// When shapes disagree or there is no such layer.
    fn layer(&self, layer: usize, rows: &Tensor, batch: &Batch) -> Result<Tensor>;

    /// The last norm, `[n, width]` to the same shape.
    ///
    /// # Errors
    /// When shapes disagree.
    fn finish(&self, rows: &Tensor) -> Result<Tensor>;

    /// Minus the logarithm of the probability that each target has behind its hidden row: `hidden` is `[n, width]`,
    /// `targets` u32 `[n]`, the result `[n]` in f32. Its mean is PyTorch's `cross_entropy`, so rows without a target have
    /// to be left out before. Differentiable as [`forward_padded`](Decoder::forward_padded); on the CPU the logits of all
    /// rows never exist at once.
    ///
    /// # Errors
    /// When shapes disagree, there is no row, or a target is outside the vocabulary.
    fn losses(&self, hidden: &Tensor, targets: &Tensor) -> Result<Tensor>;

    /// Hidden states `[.., width]` to logits `[.., vocab]` in f32.
    ///
    /// # Errors
    /// When shapes disagree.
    fn logits(&self, hidden: &Tensor) -> Result<Tensor>;
}
