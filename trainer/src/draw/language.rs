//! How things are named, and captions of a scene in several wordings.
//!
//! The grammar is small on purpose (fewer than a hundred different words with questions and passages), so that a tiny model
//! can learn all of it, and everything that it says is true of the scene.

use std::fmt;

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::scene::{Cell, Colour, Scene, Shape, Size, Thing, pick};

/// Captions a picture, as COCO has them.
pub const CAPTIONS: usize = 5;

/// A kind of thing, by any of its three properties; what is `None` may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// Small or large.
    pub size: Option<Size>,
    /// The colour.
    pub colour: Option<Colour>,
    /// The shape.
    pub shape: Option<Shape>,
}

/// Which properties a description names: size, colour, shape.
pub(super) type Naming = [bool; 3];
pub(super) const SHAPE: Naming = [false, false, true];
pub(super) const COLOUR: Naming = [false, true, false];
pub(super) const SIZE_SHAPE: Naming = [true, false, true];
pub(super) const SIZE_COLOUR: Naming = [true, true, false];
pub(super) const COLOUR_SHAPE: Naming = [false, true, true];
pub(super) const FULL: Naming = [true, true, true];

impl Description {
    /// The thing by the named properties.
    pub(super) fn of(thing: &Thing, [size, colour, shape]: Naming) -> Self {
        Self {
            size: size.then_some(thing.size),
            colour: colour.then_some(thing.colour),
            shape: shape.then_some(thing.shape),
        }
    }

    /// Whether the thing is of this kind.
    #[must_use]
    pub fn fits(&self, thing: &Thing) -> bool {
        self.size.is_none_or(|size| size == thing.size)
            && self.colour.is_none_or(|colour| colour == thing.colour)
            && self.shape.is_none_or(|shape| shape == thing.shape)
    }

    /// How many things of this kind the scene has.
    #[must_use]
    pub fn count(&self, scene: &Scene) -> usize {
        scene.things.iter().filter(|thing| self.fits(thing)).count()
    }

    /// `a red circle`, `an orange thing`.
    pub(super) fn with_article(&self) -> String {
        let article = if self.to_string().starts_with('o') { "an" } else { "a" };
        format!("{article} {self}")
    }

    /// `red circles`.
    pub(super) fn plural(&self) -> String {
        let ending = if self.shape == Some(Shape::Cross) { "es" } else { "s" };
        format!("{self}{ending}")
    }

    /// `a red circle`, `two red circles`.
    fn counted(&self, count: usize) -> String {
        if count == 1 { self.with_article() } else { format!("{} {}", number(count), self.plural()) }
    }
}

/// `large red circle`; one of any shape is a `thing`.
impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let adjectives = [self.size.map(Size::name), self.colour.map(Colour::name)];
        for adjective in adjectives.into_iter().flatten() {
            write!(f, "{adjective} ")?;
        }
        f.write_str(self.shape.map_or("thing", Shape::name))
    }
}

/// What people ask for when they want a caption.
pub(super) const PROMPTS: [&str; 4] =
    ["Describe the picture.", "What is in the picture?", "What do you see?", "What does the picture show?"];

/// The English word of a count.
pub(super) fn number(count: usize) -> &'static str {
    ["zero", "one", "two"].get(count).copied().unwrap_or("many")
}

/// `at the top right`.
pub(super) fn place(cell: Cell) -> String {
    format!("at the {}", cell.name())
}

/// [`CAPTIONS`] captions of the scene, each in another wording.
pub(super) fn captions(scene: &Scene, rng: &mut impl Rng) -> Vec<String> {
    let [all, places, pair] = std::array::from_fn(|_| shuffled(&scene.things, rng));
    let listed = list(&groups(&all, pick(&[COLOUR_SHAPE, FULL], rng)));
    let existing = existing(&groups(&all, pick(&[SHAPE, COLOUR_SHAPE], rng)));
    let naming = pick(&[COLOUR_SHAPE, FULL], rng);
    let opening = pick(&["A picture of", "This picture shows", "I see"], rng);
    vec![
        sentence(&listed),
        sentence(&existing),
        sentence(&placed(&places, naming)),
        sentence(&related(&pair, naming)),
        sentence(&format!("{opening} {}", list(&groups(&places, COLOUR_SHAPE)))),
    ]
}

/// A description by one of these namings that fits one thing only, and that thing.
pub(super) fn unique<'a>(
    scene: &'a Scene,
    namings: &[Naming],
    rng: &mut impl Rng,
) -> Option<(Description, &'a Thing)> {
    let described = scene
        .things
        .iter()
        .flat_map(|thing| namings.iter().map(move |&naming| (Description::of(thing, naming), thing)));
    let single: Vec<_> = described.filter(|(kind, _)| kind.count(scene) == 1).collect();
    single.choose(rng).copied()
}

/// Things of one description together, in the order of the first of each.
fn groups(things: &[Thing], naming: Naming) -> Vec<(Description, usize)> {
    let mut groups: Vec<(Description, usize)> = Vec::new();
    for thing in things {
        let kind = Description::of(thing, naming);
        match groups.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, count)) => *count += 1,
            None => groups.push((kind, 1)),
        }
    }
    groups
}

/// `two red circles, a blue square and a green star`.
fn list(groups: &[(Description, usize)]) -> String {
    enumeration(&groups.iter().map(|(kind, count)| kind.counted(*count)).collect::<Vec<_>>())
}

/// `there are two red circles and a blue square`; the verb goes with the first group.
fn existing(groups: &[(Description, usize)]) -> String {
    let one = groups.first().is_some_and(|(_, count)| *count == 1);
    format!("there {} {}", if one { "is" } else { "are" }, list(groups))
}

/// `a red circle at the top left and a blue square at the bottom left`.
pub(super) fn placed(things: &[Thing], naming: Naming) -> String {
    let phrase =
        |thing: &Thing| format!("{} {}", Description::of(thing, naming).with_article(), place(thing.cell));
    enumeration(&things.iter().map(phrase).collect::<Vec<_>>())
}

/// Two things of different looks and how they lie to each other; with no such two, all things.
fn related(things: &[Thing], naming: Naming) -> String {
    let describe = |thing| Description::of(thing, naming);
    let pair = things.split_first().and_then(|(first, rest)| {
        rest.iter().find(|other| describe(other) != describe(first)).map(|other| (first, other))
    });
    match pair {
        Some((a, b)) => {
            let (a_kind, b_kind) = (describe(a).with_article(), describe(b).with_article());
            format!("{a_kind} {} {b_kind}", relation(a.cell, b.cell))
        }
        None => format!("nothing but {}", list(&groups(things, naming))),
    }
}

/// How the first cell lies to the second; `above` and `below` where rows differ.
fn relation(a: Cell, b: Cell) -> &'static str {
    if a.row != b.row {
        if a.row < b.row { "above" } else { "below" }
    } else if a.column < b.column {
        "to the left of"
    } else {
        "to the right of"
    }
}

/// `a, b and c`.
fn enumeration(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// With a capital letter and a full stop.
pub(super) fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

pub(super) fn shuffled(things: &[Thing], rng: &mut impl Rng) -> Vec<Thing> {
    let mut things = things.to_vec();
    things.shuffle(rng);
    things
}
