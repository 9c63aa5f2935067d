//! Guesses at what an answer says next, taken from what its conversation has said already (prompt lookup decoding, Saxena
//! 2023): answers quote their question, and themselves.
//!
//! A step computes some guesses along with the token before them, which costs less than steps of their own. The sampler
//! then draws behind each as it would have done without, and the first token that was not guessed ends it. So guesses
//! change how soon an answer is there and never what it says (`docs/decisions/007-guesses-are-drawn-again.md`).

use crate::caches::Position;

/// Fewest tokens that the end of the text must share with an earlier place. One token stands in too many places.
const SHORTEST: usize = 2;

/// Of places that share this many tokens with the end, the latest is as good as any.
const LONGEST: usize = 8;

/// The share of guesses that come true, as long as nothing is known of an answer.
const FIRST_TRUST: f64 = 0.5;

/// Weight of the newest guess in that share: some four wrong ones in a row end guessing, as many right ones bring it back.
const NEWEST: f64 = 0.15;

/// What one answer may say next.
#[derive(Debug)]
pub(crate) struct Guesses {
    /// The tokens, the next one first.
    ahead: Vec<u32>,
    /// How many of them the step computes along.
    computed: usize,
    /// The share of guesses that came true lately. It goes on being measured where none is computed, so that guessing
    /// comes back when it would pay.
    trust: f64,
}

impl Default for Guesses {
    fn default() -> Self {
        Self { ahead: Vec::new(), computed: 0, trust: FIRST_TRUST }
    }
}

impl Guesses {
    /// Looks for up to `most` tokens that may follow `positions`. Nothing is guessed from a token of `stops` on: behind it
    /// there is no answer.
    pub fn look(&mut self, positions: &[Position], most: usize, stops: &[u32]) {
        self.ahead = continuation(positions, most);
        if let Some(stop) = self.ahead.iter().position(|id| stops.contains(id)) {
            self.ahead.truncate(stop);
        }
        self.computed = 0;
    }

    /// Chooses how many are computed along, at most `room`: as long as the chance that all of them come true is above
    /// `least`.
    pub fn choose(&mut self, room: usize, least: f64) -> usize {
        let chances = std::iter::successors(Some(self.trust), |chance| Some(chance * self.trust));
        let worth = chances.take(self.ahead.len().min(room)).take_while(|&chance| chance > least);
        self.computed = worth.count();
        self.computed
    }

    /// The tokens that the step computes along.
    pub fn computed(&self) -> &[u32] {
        &self.ahead[..self.computed]
    }

    /// Learns the token that was drawn behind `right` guesses that came true. True when it was guessed and computed: then
    /// the next row continues it.
    pub fn came_true(&mut self, right: usize, token: u32) -> bool {
        let Some(&guess) = self.ahead.get(right) else { return false };
        let hit = guess == token;
        self.trust += NEWEST * (f64::from(u8::from(hit)) - self.trust);
        hit && right < self.computed
    }
}

/// The chance from which on it pays to compute a guess, in a step of `answers` rows. The step costs `1 - row_cost` for
/// reading the weights and `row_cost` for each row, and a row more has to bring tokens at no higher cost than the others
/// do: the more answers share the weights, the surer a guess has to be.
pub(crate) fn break_even(answers: usize, row_cost: f64) -> f64 {
    let rows = row_cost * answers as f64;
    rows / (1. - row_cost + rows)
}

/// Up to `most` tokens that followed where the text was as it is at its end.
fn continuation(positions: &[Position], most: usize) -> Vec<u32> {
    let Some(end) = earlier_place(positions) else { return Vec::new() };
    let mut next = Vec::with_capacity(most);
    while next.len() < most {
        let at = end + next.len();
        match positions.get(at) {
            Some(Position::Token(id)) => next.push(*id),
            Some(Position::Row(..)) => break,
            // What repeats itself up to the end goes on doing so.
            None => next.push(next[at - positions.len()]),
        }
    }
    next
}

/// The position behind the earlier tokens that are most like those at the end; the latest of equals.
fn earlier_place(positions: &[Position]) -> Option<usize> {
    let (mut best, mut shared) = (None, SHORTEST - 1);
    for end in (SHORTEST..positions.len()).rev() {
        let here = common_ending(&positions[..end], positions);
        if here > shared {
            (best, shared) = (Some(end), here);
        }
        if shared == LONGEST {
            break;
        }
    }
    best
}

