//! Scene to pixels, the same ones on every machine: nothing but additions, multiplications, divisions and comparisons of
//! floats, which IEEE 754 defines to the bit.

use image::{Rgb, RgbImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::scene::{Background, Scene, Shape, Texture, Thing, shifted};

/// Samples a pixel along each axis, for smooth edges.
const SAMPLES: u16 = 4;
/// Largest change that noise makes to a channel, in levels.
const NOISE: i16 = 2;
/// Largest change that a texture makes to the background's tone, in levels.
const CONTRAST: f32 = 5.0;
/// Stripes or checks along a side.
const BANDS: f32 = 16.0;

/// Radius of the circle inside the unit circle, so that its area is near the other shapes'.
const DISC: f32 = 0.9;
/// Corners of the other shapes inside the unit circle, `y` down.
const SQUARE: [[f32; 2]; 4] = [[-0.7, -0.7], [0.7, -0.7], [0.7, 0.7], [-0.7, 0.7]];
const TRIANGLE: [[f32; 2]; 3] = [[0.0, -1.0], [0.87, 0.49], [-0.87, 0.49]];
const DIAMOND: [[f32; 2]; 4] = [[0.0, -1.0], [0.72, 0.0], [0.0, 1.0], [-0.72, 0.0]];
/// A point at the top; the inner corners lie at 0.42 of the outer ones' distance.
const STAR: [[f32; 2]; 10] = [
    [0.0, -1.0],
    [0.247, -0.34],
    [0.951, -0.309],
    [0.399, 0.13],
    [0.588, 0.809],
    [0.0, 0.42],
    [-0.588, 0.809],
    [-0.399, 0.13],
    [-0.951, -0.309],
    [-0.247, -0.34],
];
const CROSS: [[f32; 2]; 12] = [
    [-0.28, -0.95],
    [0.28, -0.95],
    [0.28, -0.28],
    [0.95, -0.28],
    [0.95, 0.28],
    [0.28, 0.28],
    [0.28, 0.95],
    [-0.28, 0.95],
    [-0.28, 0.28],
    [-0.95, 0.28],
    [-0.95, -0.28],
    [-0.28, -0.28],
];

/// The picture of a scene, `side` × `side` pixels.
#[must_use]
pub fn render(scene: &Scene, side: u32) -> RgbImage {
    let unit = |pixel: u32| (pixel as f32 + 0.5) / side as f32;
    let mut picture = RgbImage::from_fn(side, side, |x, y| Rgb(paper(&scene.background, unit(x), unit(y))));
    for thing in &scene.things {
        paint(&mut picture, thing);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(scene.noise);
    for channel in picture.iter_mut() {
        *channel = shifted(*channel, rng.random_range(-NOISE..=NOISE));
    }
    picture
}

/// The background at a point of the unit square.
fn paper(background: &Background, x: f32, y: f32) -> [u8; 3] {
    let band = |position: f32| (position * BANDS).floor();
    let either = |index: f32| if index % 2.0 == 0.0 { CONTRAST } else { -CONTRAST };
    let shift = match background.texture {
        Texture::Plain => 0.0,
        Texture::Stripes => either(band(x + y)),
        Texture::Checks => either(band(x) + band(y)),
        Texture::Gradient => CONTRAST * (1.0 - 2.0 * y),
    };
    background.tone.map(|channel| (f32::from(channel) + shift) as u8)
}

/// Mixes the thing's colour in by how much of each pixel it covers.
fn paint(picture: &mut RgbImage, thing: &Thing) {
    let side = picture.width();
    let scale = side as f32;
    // Casts of floats to integers saturate: a box never leaves the picture.
    let reach = |centre: f32| {
        let first = ((centre - thing.radius) * scale) as u32;
        first..(((centre + thing.radius) * scale) as u32 + 1).min(side)
    };
    let [columns, rows] = thing.centre.map(reach);
    for y in rows {
        for x in columns.clone() {
            let covered = coverage(thing, x, y, scale);
            let pixel = picture.get_pixel_mut(x, y);
            for (channel, ink) in pixel.0.iter_mut().zip(thing.rgb) {
                *channel = mix(*channel, ink, covered);
            }
        }
    }
}

/// `covered` of `SAMPLES`² parts of ink, the rest of paper, rounded.
fn mix(paper: u8, ink: u8, covered: u16) -> u8 {
    let all = SAMPLES * SAMPLES;
    ((u16::from(paper) * (all - covered) + u16::from(ink) * covered + all / 2) / all) as u8
}

/// How many of a pixel's `SAMPLES`² points the thing covers.
fn coverage(thing: &Thing, x: u32, y: u32, scale: f32) -> u16 {
    let point =
        |pixel: u32, sample: u16| (pixel as f32 + (f32::from(sample) + 0.5) / f32::from(SAMPLES)) / scale;
    let samples = (0..SAMPLES).flat_map(|i| (0..SAMPLES).map(move |j| (i, j)));
    samples.filter(|&(i, j)| covers(thing, point(x, i), point(y, j))).count() as u16
}

/// Whether a point of the unit square lies in the thing.
fn covers(thing: &Thing, x: f32, y: f32) -> bool {
    let (x, y) = ((x - thing.centre[0]) / thing.radius, (y - thing.centre[1]) / thing.radius);
    // Cosine and sine from the tangent of half the angle: libraries differ in the last bits of their own.
    let square = thing.tilt * thing.tilt;
    let (cosine, sine) = ((1.0 - square) / (1.0 + square), 2.0 * thing.tilt / (1.0 + square));
    let (x, y) = (x * cosine + y * sine, y * cosine - x * sine);
    match thing.shape {
        Shape::Circle => x * x + y * y <= DISC * DISC,
        Shape::Square => inside(&SQUARE, x, y),
        Shape::Triangle => inside(&TRIANGLE, x, y),
        Shape::Diamond => inside(&DIAMOND, x, y),
        Shape::Star => inside(&STAR, x, y),
        Shape::Cross => inside(&CROSS, x, y),
    }
}

/// Whether a ray from the point to the right crosses the outline an odd number of times.
fn inside(corners: &[[f32; 2]], x: f32, y: f32) -> bool {
    let edges = corners.iter().zip(corners.iter().cycle().skip(1));
    let crossed = edges
        .filter(|&(&[ax, ay], &[bx, by])| (ay > y) != (by > y) && x < ax + (bx - ax) * (y - ay) / (by - ay));
    crossed.count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::scene::{Cell, Colour};
    use crate::draw::stream;

    /// The area of a shape whose circle has radius 1: π r², or the shoelace formula.
    fn area(shape: Shape) -> f32 {
        let corners: &[[f32; 2]] = match shape {
            Shape::Circle => return std::f32::consts::PI * DISC * DISC,
            Shape::Square => &SQUARE,
            Shape::Triangle => &TRIANGLE,
            Shape::Diamond => &DIAMOND,
            Shape::Star => &STAR,
            Shape::Cross => &CROSS,
        };
        let edges = corners.iter().zip(corners.iter().cycle().skip(1));
        edges.map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum::<f32>() / 2.0
    }

    fn distance(a: [u8; 3], b: [u8; 3]) -> u32 {
        a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
    }

    #[test]
    fn things_are_where_the_scene_says_in_the_colour_it_says() {
        for (seed, side) in (0..100).zip([224, 64, 336].into_iter().cycle()) {
            let scene = Scene::random(&mut stream(seed, 0));
            let picture = render(&scene, side);
            assert_eq!(picture.dimensions(), (side, side));
            let at =
                |[x, y]: [f32; 2]| picture.get_pixel((x * side as f32) as u32, (y * side as f32) as u32).0;
            for cell in Cell::all() {
                match scene.things.iter().find(|thing| thing.cell == cell) {
                    Some(thing) => {
                        let came = at(thing.centre);
                        let nearest = Colour::ALL.into_iter().min_by_key(|c| distance(c.rgb(), came));
                        assert_eq!(nearest, Some(thing.colour), "seed {seed}: {came:?}");
                    }
                    None => {
                        let came = at(cell.centre());
                        let far = came.iter().zip(scene.background.tone).map(|(a, b)| a.abs_diff(b)).max();
                        assert!(far <= Some(CONTRAST as u8 + NOISE as u8 + 1), "seed {seed}: {came:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn shapes_cover_the_area_of_their_outline() {
        let mut seen = Vec::new();
        for seed in 0..30 {
            let scene = Scene::random(&mut stream(seed, 0));
            let side = 200;
            for thing in &scene.things {
                let pixels = (0..side).flat_map(|y| (0..side).map(move |x| (x, y)));
                let covered: u32 = pixels.map(|(x, y)| u32::from(coverage(thing, x, y, side as f32))).sum();
                let covered = covered as f32 / 16.0 / (side * side) as f32;
                let expected = area(thing.shape) * thing.radius * thing.radius;
                assert!((covered / expected - 1.0).abs() < 0.03, "{thing:?}: {covered} for {expected}");
                seen.push(thing.shape);
            }
        }
        assert!(Shape::ALL.iter().all(|shape| seen.contains(shape)));
    }

    #[test]
    fn outlines_fit_into_their_circle() {
        let corners = [&SQUARE[..], &TRIANGLE, &DIAMOND, &STAR, &CROSS].concat();
        assert!(corners.iter().all(|[x, y]| x * x + y * y <= 1.001));
    }

    #[test]
    fn edges_are_smooth() {
        let scene = Scene::random(&mut stream(1, 0));
        let thing = &scene.things[0];
        let partly = (0..224 * 224).filter(|i| (1..16).contains(&coverage(thing, i % 224, i / 224, 224.0)));
        assert!(partly.count() > 20);
    }

    #[test]
    fn a_picture_may_have_no_pixels() {
        assert_eq!(render(&Scene::random(&mut stream(0, 0)), 0).dimensions(), (0, 0));
    }
}
