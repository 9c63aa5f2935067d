//! A drawing in words.

use crate::drawing::{Drawing, Point, bounds};
use crate::shape::Shape;

/// Strokes that are described one by one; of more only the number is said.
const MOST: usize = 12;
/// Parts of the surface below which a stroke is small, and above which it is large.
const SMALL: f32 = 0.15;
const LARGE: f32 = 0.5;

/// Says what is drawn, stroke by stroke in the order of drawing.
#[must_use]
pub fn describe(drawing: &Drawing) -> String {
    let strokes = &drawing.strokes;
    let said: Vec<String> =
        strokes.iter().take(MOST).map(|stroke| describe_stroke(drawing, stroke)).collect();
    let (count, plural) = (strokes.len(), if strokes.len() == 1 { "" } else { "s" });
    let rest = if count > MOST { format!("; and {} more", count - MOST) } else { String::new() };
    format!("A sketch of {count} stroke{plural}: {}{rest}.", said.join("; "))
}

fn describe_stroke(drawing: &Drawing, stroke: &[Point]) -> String {
    let (low, size) = bounds(stroke);
    let middle = Point { x: low.x + size.x / 2.0, y: low.y + size.y / 2.0 };
    let shape = Shape::of(stroke);
    if shape == Shape::Line {
        let ends = [stroke[0], stroke[stroke.len() - 1]].map(|end| place(drawing, end));
        return format!("a line from {} to {}", ends[0], ends[1]);
    }
    let how_large = match size.x.max(size.y) {
        _ if shape == Shape::Dot => "",
        extent if extent < SMALL => "small ",
        extent if extent > LARGE => "large ",
        _ => "",
    };
    let article = if how_large.is_empty() && name(shape).starts_with('o') { "an" } else { "a" };
    format!("{article} {how_large}{} at {}", name(shape), place(drawing, middle))
}

fn name(shape: Shape) -> &'static str {
    match shape {
        Shape::Dot => "dot",
        Shape::Line => "line",
        Shape::Curve => "curve",
        Shape::Round { even: true } => "circle",
        Shape::Round { even: false } => "oval",
        Shape::Triangle => "triangle",
        Shape::Rectangle { even: true } => "square",
        Shape::Rectangle { even: false } => "rectangle",
        Shape::Loop => "closed shape",
    }
}

/// Which of nine parts of the surface a point is in.
fn place(drawing: &Drawing, point: Point) -> &'static str {
    const PLACES: [[&str; 3]; 3] = [
        ["the top left", "the top", "the top right"],
        ["the left", "the middle", "the right"],
        ["the bottom left", "the bottom", "the bottom right"],
    ];
    let third = |value: f32, whole: f32| match value / whole {
        part if part < 1.0 / 3.0 => 0,
        part if part > 2.0 / 3.0 => 2,
        _ => 1,
    };
    PLACES[third(point.y, drawing.height)][third(point.x, drawing.width)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_described() {
        let drawing = Drawing::parse(include_str!("../drawing.json")).unwrap();
        let words =
            "A sketch of 2 strokes: a triangle at the middle; a line from the top left to the top right.";
        assert_eq!(describe(&drawing), words);
    }

    #[test]
    fn many_strokes_are_counted() {
        let dot = vec![Point { x: 0.9, y: 0.9 }];
        let drawing = Drawing { width: 1.0, height: 1.0, strokes: vec![dot; 15] };
        let words = describe(&drawing);
        assert!(words.starts_with("A sketch of 15 strokes: a dot at the bottom right; "), "{words}");
        assert!(words.ends_with("; and 3 more."), "{words}");
    }
}
