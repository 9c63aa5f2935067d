//! What is in a picture: one or two coloured shapes, each in a cell of a 2×2 grid, on a quiet background.
//!
//! A scene holds everything that a picture of it depends on. Lengths are in units of the picture's side, `x` to the right
//! and `y` down.

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

/// Most things in a scene.
pub const MOST_THINGS: usize = 2;

/// How far a centre may lie from its cell's, in either direction.
const SHIFT: f32 = 0.025;
/// Chance that a thing takes the shape of an earlier one, and that it takes the colour of an earlier one: without it, most
/// scenes would have nothing to count.
const REPEAT: f64 = 0.3;
/// Tangent of half the largest angle that a thing is turned by, about 8°: a square never looks like a diamond.
const TILT: f32 = 0.07;
/// How far each channel of a colour may lie from the named one, and a background's brightness from its tone's.
const TINT: i16 = 10;

/// What a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A disc.
    Circle,
    /// A square on a side.
    Square,
    /// A triangle on a side.
    Triangle,
    /// A square on a corner.
    Diamond,
    /// A star of five points.
    Star,
    /// A plus sign.
    Cross,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Self; 6] =
        [Self::Circle, Self::Square, Self::Triangle, Self::Diamond, Self::Star, Self::Cross];

    /// Its English name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Circle => "circle",
            Self::Square => "square",
            Self::Triangle => "triangle",
            Self::Diamond => "diamond",
            Self::Star => "star",
            Self::Cross => "cross",
        }
    }
}

/// The colour of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Colour {
    Red,
    Orange,
    Yellow,
    Green,
    Blue,
    Purple,
}

impl Colour {
    /// All colours.
    pub const ALL: [Self; 6] = [Self::Red, Self::Orange, Self::Yellow, Self::Green, Self::Blue, Self::Purple];

    /// Its English name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Orange => "orange",
            Self::Yellow => "yellow",
            Self::Green => "green",
            Self::Blue => "blue",
            Self::Purple => "purple",
        }
    }

    /// The named colour in sRGB; a thing's own lies near it.
    #[must_use]
    pub fn rgb(self) -> [u8; 3] {
        match self {
            Self::Red => [214, 36, 40],
            Self::Orange => [243, 134, 26],
            Self::Yellow => [244, 220, 50],
            Self::Green => [34, 150, 62],
            Self::Blue => [36, 84, 214],
            Self::Purple => [136, 50, 164],
        }
    }
}

/// How large a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Size {
    Small,
    Large,
}

impl Size {
    /// Both sizes.
    pub const ALL: [Self; 2] = [Self::Small, Self::Large];

    /// Its English name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
        }
    }

    /// Radius of the circle that the shape fits into. A large thing fills its cell and still leaves a gap to the next one.
    fn radius(self, rng: &mut impl Rng) -> f32 {
        match self {
            Self::Small => rng.random_range(0.10..0.12),
            Self::Large => rng.random_range(0.19..0.21),
        }
    }
}

/// A cell of the 2×2 grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// 0 left, 1 right.
    pub column: u8,
    /// 0 top, 1 bottom.
    pub row: u8,
}

impl Cell {
    /// All cells, row by row.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..2).flat_map(|row| (0..2).map(move |column| Self { column, row }))
    }

    /// Its English name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match (self.row, self.column) {
            (0, 0) => "top left",
            (0, _) => "top right",
            (_, 0) => "bottom left",
            (_, _) => "bottom right",
        }
    }

    /// Its centre.
    #[must_use]
    pub fn centre(self) -> [f32; 2] {
        [self.column, self.row].map(|index| (f32::from(index) + 0.5) / 2.0)
    }
}

/// One thing in a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Thing {
    /// What it is.
    pub shape: Shape,
    /// Its colour.
    pub colour: Colour,
    /// How large it is.
    pub size: Size,
    /// Where it is; no two things share a cell.
    pub cell: Cell,
    /// Its centre, near the cell's.
    pub centre: [f32; 2],
    /// Radius of the circle that it fits into.
    pub radius: f32,
    /// Tangent of half the angle that it is turned by.
    pub tilt: f32,
    /// Its own tint of the colour.
    pub rgb: [u8; 3],
}

