//! Which examples make a batch, and in which order batches come.
//!
//! The order depends on nothing but the examples, the buckets, the seed and the epoch, so that a run goes on at any
//! [`Cursor`] as if it had never stopped.

use std::sync::Arc;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::branches;
use super::example::Example;
use crate::{Error, Result};

/// Fractional part of the golden ratio: its multiples lie evenly in 0..1 (Weyl).
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// Examples of up to a length, and how many of them make a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// The longest that belongs here.
    pub up_to: usize,
    /// Examples of a batch.
    pub batch: usize,
}

/// What length means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Tokens of the answer, as in the recipe.
    #[default]
    Answer,
    /// Positions of the whole example: what padding and time depend on.
    Positions,
}

/// Batches hold examples of like length, so that little of them is padding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Buckets {
    /// What length means. Default: tokens of the answer.
    #[serde(default)]
    pub by: Measure,
    /// Shortest first. What is longer than the last is left out. Default: the recipe's table.
    #[serde(default = "recipe")]
    pub list: Vec<Bucket>,
    /// Most examples that begin alike and share a row, see [`branches`](super::branches), from 1 to 200. Default: 1.
    #[serde(default = "one")]
    pub branches: usize,
}

/// A branch's mark in a batch's mask is a byte.
const MOST_BRANCHES: usize = 200;

fn one() -> usize {
    1
}

/// The recipe's stage 2: answers of up to 119 tokens in batches of 10 to 4.
fn recipe() -> Vec<Bucket> {
    [(11, 10), (17, 10), (23, 9), (40, 8), (59, 6), (79, 5), (99, 4), (119, 4)]
        .map(|(up_to, batch)| Bucket { up_to, batch })
        .into()
}

impl Default for Buckets {
    fn default() -> Self {
        Self { by: Measure::Answer, list: recipe(), branches: 1 }
    }
}

impl Buckets {
    /// Batches of one size whatever the length, as in the recipe's stage 1.
    #[must_use]
    pub fn plain(batch: usize) -> Self {
        Self { by: Measure::Answer, list: vec![Bucket { up_to: u32::MAX as usize, batch }], branches: 1 }
    }

    fn check(&self) -> Result<()> {
        let rising = self.list.windows(2).all(|pair| matches!(pair, [a, b] if a.up_to < b.up_to));
        if self.list.is_empty() || !rising || self.list.iter().any(|bucket| bucket.batch == 0) {
            let got = format!("{:?}", self.list);
            return Err(Error::setting("batches.list", "rising lengths with batches of 1 or more", got));
        }
        if !(1..=MOST_BRANCHES).contains(&self.branches) {
            return Err(Error::setting("batches.branches", &format!("1 to {MOST_BRANCHES}"), self.branches));
        }
        if self.branches > 1 && self.by == Measure::Answer {
            return Err(Error::setting("batches.branches", "1 where batches.by is answer", self.branches));
        }
        Ok(())
    }

    /// Examples that begin alike as branches of rows that fit the last bucket.
    ///
    /// # Errors
    /// When the buckets make no sense.
    pub fn join(&self, examples: Vec<Example>) -> Result<Vec<Example>> {
        self.check()?;
        let longest = match (self.by, self.list.last()) {
            (Measure::Positions, Some(last)) => last.up_to,
            _ => usize::MAX,
        };
        Ok(if self.branches > 1 { branches::join(examples, self.branches, longest) } else { examples })
    }

    fn of(&self, example: &Example) -> Option<usize> {
        let length = match self.by {
            Measure::Answer => example.answer_tokens,
            Measure::Positions => example.ids.len(),
        };
        self.list.iter().position(|bucket| length <= bucket.up_to)
    }
}

/// A place between two batches: so many epochs and so many batches of the next one are done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    /// Epochs done.
    pub epoch: u64,
    /// Batches of the current epoch done.
    pub batch: usize,
}

/// An example by its number, with its weight.
#[derive(Debug, Clone, Copy)]
struct Member {
    example: u32,
    weight: f64,
}

/// The batches of every epoch.
#[derive(Debug)]
pub struct Plan {
    groups: Vec<(usize, Vec<Member>)>,
    left_out: usize,
    seed: u64,
}

/// A batch to make: the numbers of its examples, and the cursor behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Numbers of its examples.
    pub examples: Vec<u32>,
    /// Where to go on after it.
    pub next: Cursor,
}

