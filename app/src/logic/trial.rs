//! Two answers to one question, as the events of a trial tell them.

use jnana_api::conversations::Details;
use jnana_api::generations::{Side, TrialEvent, TrialEventKind};

/// One side's answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The step before the first token.
    pub progress: String,
    /// The text so far.
    pub text: String,
    /// How it was made, once it is whole.
    pub details: Option<Details>,
    /// Why there is none, or no more of it.
    pub error: Option<String>,
}

impl Answer {
    /// Whether nothing more is to come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.details.is_some() || self.error.is_some()
    }

    fn fail(&mut self, words: &str) {
        if !self.is_over() {
            self.error = Some(words.to_owned());
        }
    }
}

/// Both answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    /// Of what serves.
    pub serving: Answer,
    /// Of the candidate.
    pub candidate: Answer,
}

impl Answers {
    /// One side's.
    #[must_use]
    pub fn of(&self, side: Side) -> &Answer {
        match side {
            Side::Serving => &self.serving,
            Side::Candidate => &self.candidate,
        }
    }

    /// Takes an event.
    pub fn take(&mut self, TrialEvent { side, kind }: TrialEvent) {
        let answer = match side {
            Side::Serving => &mut self.serving,
            Side::Candidate => &mut self.candidate,
        };
        match kind {
            TrialEventKind::Progress { text } => answer.progress = text,
            TrialEventKind::Text { text } => answer.text.push_str(&text),
            TrialEventKind::End { details } => answer.details = Some(*details),
            TrialEventKind::Failed { error } => answer.error = Some(error),
        }
    }

    /// Whether both are over.
    #[must_use]
    pub fn are_over(&self) -> bool {
        self.serving.is_over() && self.candidate.is_over()
    }

    /// Ends what is not over yet, with a reason in words.
    pub fn end(&mut self, words: &str) {
        self.serving.fail(words);
        self.candidate.fail(words);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn take(answers: &mut Answers, event: Value) {
        answers.take(serde_json::from_value(event).unwrap());
    }

    #[test]
    fn two_answers_grow_apart() {
        let mut answers = Answers::default();
        take(&mut answers, json!({ "side": "serving", "type": "progress", "text": "Looking" }));
        take(&mut answers, json!({ "side": "candidate", "type": "text", "text": "A red " }));
        take(&mut answers, json!({ "side": "serving", "type": "text", "text": "A dog." }));
        take(&mut answers, json!({ "side": "candidate", "type": "text", "text": "circle." }));
        assert_eq!(answers.of(Side::Serving).text, "A dog.");
        assert_eq!(answers.of(Side::Candidate).text, "A red circle.");
        assert!(!answers.are_over());
        take(&mut answers, json!({ "side": "candidate", "type": "failed", "error": "no room" }));
        assert!(!answers.are_over());
        answers.serving.details = Some(Details::default());
        assert!(answers.are_over());
    }

    #[test]
    fn an_end_from_outside_leaves_whole_answers_alone() {
        let mut answers = Answers::default();
        answers.serving.details = Some(Details::default());
        answers.end("Stopped.");
        assert_eq!(answers.serving.error, None);
        assert_eq!(answers.candidate.error.as_deref(), Some("Stopped."));
    }
}
