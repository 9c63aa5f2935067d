//! Text about the drawn world, for pre-training: what a decoder can learn of its language, and of the recipe's template,
//! without a picture.

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::language::{
    COLOUR, COLOUR_SHAPE, Description, FULL, PROMPTS, SHAPE, SIZE_COLOUR, SIZE_SHAPE, captions, place,
    placed, sentence, shuffled, unique,
};
use super::questions::{Question, questions};
use super::scene::{Scene, pick};

/// The recipe's markers: what follows a picture, and what follows a question.
const AFTER_PICTURE: &str = "caption image:";
const AFTER_QUESTION: &str = "end of question:";

/// A line about a scene that only its first sentence shows: all things with size, colour, shape and place, so that
/// everything after it follows. A quarter is prose; elsewhere the sentence stands where the template has a picture, so that
/// a projector only has to say what such a sentence says.
pub(super) fn passage(rng: &mut impl Rng) -> String {
    let scene = Scene::random(rng);
    let first = sentence(&placed(&shuffled(&scene.things, rng), FULL));
    match rng.random_range(0..4) {
        0 => format!("{first} {}", prose(&scene, rng)),
        1 => format!("{first}{AFTER_PICTURE}{}", any(&captions(&scene, rng), rng)),
        _ => {
            let mut exchanges = exchanges(&scene, rng);
            let (question, answer) = exchanges.swap_remove(rng.random_range(0..exchanges.len()));
            format!("{first}{AFTER_PICTURE}{question}{AFTER_QUESTION}{answer}")
        }
    }
}

/// Every question with its answer, and a caption that was asked for.
fn exchanges(scene: &Scene, rng: &mut impl Rng) -> Vec<(String, String)> {
    let asked = questions(scene, rng.random(), rng).into_iter();
    let caption = (pick(&PROMPTS, rng).to_owned(), any(&captions(scene, rng), rng).to_owned());
    asked.map(|question| (question.text, question.answer)).chain([caption]).collect()
}

fn any<'a>(captions: &'a [String], rng: &mut impl Rng) -> &'a str {
    captions.choose(rng).map_or("", String::as_str)
}

/// A few true sentences and answered questions.
fn prose(scene: &Scene, rng: &mut impl Rng) -> String {
    let mut rest = captions(scene, rng);
    rest.extend(statements(scene, rng));
    rest.extend(questions(scene, rng.random(), rng).iter().map(answered));
    rest.shuffle(rng);
    rest.truncate(rng.random_range(3..=6));
    rest.join(" ")
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
