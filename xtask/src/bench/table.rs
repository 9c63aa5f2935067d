//! Tables of ratios, as Markdown.

use std::fmt::Write as _;

use super::pairs::median;

/// Which of two figures is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Tokens a second.
    Higher,
    /// Time, memory, perplexity.
    Lower,
}

/// A figure of ours beside a peer's.
#[derive(Debug)]
pub struct Row {
    /// What was measured, with its unit.
    pub what: String,
    /// Beside whom.
    pub peer: &'static str,
    /// Which figure is better.
    pub better: Better,
    /// Ours and the peer's, of every pair.
    pub pairs: Vec<(f64, f64)>,
}

impl Row {
    /// How many times as good as the peer we were, in every pair.
    fn ratios(&self) -> impl Iterator<Item = f64> {
        self.pairs.iter().map(|&(ours, theirs)| match self.better {
            Better::Higher => ours / theirs,
            Better::Lower => theirs / ours,
        })
    }

    fn line(&self) -> String {
        let ours = median(self.pairs.iter().map(|pair| pair.0));
        let theirs = median(self.pairs.iter().map(|pair| pair.1));
        let (least, most) = (self.ratios().fold(f64::INFINITY, f64::min), self.ratios().fold(0., f64::max));
        format!(
            "| {} | {} | {} {} | {:.2} ({least:.2}–{most:.2}) |",
            self.what,
            figure(ours),
            self.peer,
            figure(theirs),
            median(self.ratios())
        )
    }
}

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Section {
    /// The table.
    pub rows: Vec<Row>,
    /// What else there is to say, a paragraph each.
    pub notes: Vec<String>,
}

impl Section {
    /// Adds a figure of every pair, as `of` finds it in what the two sides gave.
    pub fn row<Ours, Theirs>(
        &mut self,
        what: impl Into<String>,
        peer: &'static str,
        better: Better,
        outcomes: &[(Ours, Theirs)],
        of: impl Fn(&Ours, &Theirs) -> (f64, f64),
    ) {
        let pairs = outcomes.iter().map(|(ours, theirs)| of(ours, theirs)).collect();
        self.rows.push(Row { what: what.into(), peer, better, pairs });
    }

    /// The table, what it was measured under, and the notes.
    pub fn text(&self, conditions: &str) -> String {
        let mut text = "| | ours | peer | ratio (least–most) |\n| --- | --- | --- | --- |\n".to_owned();
        for row in &self.rows {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}", row.line());
        }
        let pairs = self.rows.iter().map(|row| row.pairs.len()).max().unwrap_or_default();
        let plural = if pairs == 1 { "" } else { "s" };
        let _ = write!(text, "\nMedians of {pairs} pair{plural}; above 1 ours is better. {conditions}");
        for note in &self.notes {
            let _ = write!(text, "\n\n{note}");
        }
        text
    }
}

/// Three digits that say something.
fn figure(value: f64) -> String {
    if value >= 100. {
        format!("{value:.0}")
    } else if value >= 10. {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_medians_and_the_median_of_ratios_with_its_extremes() {
        let row = Row {
            what: "decode 128, tokens/s".to_owned(),
            peer: "llama.cpp",
            better: Better::Higher,
            pairs: vec![(10., 20.), (30., 20.), (150., 100.)],
        };
        // The ratio is that of the pairs, not of the medians.
        assert_eq!(row.line(), "| decode 128, tokens/s | 30.0 | llama.cpp 20.0 | 1.50 (0.50–1.50) |");
    }

    #[test]
    fn above_one_is_better_for_times_too() {
        let row = Row { what: "ms".to_owned(), peer: "torch", better: Better::Lower, pairs: vec![(5., 20.)] };
        assert_eq!(row.line(), "| ms | 5.00 | torch 20.0 | 4.00 (4.00–4.00) |");
    }

    #[test]
    fn a_section_says_how_it_was_measured() {
        let mut section = Section::default();
        let outcomes = [(1., 2.), (1., 4.)];
        section.row("time, s", "a peer", Better::Lower, &outcomes, |ours, theirs| (*ours, *theirs));
        section.notes.push("A note.".to_owned());
        let text = section.text("2 threads.");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2], "| time, s | 1.00 | a peer 3.00 | 3.00 (2.00–4.00) |");
        assert_eq!(lines[4], "Medians of 2 pairs; above 1 ours is better. 2 threads.");
        assert_eq!(lines[6], "A note.");
    }
}
