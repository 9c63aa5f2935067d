//! The memory of the engine: caches of running sequences, and of finished ones whose prefix may be used again.

use candle_core::{DType, Device, Result};
use jnana_models::decoder::{DecoderShape, SequenceCache};

/// Capacities are multiples of this many positions, so that a finished cache fits the next turn more often.
const ROUND_TO: usize = 64;

/// What stands at a position. Equal sequences of these have equal keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// A token id.
    Token(u32),
    /// A row of embeddings: their content key and the row.
    Row([u8; 32], u32),
}

impl Position {
    /// Whether `next` goes on with the same kind: a token after a token, the next row of the same embeddings.
    #[must_use]
    pub fn continues_in(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Token(_), Self::Token(_)) => true,
            (Self::Row(key, row), Self::Row(next_key, next_row)) => key == next_key && row + 1 == *next_row,
            _ => false,
        }
    }
}

/// A cache for a new sequence.
#[derive(Debug)]
pub struct Acquired {
    /// Its first `len()` positions are the sequence's own already.
    pub cache: SequenceCache,
    /// How many those are.
    pub reused: usize,
}

#[derive(Debug)]
struct Finished {
    positions: Vec<Position>,
    cache: SequenceCache,
}

/// Where a prefix may be taken from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Finished(usize),
    Live(usize),
}

/// A sequence that is running: what it computed so far can be copied.
pub type LiveCache<'a> = (&'a [Position], &'a SequenceCache);

/// All caches count against one budget of bytes; finished ones make room, the least recently used first.
#[derive(Debug)]
pub struct CachePool {
    shape: DecoderShape,
    dtype: DType,
    device: Device,
    budget: usize,
    live_bytes: usize,
    finished: Vec<Finished>,
}

impl CachePool {
    /// A pool of `budget` bytes.
    #[must_use]
    pub fn new(shape: DecoderShape, dtype: DType, device: Device, budget: usize) -> Self {
        Self { shape, dtype, device, budget, live_bytes: 0, finished: Vec::new() }
    }

    /// Bytes of the caches that running sequences hold.
    #[must_use]
    pub fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// Bytes of the caches that are kept for reuse.
    #[must_use]
    pub fn finished_bytes(&self) -> usize {
        self.finished.iter().map(|f| self.bytes(f.cache.capacity())).sum()
    }

    fn bytes(&self, capacity: usize) -> usize {
        capacity * self.shape.cache_bytes_per_position(self.dtype)
    }

