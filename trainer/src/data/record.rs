//! One thing to learn from, before it becomes tokens.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// A question and its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    /// Pictures that the question shows, in order.
    pub images: Vec<PathBuf>,
    /// The question; may be empty when there is a picture.
    pub question: String,
    /// The answer.
    pub answer: String,
}

/// What a record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A picture and what it shows, for alignment: there is no question.
    Caption {
        /// The picture's file.
        image: PathBuf,
        /// What it shows.
        caption: String,
    },
    /// Questions and answers, one after the other.
    Conversation(Vec<Exchange>),
    /// Text to continue, for pre-training.
    Text {
        /// The text.
        text: String,
        /// True when its document ends with it.
        ends: bool,
    },
}

/// One thing to learn from.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Names it in messages; unique within its source.
    pub id: String,
    /// How often an epoch shows it: 1 once, 2 twice, 0.5 every other epoch.
    pub weight: f64,
    /// What it holds.
    pub content: Content,
}

impl Record {
    /// A record that every epoch shows once.
    #[must_use]
    pub fn new(id: impl Into<String>, content: Content) -> Self {
        Self { id: id.into(), weight: 1.0, content }
    }

    /// Its pictures in order.
    #[must_use]
    pub fn images(&self) -> Vec<&Path> {
        match &self.content {
            Content::Caption { image, .. } => vec![image],
            Content::Conversation(exchanges) => {
                exchanges.iter().flat_map(|exchange| &exchange.images).map(PathBuf::as_path).collect()
            }
            Content::Text { .. } => Vec::new(),
        }
    }

    /// What must not lie in both training and held-out data: its first picture's file name, else its id.
    #[must_use]
    pub fn group(&self) -> String {
        let image = self.images().first().and_then(|image| image.file_name());
        image.map_or_else(|| self.id.clone(), |name| name.to_string_lossy().into_owned())
    }
}

/// The pictures of `records`, each once, sorted.
#[must_use]
pub fn pictures<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<PathBuf> {
    let distinct: BTreeSet<&Path> = records.into_iter().flat_map(Record::images).collect();
    distinct.into_iter().map(Path::to_owned).collect()
}

/// A picture that a data file names, in the folder of pictures.
///
/// # Errors
/// When the name leads out of the folder; in words.
pub(super) fn picture(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if name.is_empty() || !Path::new(name).components().all(inside) {
        return Err(format!("the picture's name {name:?} leads out of its folder"));
    }
    Ok(folder.join(name))
}

/// `text` without blanks around it.
///
/// # Errors
/// When nothing is left; `what` says of what.
pub(super) fn filled(text: &str, what: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err(format!("{what} is empty")),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_its_folder() {
        let folder = Path::new("images");
        assert_eq!(picture(folder, "train/1.jpg").unwrap(), Path::new("images/train/1.jpg"));
        for name in ["", "/etc/passwd", "../1.jpg", "a/../../1.jpg"] {
            assert!(picture(folder, name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_picture_decides_the_group() {
        let caption = Content::Caption { image: "images/7.jpg".into(), caption: "A cat.".into() };
        assert_eq!(Record::new("7#0", caption).group(), "7.jpg");
        assert_eq!(Record::new("t1", Content::Text { text: "x".into(), ends: true }).group(), "t1");
    }
}
