//! The results of one evaluation, for machines as JSON and for people as a table.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::answers::{Accuracy, AnswerScores};
use super::captions::CaptionScores;

/// A score with each question's own picture beside the same score with the pictures shuffled: what a model that does not
/// look would reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Compared<T> {
    /// With the right pictures.
    pub own: T,
    /// With other questions' pictures; `None` where there are no pictures or nobody tried.
    pub shuffled: Option<T>,
}

/// The loss on held-out answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeldOutLoss {
    /// How many tokens were predicted.
    pub tokens: usize,
    /// Mean cross entropy of a token, in nats.
    pub loss: f64,
}

/// What one evaluation found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was evaluated.
    pub model: String,
    /// On what.
    pub data: String,
    /// The loss, if it was measured.
    pub loss: Option<Compared<HeldOutLoss>>,
    /// Scores of generated captions, if there were any.
    pub captions: Option<Compared<CaptionScores>>,
    /// Scores of answers to questions, if there were any.
    pub answers: Option<Compared<AnswerScores>>,
}

impl Report {
    /// As JSON, indented, with a line feed at the end.
    ///
    /// # Errors
    /// Never for numbers that scores can have; the signature is `serde_json`'s.
    pub fn to_json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    fn rows(&self) -> Vec<Row> {
        let loss = self.loss.iter().flat_map(|loss| loss.rows(loss_values));
        let captions = self.captions.iter().flat_map(|captions| captions.rows(caption_values));
        let answers = self.answers.iter().flat_map(|answers| answers.rows(answer_values));
        loss.chain(captions).chain(answers).collect()
    }
}

/// Model, data and a table of all scores; what could not be measured is a dash.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "model  {}\ndata   {}\n", self.model, self.data)?;
        writeln!(f, "{:<16} {:>9} {:>10} {:>10}", "", "number", "score", "shuffled")?;
        for Row { name, number, own, shuffled } in self.rows() {
            let [own, shuffled] = [own, shuffled]
                .map(|score| score.map_or_else(|| "–".to_owned(), |score| format!("{score:.4}")));
            writeln!(f, "{name:<16} {number:>9} {own:>10} {shuffled:>10}")?;
        }
        Ok(())
    }
}

/// A line of the table.
struct Row {
    name: &'static str,
    number: usize,
    own: Option<f64>,
    shuffled: Option<f64>,
}

/// Name, number of examples, score.
type Value = (&'static str, usize, Option<f64>);

impl<T> Compared<T> {
    fn rows<const N: usize>(&self, values: fn(&T) -> [Value; N]) -> Vec<Row> {
        let shuffled = self.shuffled.as_ref().map(values);
        let own = values(&self.own).into_iter().enumerate();
        let row = |(i, (name, number, own)): (usize, Value)| {
            let shuffled = shuffled.and_then(|values| values[i].2);
            Row { name, number, own, shuffled }
        };
        own.map(row).collect()
    }
}

fn loss_values(loss: &HeldOutLoss) -> [Value; 1] {
    [("loss", loss.tokens, Some(loss.loss))]
}

fn caption_values(scores: &CaptionScores) -> [Value; 5] {
    let [one, two, three, four] = scores.bleu;
    let named =
        [("BLEU-1", one), ("BLEU-2", two), ("BLEU-3", three), ("BLEU-4", four), ("CIDEr", scores.cider)];
    named.map(|(name, score)| (name, scores.captions, Some(score)))
}

fn answer_values(scores: &AnswerScores) -> [Value; 6] {
    let accuracy = |name, of: Accuracy| (name, of.questions, of.accuracy);
    [
        accuracy("exact match", scores.exact),
        accuracy("yes/no", scores.yes_no),
        ("yes/no balanced", scores.yes_no.questions, scores.yes_no_balanced),
        accuracy("colour", scores.colour),
        accuracy("count", scores.count),
        accuracy("other", scores.other),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::answers::Answered;

    fn scores(answer: &str) -> AnswerScores {
        let [yes, no] = ["yes", "no"].map(|reference| Answered {
            question: "Is there a dog?".into(),
            answer: answer.into(),
            reference: reference.into(),
        });
        AnswerScores::of(&[yes, no])
    }

    fn report() -> Report {
        let captions = CaptionScores { captions: 7, bleu: [0.5, 0.25, 0.125, 0.0625], cider: 0.75 };
        Report {
            model: "tiny".into(),
            data: "drawn, seed 1".into(),
            loss: Some(Compared { own: HeldOutLoss { tokens: 1234, loss: 1.5 }, shuffled: None }),
            captions: Some(Compared {
                own: captions,
                shuffled: Some(CaptionScores { cider: 0.1, ..captions }),
            }),
            answers: Some(Compared { own: scores("yes"), shuffled: Some(scores("perhaps")) }),
        }
    }

    #[test]
    fn a_report_survives_json() {
        let json = report().to_json().unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report());
    }

    #[test]
    fn people_get_a_table() {
        let expected = "\
model  tiny
data   drawn, seed 1

                    number      score   shuffled
loss                  1234     1.5000          –
BLEU-1                   7     0.5000     0.5000
BLEU-2                   7     0.2500     0.2500
BLEU-3                   7     0.1250     0.1250
BLEU-4                   7     0.0625     0.0625
CIDEr                    7     0.7500     0.1000
exact match              2     0.5000     0.0000
yes/no                   2     0.5000     0.0000
yes/no balanced          2     0.5000     0.0000
colour                   0          –          –
count                    0          –          –
other                    0          –          –
";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn what_was_not_measured_has_no_row() {
        let report = Report { loss: None, captions: None, ..report() };
        assert_eq!(report.to_string().lines().count(), 4 + 6);
    }
}
