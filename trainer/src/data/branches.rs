//! Examples that begin alike as branches of one row: several captions of a picture, or several questions about it, share
//! the positions of the picture. A branch sees the beginning and itself, so losses and gradients are those of rows of
//! their own, for a fraction of the positions.

use std::collections::HashMap;

use jnana_core::prompt::Target;

use super::example::Example;

/// Joins examples with the same pictures and the same beginning into rows of at most `most` branches and `longest`
/// positions. The others stay as they are. A row stands where its first example stood.
#[must_use]
pub fn join(examples: Vec<Example>, most: usize, longest: usize) -> Vec<Example> {
    let mut open: HashMap<Beginning, usize> = HashMap::new();
    let mut rows: Vec<Row> = Vec::new();
    for example in examples {
        let beginning = Beginning::of(&example);
        let row = beginning.as_ref().and_then(|beginning| rows.get_mut(*open.get(beginning)?));
        match row.filter(|row| row.examples().count() < most && row.takes(&example, longest)) {
            Some(row) => row.push(example),
            None => {
                open.extend(beginning.map(|beginning| (beginning, rows.len())));
                rows.push(Row::new(example));
            }
        }
    }
    rows.into_iter().map(Row::into_example).collect()
}

/// What examples of a row must have in common before their tokens are compared: where which pictures are, and how often an
/// epoch shows them.
#[derive(PartialEq, Eq, Hash)]
struct Beginning {
    pictures: Vec<(usize, u32)>,
    weight: u64,
}

impl Beginning {
    /// `None` without pictures: texts share too little.
    fn of(example: &Example) -> Option<Self> {
        let pictures: Vec<_> = example.slots.iter().map(|slot| (slot.position, slot.picture)).collect();
        (!pictures.is_empty()).then(|| Self { pictures, weight: example.weight.to_bits() })
    }
}

/// Examples that begin alike.
struct Row {
    first: Example,
    others: Vec<Example>,
    /// Positions that all have in common.
    shared: usize,
}

impl Row {
    fn new(first: Example) -> Self {
        Self { shared: before_the_answer(&first), first, others: Vec::new() }
    }

    fn examples(&self) -> impl Iterator<Item = &Example> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn shared_with(&self, example: &Example) -> usize {
        let pairs = self.first.ids.iter().zip(&example.ids);
        let alike = pairs.take_while(|(a, b)| a == b).count();
        alike.min(before_the_answer(example)).min(self.shared)
    }

    fn takes(&self, example: &Example, longest: usize) -> bool {
        let shared = self.shared_with(example);
        // A picture's positions all have the same token: what shares one of them shares all.
        let shares_the_pictures = self.first.slots.iter().all(|slot| slot.position < shared);
        let own: usize = self.examples().chain([example]).map(|example| example.ids.len() - shared).sum();
        shares_the_pictures && shared + own <= longest
    }

    fn push(&mut self, example: Example) {
        self.shared = self.shared_with(&example);
        self.others.push(example);
    }

    fn into_example(self) -> Example {
        if self.others.is_empty() {
            return self.first;
        }
        let shared = self.shared;
        let mut ids = self.first.ids[..shared].to_vec();
        let (mut branches, mut targets) = (Vec::new(), Vec::new());
        for example in self.examples() {
            let start = ids.len();
            branches.push(start);
            ids.extend(&example.ids[shared..]);
            targets.extend(example.targets.iter().map(|target| match target.position < shared {
                true => *target,
                false => Target { position: target.position - shared + start, ..*target },
            }));
        }
        Example {
            record: self.examples().map(|example| example.record.as_str()).collect::<Vec<_>>().join(" + "),
            weight: self.first.weight,
            answer_tokens: self.examples().map(|example| example.answer_tokens).sum(),
            slots: self.first.slots,
            ids,
            branches,
            targets,
        }
    }
}

/// Positions up to the one that predicts the first token of the answer.
fn before_the_answer(example: &Example) -> usize {
    example.targets.iter().map(|target| target.position + 1).min().unwrap_or(example.ids.len())
}

#[cfg(test)]
mod tests {
    use super::super::example::Slot;
    use super::*;

    /// A picture of two positions after a system message, then `question` and `answer`.
    fn example(picture: u32, question: &[u32], answer: &[u32]) -> Example {
        let ids = [&[1, 2, 0, 0], question, answer].concat();
        let first = 3 + question.len();
        let target = |(i, &token)| Target { position: first + i, token };
        Example {
            record: format!("{question:?}"),
            weight: 1.,
            targets: answer.iter().chain(&[9]).enumerate().map(target).collect(),
            slots: vec![Slot { position: 2, picture }],
            branches: Vec::new(),
            answer_tokens: answer.len(),
            ids,
        }
    }

    #[test]
    fn questions_about_a_picture_share_it() {
        let rows = join(
            vec![example(7, &[5, 6], &[20]), example(8, &[5, 6], &[21]), example(7, &[5, 4], &[22, 23])],
            4,
            100,
        );
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1], example(8, &[5, 6], &[21]));
        let row = &rows[0];
        assert_eq!(row.ids, [1, 2, 0, 0, 5, 6, 20, 4, 22, 23]);
        assert_eq!((row.branches.as_slice(), row.answer_tokens), ([5, 7].as_slice(), 3));
        assert_eq!(row.slots, [Slot { position: 2, picture: 7 }]);
        let targets: Vec<_> = row.targets.iter().map(|target| (target.position, target.token)).collect();
        assert_eq!(targets, [(5, 20), (6, 9), (7, 22), (8, 23), (9, 9)]);
    }

    #[test]
    fn captions_share_all_but_the_answer() {
        let rows = join(vec![example(7, &[5], &[20, 21]), example(7, &[5], &[20, 30])], 4, 100);
        assert_eq!(rows[0].ids, [1, 2, 0, 0, 5, 20, 21, 20, 30]);
        let targets: Vec<_> = rows[0].targets.iter().map(|target| (target.position, target.token)).collect();
        // Both first tokens are predicted by the beginning's last position.
        assert_eq!(targets, [(4, 20), (5, 21), (6, 9), (4, 20), (7, 30), (8, 9)]);
    }

    #[test]
    fn a_row_has_so_many_branches_and_positions() {
        let examples: Vec<_> = (0..6).map(|i| example(7, &[5, i], &[20])).collect();
        let branches = |rows: &[Example]| rows.iter().map(|row| row.branches.len()).collect::<Vec<_>>();
        assert_eq!(branches(&join(examples.clone(), 4, 100)), [4, 2]);
        assert_eq!(branches(&join(examples.clone(), 9, 5 + 3 * 2)), [3, 3]);
        assert_eq!(join(examples.clone(), 1, 100), examples);
        let mut text = example(7, &[5], &[20]);
        text.slots.clear();
        assert_eq!(branches(&join(vec![text.clone(), text], 4, 100)), [0, 0]);
    }
}
