//! Answers to questions beside the reference answer: exact match for all, and an accuracy for each kind.
//!
//! Models answer in sentences and references may be single words, or the other way round. So beside the exact match,
//! which wants the same words, each [`AnswerKind`] compares only what was asked for, all rules in that enum.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Words for numbers, by value.
const NUMBERS: [&str; 21] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
];

/// Words for colours; see also [`canonical`].
const COLOURS: [&str; 24] = [
    "beige",
    "black",
    "blond",
    "blue",
    "bronze",
    "brown",
    "cream",
    "cyan",
    "gold",
    "gray",
    "green",
    "maroon",
    "navy",
    "orange",
    "pink",
    "purple",
    "red",
    "silver",
    "tan",
    "teal",
    "turquoise",
    "violet",
    "white",
    "yellow",
];

/// What a question asks for, and so how answers are compared. Only the first sentence of an answer counts, but all of it for
/// an exact match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerKind {
    /// The reference's first word is *yes* or *no*. Right when the answer's first word is the same.
    YesNo,
    /// The question has *color*, *colour* or their plural after *what*, *which*, *is*, *are* or *the*, and the reference
    /// names a colour. Right when the answer names the same colours, in any order, and no other.
    Colour,
    /// The question begins with *how many*, and the reference has a number. Right when the answer's first number is the
    /// same; *no* and *none* are 0 where there is no other number.
    Count,
    /// Everything else. Right on an exact match.
    Other,
}

impl AnswerKind {
    /// The kind of a question, told from it and from its reference answer; the first of colour, count and yes/no that fits.
    #[must_use]
    pub fn of(question: &str, reference: &str) -> Self {
        if asks_for_colour(question) && !colours(reference).is_empty() {
            Self::Colour
        } else if asks_for_count(question) && number(reference).is_some() {
            Self::Count
        } else if yes_no(reference).is_some() {
            Self::YesNo
        } else {
            Self::Other
        }
    }

    /// Whether an answer is right by this kind's rule.
    #[must_use]
    pub fn agree(self, answer: &str, reference: &str) -> bool {
        match self {
            Self::YesNo => yes_no(answer) == yes_no(reference),
            Self::Colour => colours(answer) == colours(reference),
            Self::Count => number(answer) == number(reference),
            Self::Other => exact_match(answer, reference),
        }
    }
}

/// Whether two answers are the same after [`normalise`].
#[must_use]
pub fn exact_match(answer: &str, reference: &str) -> bool {
    normalise(answer) == normalise(reference)
}

/// An answer without what does not matter: lower case, no punctuation at its end, single spaces, no articles (*a*, *an*,
/// *the*), number words up to *twenty* as digits.
#[must_use]
pub fn normalise(answer: &str) -> String {
    let lower = answer.to_lowercase();
    let words = lower.trim_end_matches(|c: char| c.is_ascii_punctuation() || c.is_whitespace());
    let words = words.split_whitespace().filter(|word| !["a", "an", "the"].contains(word));
    let digits = |word: &str| word_number(word).map_or_else(|| word.to_owned(), |n| n.to_string());
    words.map(digits).collect::<Vec<_>>().join(" ")
}