impl Plan {
    /// Deals `examples` into `buckets`.
    ///
    /// # Errors
    /// When the buckets make no sense or no example fits one.
    pub fn new(examples: &[Example], buckets: &Buckets, seed: u64) -> Result<Self> {
        buckets.check()?;
        let mut groups: Vec<_> = buckets.list.iter().map(|bucket| (bucket.batch, Vec::new())).collect();
        let mut left_out = 0;
        for (example, number) in examples.iter().zip(0u32..) {
            match buckets.of(example).and_then(|bucket| groups.get_mut(bucket)) {
                Some((_, members)) => members.push(Member { example: number, weight: example.weight }),
                None => left_out += 1,
            }
        }
        if left_out == examples.len() {
            let got = format!("{left_out} examples, none of which fits a bucket");
            return Err(Error::setting("data", "examples to make batches of", got));
        }
        Ok(Self { groups, left_out, seed })
    }

    /// Examples that are longer than the last bucket.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The batches of an epoch in their order: within its bucket every example is drawn at random, the last batch of a bucket
    /// may be smaller, and the batches of all buckets are mixed.
    #[must_use]
    pub fn epoch(&self, epoch: u64) -> Vec<Vec<u32>> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(epoch);
        let mut batches = Vec::new();
        for (size, members) in &self.groups {
            let mut drawn: Vec<u32> =
                members.iter().flat_map(|member| vec![member.example; copies(*member, epoch)]).collect();
            drawn.shuffle(&mut random);
            batches.extend(drawn.chunks(*size).map(<[u32]>::to_vec));
        }
        batches.shuffle(&mut random);
        batches
    }

    /// How many batches the first epoch has, and which share of its positions only fills rows up to the longest of their
    /// batch.
    #[must_use]
    pub fn first_epoch(&self, examples: &[Example]) -> (usize, f64) {
        let (mut real, mut all) = (0, 0);
        let batches = self.epoch(0);
        for batch in &batches {
            let lengths = batch.iter().filter_map(|&number| Some(examples.get(number as usize)?.ids.len()));
            let (sum, longest) = lengths.fold((0, 0), |(sum, longest), len| (sum + len, len.max(longest)));
            real += sum;
            all += longest * batch.len();
        }
        (batches.len(), 1. - real as f64 / all.max(1) as f64)
    }

    /// Every example once, whatever its weight, shortest bucket first: for measuring.
    #[must_use]
    pub fn in_order(&self) -> Vec<Vec<u32>> {
        let numbers = |members: &[Member]| members.iter().map(|member| member.example).collect();
        self.groups.iter().flat_map(|(size, members)| members.chunks(*size).map(numbers)).collect()
    }

    /// All batches from `cursor` on, without end.
    #[must_use]
    pub fn from(self: &Arc<Self>, cursor: Cursor) -> Batches {
        Batches { plan: Arc::clone(self), batches: self.epoch(cursor.epoch), cursor }
    }
}

/// How often an epoch shows an example: whole numbers whose mean over the epochs is the weight. Each example has a phase
/// of its own, so that every epoch shows as many of them as the last.
fn copies(member: Member, epoch: u64) -> usize {
    let phase = (f64::from(member.example) * GOLDEN).fract();
    let shown = |epochs: u64| (epochs as f64 * member.weight + phase).floor();
    (shown(epoch + 1) - shown(epoch)) as usize
}

/// An endless walk through the epochs of a [`Plan`].
#[derive(Debug, Clone)]
pub struct Batches {
    plan: Arc<Plan>,
    batches: Vec<Vec<u32>>,
    cursor: Cursor,
}

