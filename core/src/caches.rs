//! The memory of the engine: caches of running sequences, and of finished ones whose prefix may be used again.

use candle_core::{DType, Device, Result};
use jnana_models::decoder::{DecoderShape, SequenceCache};

/// Capacities are multiples of this many positions, so that a finished cache fits the next turn more often.
const ROUND_TO: usize = 64;

/// A kept cache that holds no more than this many positions beside what is wanted of it is used up: they are read again
/// faster than memory for a copy is won. They are what the template puts behind an answer, or a word that was tokenised
/// in another way.
const SMALL_REST: usize = 16;

/// A beginning shorter than this is read at once, even if a running sequence is about to have it.
const WORTH_WAITING: usize = 32;

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
///
/// Caches are copied or handed on, never shared: each belongs to one sequence that writes it, or to none.
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
            && self.is_handed_on(index, len, capacity)
        {
            return Ok(Some(self.hand_on(index, len)));
        }
        let need = self.bytes(capacity);
        if self.live_bytes + need > self.budget {
            return Ok(None);
        }
        let acquired = self.make(best, capacity, live).or_else(|error| {
            tracing::warn!(%error, capacity, "caches that were kept make room for a request");
            // The budget is a person's guess at what the device has; what is kept for reuse may be what is missing.
            self.finished.clear();
            self.make(None, capacity, live)
        })?;
        self.live_bytes += need;
        Ok(Some(acquired))
    }

    /// A new cache of `capacity` with the prefix of `source`, within the budget.
    fn make(
        &mut self,
        source: Option<(Source, usize)>,
        capacity: usize,
        live: &[LiveCache<'_>],
    ) -> Result<Acquired> {
        let need = self.bytes(capacity);
        let Some((source, reused)) = source else {
            self.make_room(need);
            let cache = SequenceCache::new(&self.shape, capacity, self.dtype, &self.device)?;
            return Ok(Acquired { cache, reused: 0 });
        };
        let cache = match source {
            Source::Live(index) => {
                self.make_room(need);
                live[index].1.fork(reused, capacity)?
            }
            Source::Finished(index) if self.is_handed_on(index, reused, capacity) => {
                let used_up = self.finished.remove(index).cache;
                self.make_room(need);
                used_up.resized(reused, capacity)?
            }
            Source::Finished(index) => {
                // The budget holds this one and its copy, so what makes room is older.
                let index = self.touch(index) - self.make_room(need);
                self.finished[index].cache.fork(reused, capacity)?
            }
        };
        Ok(Acquired { cache, reused })
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

    /// Whether it pays to wait before `positions` are read: a running sequence reads a beginning of them that nobody has
    /// yet. Once it has, [`acquire`](Self::acquire) copies it.
    #[must_use]
    pub fn is_being_read(&self, positions: &[Position], live: &[LiveCache<'_>]) -> bool {
        let promised = live.iter().map(|(known, _)| common(known, positions)).max().unwrap_or(0);
        let had = || self.longest_prefix(positions, live).map_or(0, |(_, len)| len);
        promised >= WORTH_WAITING && promised >= had() + WORTH_WAITING
    }

    fn longest_prefix(&self, positions: &[Position], live: &[LiveCache<'_>]) -> Option<(Source, usize)> {
        let computed = |known: &[Position], cache: &SequenceCache| {
            common(&known[..cache.len().min(known.len())], positions)
        };
        let finished = self
            .finished
            .iter()
            .enumerate()
            .map(|(i, f)| (Source::Finished(i), computed(&f.positions, &f.cache)));
        let live = live.iter().enumerate().map(|(i, l)| (Source::Live(i), computed(l.0, l.1)));
        // The last of equals wins: a finished cache can be had without a copy.
        live.chain(finished).max_by_key(|&(_, len)| len).filter(|&(_, len)| len > 0)
    }

    /// Whether a finished cache goes to a sequence that wants `len` positions of it. Where it holds more than these, the
    /// sequence gets a copy (of a system message, a picture, the question of another branch) and the other conversation
    /// keeps its cache, unless memory for both cannot be had.
    fn is_handed_on(&self, index: usize, len: usize, capacity: usize) -> bool {
        let kept = &self.finished[index].cache;
        let both = self.live_bytes + self.bytes(kept.capacity()) + self.bytes(capacity);
        kept.len() <= len + SMALL_REST || both > self.budget
    }

    fn hand_on(&mut self, index: usize, len: usize) -> Acquired {
        let mut cache = self.finished.remove(index).cache;
        self.live_bytes += self.bytes(cache.capacity());
        cache.truncate(len);
        Acquired { cache, reused: len }
    }

    /// Makes a finished cache the one that was used last; where it is now.
    fn touch(&mut self, index: usize) -> usize {
        let used = self.finished.remove(index);
        self.finished.push(used);
        self.finished.len() - 1
    }

    /// Drops finished caches, the oldest first, until `need` more bytes fit. How many had to go.
    fn make_room(&mut self, need: usize) -> usize {
        let over = |pool: &Self| pool.live_bytes + pool.finished_bytes() + need > pool.budget;
        let before = self.finished.len();
        while over(self) && !self.finished.is_empty() {
            self.finished.remove(0);
        }
        before - self.finished.len()
    }
}

/// Positions that `known` can lend a prompt: what both begin with, but for the prompt's last, whose logits are wanted.
fn common(known: &[Position], prompt: &[Position]) -> usize {
    let wanted = &prompt[..prompt.len().saturating_sub(1)];
    known.iter().zip(wanted).take_while(|(a, b)| a == b).count()
}

/// Positions to allocate for a sequence that can grow to `positions` within `context`.
#[must_use]
pub fn capacity_for(positions: usize, context: usize) -> usize {
    positions.next_multiple_of(ROUND_TO).min(context).max(positions)
}