/// What an answer to a yes/no question says: the first word decides, and any but *yes* and *no* says nothing.
#[must_use]
pub fn yes_no(answer: &str) -> Option<bool> {
    match first_words(answer).first()?.as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// The colours that an answer's first sentence names.
fn colours(answer: &str) -> BTreeSet<String> {
    let words = first_words(answer).into_iter().map(canonical);
    words.filter(|word| COLOURS.contains(&word.as_str())).collect()
}

/// One spelling for a colour that has several.
fn canonical(word: String) -> String {
    match word.as_str() {
        "grey" => "gray".to_owned(),
        "blonde" => "blond".to_owned(),
        "golden" => "gold".to_owned(),
        _ => word,
    }
}

/// The first number of an answer's first sentence; 0 where it only says *no* or *none*.
fn number(answer: &str) -> Option<u64> {
    let words = first_words(answer);
    let number = words.iter().find_map(|word| word.parse().ok().or_else(|| word_number(word)));
    number.or_else(|| words.iter().any(|word| word == "no" || word == "none").then_some(0))
}

/// The value of a number word.
fn word_number(word: &str) -> Option<u64> {
    (0..).zip(NUMBERS).find(|(_, name)| *name == word).map(|(value, _)| value)
}

fn asks_for_colour(question: &str) -> bool {
    let words = words(question);
    words.windows(2).any(|pair| {
        ["what", "which", "is", "are", "the"].contains(&pair[0].as_str())
            && ["color", "colour", "colors", "colours"].contains(&pair[1].as_str())
    })
}

fn asks_for_count(question: &str) -> bool {
    words(question).starts_with(&["how".to_owned(), "many".to_owned()])
}

/// The words of the first sentence, which `.`, `!`, `?` before a space, or the line ends.
fn first_words(answer: &str) -> Vec<String> {
    let line = answer.trim_start().lines().next().unwrap_or_default();
    let end = [". ", "! ", "? "].iter().filter_map(|mark| line.find(mark)).min();
    words(&line[..end.unwrap_or(line.len())])
}

/// Runs of letters and digits, in lower case.
fn words(text: &str) -> Vec<String> {
    let runs = text.split(|c: char| !c.is_alphanumeric()).filter(|run| !run.is_empty());
    runs.map(str::to_lowercase).collect()
}

/// A model's answer to a question beside the reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// What was asked.
    pub question: String,
    /// What the model answered.
    pub answer: String,
    /// What should be answered.
    pub reference: String,
}

impl Answered {
    fn kind(&self) -> AnswerKind {
        AnswerKind::of(&self.question, &self.reference)
    }
}

/// How many answers of a set are right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// How many questions there are.
    pub questions: usize,
    /// How many were answered right.
    pub right: usize,
    /// Their share, 0 to 1; `None` without questions.
    pub accuracy: Option<f64>,
}

impl Accuracy {
    fn of(verdicts: impl Iterator<Item = bool>) -> Self {
        let (questions, right) = verdicts.fold((0, 0), |(all, right), ok| (all + 1, right + usize::from(ok)));
        let accuracy = (questions > 0).then(|| right as f64 / questions as f64);
        Self { questions, right, accuracy }
    }
}

/// The scores of a set of answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AnswerScores {
    /// Exact matches among all answers.
    pub exact: Accuracy,
    /// Yes/no questions.
    pub yes_no: Accuracy,
    /// The mean of the shares of *yes* and of *no* questions that were answered right, 0.5 for who always says the same;
    /// `None` unless the set has both.
    pub yes_no_balanced: Option<f64>,
    /// Questions for a colour.
    pub colour: Accuracy,
    /// Questions for a number.
    pub count: Accuracy,
    /// All other questions.
    pub other: Accuracy,
}

impl AnswerScores {
    /// Scores the answers to a set of questions.
    #[must_use]
    pub fn of(answers: &[Answered]) -> Self {
        let kind = |kind: AnswerKind| {
            let of_kind = answers.iter().filter(move |answer| answer.kind() == kind);
            Accuracy::of(of_kind.map(move |answer| kind.agree(&answer.answer, &answer.reference)))
        };
        Self {
            exact: Accuracy::of(answers.iter().map(|answer| exact_match(&answer.answer, &answer.reference))),
            yes_no: kind(AnswerKind::YesNo),
            yes_no_balanced: balanced(answers),
            colour: kind(AnswerKind::Colour),
            count: kind(AnswerKind::Count),
            other: kind(AnswerKind::Other),
        }
    }
}

