//! Questions about a scene, with short answers.

use rand::Rng;
use rand::seq::IndexedRandom;
use serde::Serialize;

use super::language::{
    COLOUR, COLOUR_SHAPE, Description, FULL, SHAPE, SIZE_COLOUR, SIZE_SHAPE, number, unique,
};
use super::scene::{Colour, MOST_THINGS, Scene, Shape, Size, pick};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QuestionKind {
    /// The colour of the only such thing.
    Colour,
    /// The shape of the only such thing.
    Shape,
    /// Whether there is such a thing: `yes` or `no`.
    Exists,
    /// How many such things there are, `zero` to `two`.
    Count,
}

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is asked for.
    pub kind: QuestionKind,
    /// The question.
    pub text: String,
    /// The answer, in one or two words of lower case.
    pub answer: String,
}

impl Question {
    fn new(kind: QuestionKind, text: String, answer: impl Into<String>) -> Self {
        Self { kind, text, answer: answer.into() }
    }
}

/// One question of each kind, without those that ask for the only such thing where there is none. The answer to whether
/// something exists is `yes` as the caller wants: only one who sees all pictures can balance it.
pub(super) fn questions(scene: &Scene, yes: bool, rng: &mut impl Rng) -> Vec<Question> {
    let asked = [colour(scene, rng), shape(scene, rng), exists(scene, yes, rng), count(scene, rng)];
    asked.into_iter().flatten().collect()
}

fn colour(scene: &Scene, rng: &mut impl Rng) -> Option<Question> {
    let (kind, thing) = unique(scene, &[SHAPE, SIZE_SHAPE], rng)?;
    let opening = pick(&["What color is", "Which color is"], rng);
    Some(Question::new(QuestionKind::Colour, format!("{opening} the {kind}?"), thing.colour.name()))
}

fn shape(scene: &Scene, rng: &mut impl Rng) -> Option<Question> {
    let (kind, thing) = unique(scene, &[COLOUR, SIZE_COLOUR], rng)?;
    let text = pick(&["What shape is", "What is"], rng);
    Some(Question::new(QuestionKind::Shape, format!("{text} the {kind}?"), thing.shape.name()))
}

/// The naming is drawn before the answer, so that no wording makes either answer likelier. A `no` differs in one
/// property from something that is there.
fn exists(scene: &Scene, yes: bool, rng: &mut impl Rng) -> Option<Question> {
    let naming = pick(&[SHAPE, COLOUR, SIZE_SHAPE, COLOUR_SHAPE, FULL], rng);
    let present: Vec<_> = scene.things.iter().map(|thing| Description::of(thing, naming)).collect();
    let absent: Vec<_> = present.iter().flat_map(variations).filter(|kind| kind.count(scene) == 0).collect();
    let (candidates, answer) = if yes { (present, "yes") } else { (absent, "no") };
    let kind = candidates.choose(rng)?;
    Some(Question::new(QuestionKind::Exists, format!("Is there {}?", kind.with_article()), answer))
}

/// The description with one of its properties changed, in every way.
fn variations(kind: &Description) -> Vec<Description> {
    let sizes = Size::ALL.iter().map(|&size| Description { size: kind.size.and(Some(size)), ..*kind });
    let colours =
        Colour::ALL.iter().map(|&colour| Description { colour: kind.colour.and(Some(colour)), ..*kind });
    let shapes = Shape::ALL.iter().map(|&shape| Description { shape: kind.shape.and(Some(shape)), ..*kind });
    sizes.chain(colours).chain(shapes).filter(|other| other != kind).collect()
}

/// The answer is drawn before the question, among those that some question has: nearly everything is there once.
fn count(scene: &Scene, rng: &mut impl Rng) -> Option<Question> {
    let any = Description { size: None, colour: None, shape: None };
    let shapes = Shape::ALL.map(|shape| Description { shape: Some(shape), ..any });
    let colours = Colour::ALL.map(|colour| Description { colour: Some(colour), ..any });
    let kinds: Vec<_> = shapes.into_iter().chain(colours).chain([any]).collect();
    let with = |count: usize| -> Vec<_> {
        kinds.iter().copied().filter(|kind| kind.count(scene) == count).collect()
    };
    let possible: Vec<_> = (0..=MOST_THINGS).map(with).filter(|kinds| !kinds.is_empty()).collect();
    let kind = possible.choose(rng)?.choose(rng)?;
    let text = format!("How many {} are there?", kind.plural());
    Some(Question::new(QuestionKind::Count, text, number(kind.count(scene))))
}
