//! The project's own pictures: coloured shapes with captions, questions and answers that are true by construction, so
//! that tests and a tiny model need nobody's data.
//!
//! A [`sample`] depends on its seed and its index alone, on every machine; other seeds give held-out sets.
//! [`dataset::write`] puts many of them into a folder in the formats that training reads.

pub mod dataset;
pub mod language;
mod passages;
mod questions;
mod render;
pub mod scene;

pub use questions::{Question, QuestionKind};
pub use render::render;
pub use scene::Scene;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Streams of a seed beyond those of its pictures.
const PASSAGES: u64 = 1 << 62;
const COINS: u64 = 1 << 63;

/// A picture and what can be said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// What [`render()`] draws.
    pub scene: Scene,
    /// [`CAPTIONS`](language::CAPTIONS) captions in different wordings.
    pub captions: Vec<String>,
    /// At most one question of each kind.
    pub questions: Vec<Question>,
}

/// The sample `index` of a seed. Of the samples `2n` and `2n + 1`, one asks for something that exists and the other for
/// something that does not: yes and no are balanced in every set, and the index does not give the answer away.
#[must_use]
pub fn sample(seed: u64, index: u64) -> Sample {
    let mut rng = stream(seed, index);
    let scene = Scene::random(&mut rng);
    let captions = language::captions(&scene, &mut rng);
    let coin: bool = stream(seed, COINS + index / 2).random();
    let questions = questions::questions(&scene, coin ^ index.is_multiple_of(2), &mut rng);
    Sample { scene, captions, questions }
}

/// The passage `index` of a seed: one line of text about a scene that is never drawn.
#[must_use]
pub fn passage(seed: u64, index: u64) -> String {
    passages::passage(&mut stream(seed, PASSAGES + index))
}

/// The random numbers of one purpose: streams of a seed do not depend on each other.
fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}
