//! What answers ([`generate`]) and what scores answers. Captions are compared with those of several people, as [`tokens`], by [`bleu()`] and [`cider()`];
//! short [`answers`] with the reference, each by its kind; a [`report`] holds one evaluation's scores beside those that
//! shuffled pictures give.

pub mod answers;
mod bleu;
mod captions;
mod cider;
pub mod generate;
mod ngrams;
pub mod report;
pub mod tokens;

pub use answers::{AnswerKind, AnswerScores, Answered};
pub use bleu::bleu;
pub use captions::{CaptionScores, Captioned, NoReferences};
pub use cider::cider;
pub use report::{Compared, Report};