impl Iterator for Batches {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        // With small weights an epoch may show nothing; no weight is zero, so another one shows something.
        while self.cursor.batch >= self.batches.len() {
            self.cursor = Cursor { epoch: self.cursor.epoch + 1, batch: 0 };
            self.batches = self.plan.epoch(self.cursor.epoch);
        }
        let examples = self.batches.get(self.cursor.batch)?.clone();
        self.cursor.batch += 1;
        Some(Planned { examples, next: self.cursor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(number: usize, answer_tokens: usize, weight: f64) -> Example {
        let (slots, targets) = (Vec::new(), Vec::new());
        Example {
            record: number.to_string(),
            weight,
            ids: vec![0; answer_tokens + 57],
            slots,
            branches: Vec::new(),
            targets,
            answer_tokens,
        }
    }

    fn examples(weight: f64) -> Vec<Example> {
        (0..1000).map(|i| example(i, 1 + i % 130, weight)).collect()
    }

    fn plan(seed: u64) -> Plan {
        Plan::new(&examples(1.0), &Buckets::default(), seed).unwrap()
    }

    #[test]
    fn batches_keep_to_the_recipes_table() {
        let (all, plan) = (examples(1.0), plan(1));
        assert_eq!(plan.left_out(), all.iter().filter(|e| e.answer_tokens > 119).count());
        let mut seen = vec![0; all.len()];
        for batch in plan.epoch(0) {
            let lengths: Vec<usize> = batch.iter().map(|&i| all[i as usize].answer_tokens).collect();
            let bucket = recipe().into_iter().find(|b| lengths[0] <= b.up_to).unwrap();
            let below = recipe().into_iter().map(|b| b.up_to).filter(|&up_to| up_to < bucket.up_to).max();
            assert!(lengths.iter().all(|&l| l <= bucket.up_to && l > below.unwrap_or(0)), "{lengths:?}");
            assert!(batch.len() <= bucket.batch);
            batch.iter().for_each(|&i| seen[i as usize] += 1);
        }
        assert!(seen.iter().zip(&all).all(|(&n, e)| n == usize::from(e.answer_tokens <= 119)));
    }

    #[test]
    fn seed_and_epoch_decide_the_order() {
        assert_eq!(plan(1).epoch(3), plan(1).epoch(3));
        assert_ne!(plan(1).epoch(3), plan(1).epoch(4));
        assert_ne!(plan(1).epoch(3), plan(2).epoch(3));
        // Batches of all lengths are mixed, not sorted.
        let sizes: Vec<usize> = plan(1).epoch(0).iter().map(Vec::len).collect();
        assert!(!sizes.is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn a_run_that_was_killed_goes_on_with_the_same_batches() {
        let plan = Arc::new(plan(7));
        let all: Vec<Planned> = plan.from(Cursor::default()).take(400).collect();
        assert!(all[399].next.epoch >= 2, "{:?}", all[399].next);
        for killed in [0, 1, 57, 136, 137, 138, 300] {
            let again = Plan::new(&examples(1.0), &Buckets::default(), 7).map(Arc::new).unwrap();
            let rest: Vec<Planned> = again.from(all[killed].next).take(399 - killed).collect();
            assert_eq!(rest, all[killed + 1..], "killed after batch {killed}");
        }
    }

    #[test]
    fn weights_are_kept_over_the_epochs() {
        for weight in [0.25, 1.0, 2.5] {
            let plan = Plan::new(&examples(weight), &Buckets::plain(8), 1).unwrap();
            let mut seen = vec![0; 1000];
            for epoch in 0..8 {
                let batches = plan.epoch(epoch);
                let shown = batches.iter().map(Vec::len).sum::<usize>() as f64;
                assert!((shown - weight * 1000.0).abs() <= 8.0, "{weight}: {shown} in epoch {epoch}");
                batches.concat().iter().for_each(|&i| seen[i as usize] += 1);
            }
            assert!(seen.iter().all(|&n| f64::from(n) == 8.0 * weight), "{weight}");
        }
    }

    #[test]
    fn measuring_shows_everything_once() {
        let plan = Plan::new(&examples(0.5), &Buckets::plain(7), 1).unwrap();
        assert_eq!(plan.in_order().concat(), (0..1000).collect::<Vec<u32>>());
    }

    #[test]
    fn padding_is_what_fills_batches_up() {
        let lengths = [10, 10, 20].map(|answer| example(answer, answer, 1.));
        let plan = Plan::new(&lengths, &Buckets::plain(3), 1).unwrap();
        let (batches, padding) = plan.first_epoch(&lengths);
        assert!(batches == 1 && (padding - 20. / (3. * 77.)).abs() < 1e-9, "{padding}");
        let narrow = Buckets {
            list: vec![Bucket { up_to: 10, batch: 3 }, Bucket { up_to: 20, batch: 3 }],
            ..Buckets::default()
        };
        assert_eq!(Plan::new(&lengths, &narrow, 1).unwrap().first_epoch(&lengths), (2, 0.));
    }

    #[test]
    fn buckets_come_from_toml_and_are_checked() {
        let buckets: Buckets = toml::from_str(
            "by = \"positions\"\nlist = [{ up_to = 64, batch = 16 }, { up_to = 128, batch = 8 }]",
        )
        .unwrap();
        assert_eq!((buckets.by, buckets.list[1]), (Measure::Positions, Bucket { up_to: 128, batch: 8 }));
        assert_eq!(toml::from_str::<Buckets>("").unwrap(), Buckets::default());
        let falling =
            Buckets { list: vec![Bucket { up_to: 9, batch: 1 }, Bucket { up_to: 8, batch: 1 }], ..buckets };
        let branching = Buckets { branches: 2, ..Buckets::default() };
        for wrong in [falling, Buckets::plain(0), branching] {
            assert!(Plan::new(&examples(1.0), &wrong, 1).is_err());
        }
        assert!(Plan::new(&[], &Buckets::default(), 1).is_err());
        assert!(Plan::new(&[example(0, 200, 1.0)], &Buckets::default(), 1).is_err());
    }
}
