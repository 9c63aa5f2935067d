//! Plain text about the drawn world, for pre-training: what a decoder can learn of its language without a picture.

use rand::Rng;
use rand::seq::SliceRandom;

use super::language::{
    COLOUR, COLOUR_SHAPE, Description, FULL, SHAPE, SIZE_COLOUR, SIZE_SHAPE, captions, place, placed,
    sentence, shuffled, unique,
};
use super::questions::{Question, questions};
use super::scene::Scene;

/// A few true sentences and answered questions about a scene that only the first sentence shows: all things with size,
/// colour, shape and place, so that everything after it follows.
pub(super) fn passage(rng: &mut impl Rng) -> String {
    let scene = Scene::random(rng);
    let mut rest = captions(&scene, rng);
    rest.extend(statements(&scene, rng));
    rest.extend(questions(&scene, rng.random(), rng).iter().map(answered));
    rest.shuffle(rng);
    rest.truncate(rng.random_range(3..=6));
    let first = sentence(&placed(&shuffled(&scene.things, rng), FULL));
    format!("{first} {}", rest.join(" "))
}

/// `What color is the star? Red.`
fn answered(question: &Question) -> String {
    format!("{} {}", question.text, sentence(&question.answer))
}

/// Sentences about single things: `The large star is red.`, `The red star is at the top left.`
fn statements(scene: &Scene, rng: &mut impl Rng) -> Vec<String> {
    let mut said = Vec::new();
    if let Some((kind, thing)) = unique(scene, &[SHAPE, SIZE_SHAPE], rng) {
        said.push(sentence(&format!("the {kind} is {}", thing.colour.name())));
    }
    if let Some((kind, thing)) = unique(scene, &[COLOUR, SIZE_COLOUR], rng) {
        said.push(sentence(&format!("the {kind} is {}", Description::of(thing, SHAPE).with_article())));
    }
    if let Some((kind, thing)) = unique(scene, &[SHAPE, COLOUR_SHAPE, FULL], rng) {
        said.push(sentence(&format!("the {kind} is {}", place(thing.cell))));
    }
    said
}
