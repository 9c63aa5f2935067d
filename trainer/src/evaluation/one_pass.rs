//! Answers from one pass over questions and their reference answers: at each place the likeliest token, given the reference
//! up to there.
//!
//! What comes out is the reference exactly where a model that writes greedily would write it; elsewhere it may read
//! differently from what the model would write. Questions about one picture share its positions and nothing is written
//! token by token, so that it takes a fraction of the time.

use std::path::Path;
use std::sync::Arc;

use super::{Asked, Evaluation, Sight};
use crate::assemble::Places;
use crate::data::batch::Collator;
use crate::data::example::Example;
use crate::data::plan::{Bucket, Buckets, Measure, Plan};
use crate::data::record::{Content, Exchange, Record};
use crate::eval::Compared;
use crate::train::interrupt::Interrupt;
use crate::{Error, Result};

/// About 2,000 positions a batch.
const BUCKETS: [(usize, usize); 6] = [(96, 20), (128, 16), (192, 10), (256, 8), (512, 4), (2048, 1)];

/// Most questions about a picture in a row.
const BRANCHES: usize = 16;

impl Evaluation {
    /// What the model would say to each question, and what with the pictures shuffled.
    pub(super) fn read_along(
        &self,
        asked: &[Asked],
        sight: Option<&Sight>,
        places: &Places,
        interrupt: &Interrupt,
        progress: &mut impl FnMut(usize, usize),
    ) -> Result<Compared<Vec<String>>> {
        let reader = self.reader(sight, places)?;
        let records: Vec<Record> = asked.iter().enumerate().map(|(at, asked)| record(at, asked)).collect();
        let buckets = Buckets {
            by: Measure::Positions,
            list: BUCKETS.map(|(up_to, batch)| Bucket { up_to, batch }).into(),
            branches: BRANCHES,
        };
        let total = asked.len() * (1 + usize::from(sight.is_some()));
        let mut done = 0;
        let round = |shuffled: bool| -> Result<Vec<String>> {
            let number = |path: &Path| sight.and_then(|sight| sight.number(path, shuffled));
            let rendered = reader.renderer.render_all(&records, number, 0.)?;
            if let Some(left_out) = rendered.left_out.first() {
                return Err(Error::setting("data", "questions that can all be asked", left_out));
            }
            let tokens: Vec<usize> = rendered.list.iter().map(|example| example.targets.len()).collect();
            let examples = Arc::new(buckets.join(rendered.list)?);
            let plan = Plan::new(&examples, &buckets, 0)?;
            if plan.left_out() > 0 {
                return Err(Error::setting("data", "questions of at most 2,048 positions", "longer ones"));
            }
            let features = reader.features.clone();
            let collator =
                Collator { examples: Arc::clone(&examples), features, filler: reader.renderer.filler() };
            let mut answers = vec![String::new(); asked.len()];
            for numbers in plan.in_order() {
                let mut ids = reader.learner.likeliest(&collator.collate(&numbers)?)?.into_iter();
                for question in
                    numbers.iter().filter_map(|&row| examples.get(row as usize)).flat_map(questions)
                {
                    let own: Vec<u32> = ids.by_ref().take(tokens[question]).collect();
                    reader.tokenizer.decode(&own)?.trim().clone_into(&mut answers[question]);
                    done += 1;
                }
                progress(done, total);
                if interrupt.requested() {
                    return Err(Error::Stopped { while_doing: "reading answers" });
                }
            }
            Ok(answers)
        };
        Compared::of(sight, round)
    }
}

/// A conversation of one question; its id is the question's place.
fn record(at: usize, asked: &Asked) -> Record {
    let exchange = Exchange {
        images: asked.picture.iter().cloned().collect(),
        question: asked.question.clone(),
        answer: asked.references.first().cloned().unwrap_or_default(),
    };
    Record::new(at.to_string(), Content::Conversation(vec![exchange]))
}

/// The places of the questions in a row, in the order of their targets.
fn questions(row: &Example) -> impl Iterator<Item = usize> {
    row.record.split(" + ").filter_map(|id| id.parse().ok())
}