/// How many tokens both end with, up to [`LONGEST`].
fn common_ending(one: &[Position], other: &[Position]) -> usize {
    let pairs = one.iter().rev().zip(other.iter().rev()).take(LONGEST);
    pairs.take_while(|(a, b)| a == b && matches!(a, Position::Token(_))).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<Position> {
        text.bytes().map(|byte| Position::Token(u32::from(byte))).collect()
    }

    fn next(text: &str, most: usize) -> String {
        continuation(&said(text), most).into_iter().map(|id| char::from(id as u8)).collect()
    }

    fn guesses(text: &str, most: usize) -> Guesses {
        let mut guesses = Guesses::default();
        guesses.look(&said(text), most, &[]);
        guesses
    }

    #[test]
    fn what_followed_before_is_guessed() {
        assert_eq!(next("the red fox saw the re", 5), "d fox");
        assert_eq!(next("abcd", 5), "");
        assert_eq!(next("a.b.c.", 5), "", "one token is no match");
        assert_eq!(next("", 5), "");
        assert_eq!(next("aa", 5), "");
        assert_eq!(next("the fox the", 0), "");
    }

    #[test]
    fn the_longest_match_wins_and_then_the_latest() {
        assert_eq!(next("xab1 ab2 xab", 2), "1 ");
        assert_eq!(next("ab1 ab2 ab", 1), "2");
    }

    #[test]
    fn what_repeats_goes_on() {
        assert_eq!(next("abcabc", 7), "abcabca");
        assert_eq!(next("no. aaa", 4), "aaaa");
    }

    #[test]
    fn rows_of_embeddings_are_neither_matched_nor_guessed() {
        let rows = (0..4).map(|row| Position::Row([1; 32], row));
        let positions: Vec<Position> =
            said("see ab").into_iter().chain(rows.clone()).chain(said("and ab")).collect();
        assert_eq!(continuation(&positions, 3), [] as [u32; 0]);
        let twice: Vec<Position> = rows.clone().chain(said("a")).chain(rows).chain(said("a")).collect();
        assert_eq!(continuation(&twice, 3), [] as [u32; 0]);
    }

    #[test]
    fn nothing_is_guessed_behind_a_stop() {
        let mut guesses = Guesses::default();
        guesses.look(&said("ab.cd ab"), 4, &[u32::from(b'c')]);
        assert_eq!(guesses.choose(4, 0.), 1);
        assert_eq!(guesses.computed(), [u32::from(b'.')]);
    }

    #[test]
    fn the_surer_the_more() {
        let mut guesses = guesses("abcdefghij ab", 8);
        assert_eq!(guesses.choose(8, break_even(1, 0.3)), 1, "0.5 is above 0.3, its square is not");
        assert_eq!(guesses.choose(8, break_even(8, 0.3)), 0, "eight answers share the weights");
        assert_eq!(guesses.choose(8, 0.), 8);
        assert_eq!(guesses.choose(3, 0.), 3);
        guesses.trust = 0.9;
        assert_eq!(guesses.choose(8, break_even(1, 0.3)), 8);
        assert_eq!(guesses.choose(8, break_even(8, 0.3)), 2);
    }

    #[test]
    fn trust_follows_what_came_true_even_where_nothing_was_computed() {
        let least = break_even(1, 0.3);
        let mut guesses = guesses("abcdefghij ab", 8);
        for _ in 0..4 {
            assert!(!guesses.came_true(0, 0));
        }
        assert_eq!(guesses.choose(8, least), 0);
        for _ in 0..4 {
            assert!(!guesses.came_true(0, u32::from(b'c')), "it was not computed");
        }
        assert!(guesses.choose(8, least) > 0);
        assert!(guesses.came_true(0, u32::from(b'c')));
        assert!(!guesses.came_true(8, u32::from(b'k')), "nothing was guessed there");
    }

    #[test]
    fn a_row_that_costs_a_whole_step_never_pays() {
        assert_eq!(break_even(1, 1.), 1.);
        assert_eq!(break_even(3, 0.), 0.);
    }
}