/// The mean of the recalls of yes and no.
fn balanced(answers: &[Answered]) -> Option<f64> {
    let recall = |truth: bool| {
        let such = answers.iter().filter(|answer| answer.kind() == AnswerKind::YesNo);
        let such = such.filter(|answer| yes_no(&answer.reference) == Some(truth));
        Accuracy::of(such.map(|answer| yes_no(&answer.answer) == Some(truth))).accuracy
    };
    Some((recall(true)? + recall(false)?) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use AnswerKind::{Colour, Count, Other, YesNo};

    #[test]
    fn kinds_are_told_from_question_and_reference() {
        for (question, reference, kind) in [
            ("Is there a dog in this picture?", "No, there is no dog in the picture.", YesNo),
            ("is there not a circle?", "yes", YesNo),
            ("What color is the dog?", "The dog is black and white.", Colour),
            ("What is the colour of pipe?", "red", Colour),
            ("What is colour of wall?", "Yellow.", Colour),
            ("What are the colours of the furnitures?", "brown, gray", Colour),
            ("what color is the shape?", "teal", Colour),
            ("What is on the orange colour stool?", "toy doll", Other),
            ("What color is the dog?", "It is striped.", Other),
            ("How many men are in the picture?", "There are two men in the picture.", Count),
            ("How many fans are there?", "1", Count),
            ("How many dogs are there?", "No dogs.", Count),
            ("How many dogs are there?", "many", Other),
            ("What is the girl doing?", "The girl is climbing into a wooden playhouse.", Other),
            ("Can you tell how many dogs there are?", "Yes, two.", YesNo),
        ] {
            assert_eq!(AnswerKind::of(question, reference), kind, "{question} {reference}");
        }
    }

    #[test]
    fn answers_are_normalised() {
        for (answer, normal) in [
            (" The Dog. ", "dog"),
            ("Two dogs and a  cat!?", "2 dogs and cat"),
            ("twenty", "20"),
            ("a", ""),
            ("top left", "top left"),
            ("vase, decorative item", "vase, decorative item"),
            ("Theatre", "theatre"),
            ("...", ""),
        ] {
            assert_eq!(normalise(answer), normal, "{answer}");
        }
    }

    #[test]
    fn each_kind_compares_what_was_asked_for() {
        for (kind, answer, reference, right) in [
            (YesNo, "Yes, there is a dog.", "yes", true),
            (YesNo, "yes", "No, there is no dog in the picture.", false),
            (YesNo, "There is no dog.", "no", false),
            (YesNo, "Nobody knows", "no", false),
            (YesNo, "\"No\", I think. Yes.", "no", true),
            (Colour, "The dog is white and black.", "black and white", true),
            (Colour, "It is grey.", "gray", true),
            (Colour, "red", "The ball is red. It lies on green grass.", true),
            (Colour, "The red ball is green.", "red", false),
            (Colour, "a dog", "red", false),
            (Count, "There are two dogs in the picture.", "2", true),
            (Count, "There are no dogs.", "zero", true),
            (Count, "12", "twelve", true),
            (Count, "Some dogs", "2", false),
            (Count, "2 or 3", "3", false),
            (Other, "a chair", "chair.", true),
            (Other, "a red chair", "chair", false),
        ] {
            assert_eq!(kind.agree(answer, reference), right, "{kind:?}: {answer} for {reference}");
        }
    }

    fn answered(question: &str, answer: &str, reference: &str) -> Answered {
        Answered { question: question.into(), answer: answer.into(), reference: reference.into() }
    }

    #[test]
    fn each_kind_has_its_accuracy() {
        let scores = AnswerScores::of(&[
            answered("What color is it?", "It is red.", "red"),
            answered("What color is it?", "red", "blue"),
            answered("How many?", "two", "2"),
            answered("Is it?", "no", "no"),
            answered("Where?", "on a table", "table"),
        ]);
        let shares = [scores.exact, scores.colour, scores.count, scores.yes_no, scores.other];
        assert_eq!(
            shares.map(|share| (share.right, share.questions)),
            [(2, 5), (1, 2), (1, 1), (1, 1), (0, 1)]
        );
        assert_eq!(scores.colour.accuracy, Some(0.5));
        assert_eq!(scores.yes_no_balanced, None);
    }

    #[test]
    fn always_yes_is_no_better_than_chance_when_balanced() {
        let reference = |i: usize| if i.is_multiple_of(4) { "no" } else { "yes" };
        let answers: Vec<_> = (0..100).map(|i| answered("Is it?", "Yes.", reference(i))).collect();
        let scores = AnswerScores::of(&answers);
        assert_eq!((scores.yes_no.accuracy, scores.yes_no_balanced), (Some(0.75), Some(0.5)));
        assert_eq!(AnswerScores::of(&[]).exact.accuracy, None);
    }
}
