//! Strokes as the page's canvas sends them: JSON with the size of the surface and the points of each stroke in pixels.

use jnana_plugin_sdk::Error;
use serde::Deserialize;

/// MIME type of a drawing.
pub const MIME: &str = "application/x-jnana-strokes+json";

const MAX_SIDE: f32 = 16_384.0;
const MAX_POINTS: usize = 200_000;

#[derive(Deserialize)]
struct Surface {
    width: f32,
    height: f32,
    strokes: Vec<Vec<Point>>,
}

/// A place on the surface; its unit is the surface's longer side, so that proportions stay.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Point {
    /// From the left.
    pub x: f32,
    /// From the top.
    pub y: f32,
}

impl Point {
    /// Distance to another point.
    #[must_use]
    pub fn to(self, other: Self) -> f32 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

/// What was drawn: at least one stroke, each of at least one point.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// Width of the surface; 1 for the longer side.
    pub width: f32,
    /// Height of the surface; 1 for the longer side.
    pub height: f32,
    /// Each stroke from pen down to pen up.
    pub strokes: Vec<Vec<Point>>,
}

impl Drawing {
    /// Reads a drawing.
    ///
    /// # Errors
    /// Names what is missing or out of range.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let surface: Surface =
            serde_json::from_str(text).map_err(|error| Error::invalid(format!("no drawing: {error}")))?;
        let Surface { width, height, strokes } = surface;
        if !(1.0..=MAX_SIDE).contains(&width) || !(1.0..=MAX_SIDE).contains(&height) {
            let words =
                format!("expected a surface of 1 to {MAX_SIDE} pixels a side, got {width} × {height}");
            return Err(Error::invalid(words));
        }
        let points: usize = strokes.iter().map(Vec::len).sum();
        if points > MAX_POINTS {
            let words = format!("the drawing has {points} points, at most {MAX_POINTS} are taken");
            return Err(Error::invalid(words));
        }
        let unit = width.max(height);
        // The pen may leave the surface, where nothing is seen.
        let place = |point: &Point| Point {
            x: point.x.clamp(0.0, width) / unit,
            y: point.y.clamp(0.0, height) / unit,
        };
        let seen = |stroke: &Vec<Point>| stroke.iter().map(place).collect::<Vec<_>>();
        let strokes: Vec<_> = strokes.iter().filter(|stroke| !stroke.is_empty()).map(seen).collect();
        if strokes.is_empty() {
            return Err(Error::invalid("nothing is drawn yet"));
        }
        Ok(Self { width: width / unit, height: height / unit, strokes })
    }
}

/// The smallest upright rectangle around points: its corner nearest to the origin, and its size.
#[must_use]
pub fn bounds(points: &[Point]) -> (Point, Point) {
    let (mut low, mut high) = (Point { x: f32::MAX, y: f32::MAX }, Point { x: f32::MIN, y: f32::MIN });
    for point in points {
        low = Point { x: low.x.min(point.x), y: low.y.min(point.y) };
        high = Point { x: high.x.max(point.x), y: high.y.max(point.y) };
    }
    (low, Point { x: high.x - low.x, y: high.y - low.y })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_is_measured_by_its_longer_side() {
        let text = r#"{"width": 640, "height": 320, "strokes": [[{"x": 640, "y": 0, "t": 1}, {"x": 700, "y": 320}], []]}"#;
        let drawing = Drawing::parse(text).unwrap();
        assert_eq!((drawing.width, drawing.height, drawing.strokes.len()), (1.0, 0.5, 1));
        assert_eq!(drawing.strokes[0], [Point { x: 1.0, y: 0.0 }, Point { x: 1.0, y: 0.5 }]);
    }

    #[test]
    fn what_is_no_drawing_is_named() {
        for (text, word) in [
            ("", "no drawing"),
            (r#"{"width": 0, "height": 9, "strokes": []}"#, "1 to 16384"),
            (r#"{"width": 9, "height": 9, "strokes": [[]]}"#, "nothing"),
            (r#"{"width": 9, "height": 9, "strokes": [[{"x": 1}]]}"#, "y"),
        ] {
            let words = Drawing::parse(text).unwrap_err().message;
            assert!(words.contains(word), "{text}: {words}");
        }
    }
}