impl Thing {
    /// A thing of this kind in this cell, a little off in position, size, angle and tint.
    fn random(shape: Shape, colour: Colour, cell: Cell, rng: &mut impl Rng) -> Self {
        let size = pick(&Size::ALL, rng);
        Self {
            shape,
            colour,
            size,
            cell,
            centre: cell.centre().map(|x| x + rng.random_range(-SHIFT..SHIFT)),
            radius: size.radius(rng),
            tilt: rng.random_range(-TILT..TILT),
            rgb: tinted(colour.rgb(), rng),
        }
    }
}

/// What is behind the things.
#[derive(Debug, Clone, PartialEq)]
pub struct Background {
    /// A grey or nearly grey sRGB tone, far from every named colour.
    pub tone: [u8; 3],
    /// Its pattern.
    pub texture: Texture,
}

/// A pattern of a few levels around the background's tone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Texture {
    /// One tone.
    Plain,
    /// Diagonal stripes.
    Stripes,
    /// A chequerboard.
    Checks,
    /// Darker towards the bottom.
    Gradient,
}

const TONES: [[u8; 3]; 4] = [[150, 150, 150], [172, 164, 152], [146, 158, 168], [164, 164, 164]];
/// Half of the pictures are plain.
const TEXTURES: [Texture; 6] =
    [Texture::Plain, Texture::Plain, Texture::Plain, Texture::Stripes, Texture::Checks, Texture::Gradient];

/// Everything in a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// One to [`MOST_THINGS`] things.
    pub things: Vec<Thing>,
    /// What is behind them.
    pub background: Background,
    /// Seed of the camera's noise.
    pub noise: u64,
}

impl Scene {
    /// A scene drawn at random.
    #[must_use]
    pub fn random(rng: &mut impl Rng) -> Self {
        let mut cells: Vec<Cell> = Cell::all().collect();
        cells.shuffle(rng);
        cells.truncate(rng.random_range(1..=MOST_THINGS));
        let mut things: Vec<Thing> = Vec::new();
        for cell in cells {
            let shape = earlier(&things, rng).map_or_else(|| pick(&Shape::ALL, rng), |thing| thing.shape);
            let colour = earlier(&things, rng).map_or_else(|| pick(&Colour::ALL, rng), |thing| thing.colour);
            things.push(Thing::random(shape, colour, cell, rng));
        }
        let shade = rng.random_range(-TINT..=TINT);
        let tone = pick(&TONES, rng).map(|channel| shifted(channel, shade));
        let background = Background { tone, texture: pick(&TEXTURES, rng) };
        Self { things, background, noise: rng.random() }
    }
}

/// Now and then, a thing to be like.
fn earlier<'a>(things: &'a [Thing], rng: &mut impl Rng) -> Option<&'a Thing> {
    if rng.random_bool(REPEAT) { things.choose(rng) } else { None }
}

/// One of several, each as likely.
pub(super) fn pick<T: Copy, const N: usize>(choices: &[T; N], rng: &mut impl Rng) -> T {
    choices[rng.random_range(0..N)]
}

fn tinted(rgb: [u8; 3], rng: &mut impl Rng) -> [u8; 3] {
    rgb.map(|channel| shifted(channel, rng.random_range(-TINT..=TINT)))
}

/// A channel some levels lighter or darker, as far as there are levels.
pub(super) fn shifted(channel: u8, levels: i16) -> u8 {
    (i16::from(channel) + levels).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::stream;

    #[test]
    fn scenes_hold_what_is_promised() {
        let mut counts = [0; MOST_THINGS + 1];
        for seed in 0..500 {
            let scene = Scene::random(&mut stream(seed, 0));
            counts[scene.things.len()] += 1;
            for (i, thing) in scene.things.iter().enumerate() {
                assert!(scene.things[..i].iter().all(|other| other.cell != thing.cell), "two in one cell");
                let reach = SHIFT + thing.radius;
                assert!(reach < 0.5 / 2.0, "a thing leaves its cell: {thing:?}");
            }
        }
        assert_eq!(counts[0], 0);
        assert!(counts[1..].iter().all(|&count| count > 200), "{counts:?}");
    }

    #[test]
    fn every_kind_of_thing_turns_up() {
        let things: Vec<Thing> =
            (0..2000).flat_map(|seed| Scene::random(&mut stream(seed, 0)).things).collect();
        for shape in Shape::ALL {
            for colour in Colour::ALL {
                let alike = things.iter().filter(|t| t.shape == shape && t.colour == colour).count();
                assert!(alike > 20, "{} {}: {alike}", colour.name(), shape.name());
            }
        }
        for cell in Cell::all() {
            assert!(things.iter().filter(|thing| thing.cell == cell).count() > 500, "{}", cell.name());
        }
    }
}
