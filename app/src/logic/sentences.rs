//! Streamed text in pieces that a screen reader can speak.

/// Holds streamed text back until a sentence is whole.
#[derive(Debug, Default)]
pub struct Sentences {
    held: String,
}

impl Sentences {
    /// Takes more text and gives the whole sentences so far, if there are any.
    pub fn push(&mut self, text: &str) -> Option<String> {
        self.held.push_str(text);
        let end = last_end(&self.held)?;
        let rest = self.held.split_off(end);
        let whole = std::mem::replace(&mut self.held, rest);
        let whole = whole.trim();
        (!whole.is_empty()).then(|| whole.to_owned())
    }

    /// What is left at the end of the stream.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.held);
        let rest = rest.trim();
        (!rest.is_empty()).then(|| rest.to_owned())
    }
}

/// Byte after the last sentence end: a mark followed by white space, or a line's end.
fn last_end(text: &str) -> Option<usize> {
    let mut end = None;
    let mut after_mark = false;
    for (at, character) in text.char_indices() {
        if character == '\n' || (after_mark && character.is_whitespace()) {
            end = Some(at + character.len_utf8());
        }
        let closes = matches!(character, '"' | '\'' | ')' | '”' | '’' | '*');
        after_mark = matches!(character, '.' | '!' | '?' | '…' | '。' | '।') || (after_mark && closes);
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_held_until_the_sentence_ends() {
        let mut sentences = Sentences::default();
        assert_eq!(sentences.push("The sky"), None);
        assert_eq!(sentences.push(" is blue."), None);
        assert_eq!(sentences.push(" It"), Some("The sky is blue.".to_owned()));
        assert_eq!(sentences.push(" rains"), None);
        assert_eq!(sentences.finish(), Some("It rains".to_owned()));
        assert_eq!(sentences.finish(), None);
    }

    #[test]
    fn a_point_inside_a_number_is_no_end() {
        let mut sentences = Sentences::default();
        assert_eq!(sentences.push("Pi is 3.14 or so"), None);
    }

    #[test]
    fn lines_and_closing_marks_end_sentences() {
        let mut sentences = Sentences::default();
        assert_eq!(sentences.push("- one\n- two"), Some("- one".to_owned()));
        let mut sentences = Sentences::default();
        assert_eq!(sentences.push("He said “no.” Then"), Some("He said “no.”".to_owned()));
    }

    #[test]
    fn blank_lines_say_nothing() {
        assert_eq!(Sentences::default().push("\n\n"), None);
    }
}