    /// A cache for `positions` with room for `capacity`, holding the longest prefix that any other cache has (but at least
    /// one position is left to compute, for its logits). `None` when running sequences hold too much memory now.
    ///
    /// # Errors
    /// When the device has no memory left although the budget has.
    pub fn acquire(
        &mut self,
        positions: &[Position],
        capacity: usize,
        live: &[LiveCache<'_>],
    ) -> Result<Option<Acquired>> {
        let best = self.longest_prefix(positions, live);
        if let Some((Source::Finished(index), len)) = best
            && self.finished[index].cache.capacity() >= capacity
            && self.mostly_matches(index, len)
        {
            return Ok(Some(self.take_over(index, len)));
        }
        let need = self.bytes(capacity);
        if self.live_bytes + need > self.budget {
            return Ok(None);
        }
        let acquired = self.make(best, capacity, live).or_else(|_| {
            // The budget is a person's guess at what the device has; what is kept for reuse may be what is missing.
            self.finished.clear();
            self.make(None, capacity, live)
        })?;
        self.live_bytes += need;
        Ok(Some(acquired))
    }

    /// A new cache of `capacity` with the prefix of `source`, within the budget. Where the budget cannot hold a finished
    /// source and its copy for a moment, the prefix is given up.
    fn make(
        &mut self,
        source: Option<(Source, usize)>,
        capacity: usize,
        live: &[LiveCache<'_>],
    ) -> Result<Acquired> {
        let need = self.bytes(capacity);
        match source {
            Some((Source::Live(index), len)) => {
                self.make_room(need, None);
                Ok(Acquired { cache: live[index].1.fork(len, capacity)?, reused: len })
            }
            Some((Source::Finished(index), len)) => match self.make_room(need, Some(index)) {
                Some(index) => self.fork_finished(index, len, capacity),
                None => self.fresh(capacity),
            },
            None => {
                self.make_room(need, None);
                self.fresh(capacity)
            }
        }
    }

    /// Keeps the cache of a sequence that ended, for prefixes to come, unless another holds all of it. `positions` are those
    /// that it may have computed.
    pub fn release(&mut self, mut positions: Vec<Position>, cache: SequenceCache) {
        self.live_bytes -= self.bytes(cache.capacity());
        positions.truncate(cache.len());
        if positions.is_empty() || self.finished.iter().any(|f| f.positions.starts_with(&positions)) {
            return;
        }
        self.finished.retain(|f| !positions.starts_with(&f.positions));
        self.finished.push(Finished { positions, cache });
    }

    /// Drops the cache of a sequence that failed.
    pub fn discard(&mut self, cache: SequenceCache) {
        self.live_bytes -= self.bytes(cache.capacity());
        drop(cache);
    }

    fn longest_prefix(&self, positions: &[Position], live: &[LiveCache<'_>]) -> Option<(Source, usize)> {
        let most = positions.len().saturating_sub(1);
        let common = |known: &[Position], len: usize| {
            known.iter().take(len.min(most)).zip(positions).take_while(|(a, b)| a == b).count()
        };
        let finished = self
            .finished
            .iter()
            .enumerate()
            .map(|(i, f)| (Source::Finished(i), common(&f.positions, f.cache.len())));
        let live = live.iter().enumerate().map(|(i, l)| (Source::Live(i), common(l.0, l.1.len())));
        // The last of equals wins: a finished cache can be had without a copy.
        live.chain(finished).max_by_key(|&(_, len)| len).filter(|&(_, len)| len > 0)
    }

    /// Whether so much of a finished cache matches that its rest may be given up. A short match (a system message) is
    /// copied instead, so that the other conversation keeps its cache.
    fn mostly_matches(&self, index: usize, len: usize) -> bool {
        2 * len >= self.finished[index].cache.len()
    }

    fn take_over(&mut self, index: usize, len: usize) -> Acquired {
        let mut cache = self.finished.remove(index).cache;
        self.live_bytes += self.bytes(cache.capacity());
        cache.truncate(len);
        Acquired { cache, reused: len }
    }

    /// Copies a prefix of a finished cache, which thereby counts as just used.
    fn fork_finished(&mut self, index: usize, len: usize, capacity: usize) -> Result<Acquired> {
        let cache = self.finished[index].cache.fork(len, capacity)?;
        let given_up = self.mostly_matches(index, len);
        let source = self.finished.remove(index);
        if !given_up {
            self.finished.push(source);
        }
        Ok(Acquired { cache, reused: len })
    }

    /// Drops finished caches, oldest first and `keep` last, until `need` more bytes fit. Returns where `keep` is now.
    fn make_room(&mut self, need: usize, mut keep: Option<usize>) -> Option<usize> {
        while self.live_bytes + self.finished_bytes() + need > self.budget && !self.finished.is_empty() {
            let oldest = usize::from(keep == Some(0));
            if oldest < self.finished.len() {
                self.finished.remove(oldest);
                keep = keep.map(|k| k - usize::from(oldest < k));
            } else {
                self.finished.clear();
                keep = None;
            }
        }
        keep
    }

    fn fresh(&self, capacity: usize) -> Result<Acquired> {
        let cache = SequenceCache::new(&self.shape, capacity, self.dtype, &self.device)?;
        Ok(Acquired { cache, reused: 0 })
    }
}

/// Positions to allocate for a sequence that can grow to `positions` within `context`.
#[must_use]
pub fn capacity_for(positions: usize, context: usize) -> usize {
    positions.next_multiple_of(ROUND_TO).min(context).max(positions)
}
