//! Stop strings that may lie across token boundaries.

/// Holds text back for as long as it could be the beginning of a stop string.
#[derive(Debug, Clone)]
pub struct StopFilter {
    strings: Vec<String>,
    held: String,
    stopped: bool,
}

/// What a [`StopFilter`] makes of new text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// Text that cannot be part of a stop string any more; may be empty.
    pub text: String,
    /// A stop string was found: it and what follows are gone, the answer ends here.
    pub stopped: bool,
}

impl StopFilter {
    /// A filter for these strings; empty ones are ignored.
    #[must_use]
    pub fn new(strings: &[String]) -> Self {
        let strings = strings.iter().filter(|s| !s.is_empty()).cloned().collect();
        Self { strings, held: String::new(), stopped: false }
    }

    /// Takes more text. Once it has stopped, the filter lets nothing through any more.
    pub fn push(&mut self, text: &str) -> Passed {
        if self.stopped {
            return Passed { text: String::new(), stopped: true };
        }
        self.held.push_str(text);
        if let Some(start) = self.first_match() {
            self.stopped = true;
            self.held.truncate(start);
            return Passed { text: std::mem::take(&mut self.held), stopped: true };
        }
        let kept = self.held.split_off(self.held.len() - self.longest_open_match());
        Passed { text: std::mem::replace(&mut self.held, kept), stopped: false }
    }

    /// The text that is still held back: the answer ended without a stop string.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the earliest stop string starts.
    fn first_match(&self) -> Option<usize> {
        self.strings.iter().filter_map(|stop| self.held.find(stop.as_str())).min()
    }

    /// Bytes at the end of the held text that begin a stop string.
    fn longest_open_match(&self) -> usize {
        let open = |stop: &String| {
            (1..stop.len())
                .rev()
                .filter(|&n| stop.is_char_boundary(n))
                .find(|&n| self.held.ends_with(&stop[..n]))
                .unwrap_or(0)
        };
        self.strings.iter().map(open).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in pieces of `size` characters; what came out, and whether it stopped.
    fn run(stops: &[&str], text: &str, size: usize) -> (String, bool) {
        let mut filter = StopFilter::new(&stops.iter().map(|&s| s.to_owned()).collect::<Vec<_>>());
        let characters: Vec<char> = text.chars().collect();
        let mut out = String::new();
        for piece in characters.chunks(size) {
            let passed = filter.push(&piece.iter().collect::<String>());
            out.push_str(&passed.text);
            if passed.stopped {
                return (out, true);
            }
        }
        out.push_str(&filter.finish());
        (out, false)
    }

    #[test]
    fn the_cut_does_not_depend_on_how_text_arrives() {
        for size in 1..12 {
            assert_eq!(run(&["\nUser:"], "Yes.\nUser: and", size), ("Yes.".to_owned(), true), "{size}");
            assert_eq!(run(&["aab"], "aaaab", size), ("aa".to_owned(), true), "{size}");
            assert_eq!(run(&["END", "N"], "the EN", size), ("the E".to_owned(), true), "{size}");
        }
    }

    #[test]
    fn text_without_a_stop_string_comes_out_whole() {
        for size in 1..9 {
            assert_eq!(run(&["\nUser:", ""], "Use \nUse it\nUser", size).0, "Use \nUse it\nUser", "{size}");
            assert_eq!(run(&[], "any", size), ("any".to_owned(), false));
        }
    }

    #[test]
    fn only_a_possible_beginning_is_held_back() {
        let mut filter = StopFilter::new(&["###".to_owned()]);
        assert_eq!(filter.push("a#").text, "a");
        assert_eq!(filter.push("#b").text, "##b");
        assert_eq!(filter.push("##"), Passed { text: String::new(), stopped: false });
        assert_eq!(filter.push("#"), Passed { text: String::new(), stopped: true });
        assert_eq!(filter.push("more"), Passed { text: String::new(), stopped: true });
        assert_eq!(filter.finish(), "");
    }

    #[test]
    fn characters_of_several_bytes_stay_whole() {
        for size in 1..5 {
            assert_eq!(run(&["終わり"], "花が終わった。終わり！", size), ("花が終わった。".to_owned(), true));
        }
    }
}
