//! What a drawing surface gives: strokes as points.

use serde::Serialize;

/// MIME type of [`Drawing`] as JSON.
pub const MIME: &str = "application/x-jnana-strokes+json";

/// One point of a stroke.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Pixels from the left.
    pub x: f32,
    /// Pixels from the top.
    pub y: f32,
    /// Milliseconds since the first point of the drawing.
    pub t: f32,
}

/// Strokes on a surface, in the order they were made.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Drawing {
    /// Width of the surface in pixels.
    pub width: u32,
    /// Height of the surface in pixels.
    pub height: u32,
    /// Each stroke from pen down to pen up.
    pub strokes: Vec<Vec<Point>>,
}

impl Drawing {
    /// Puts the pen down.
    pub fn begin(&mut self, point: Point) {
        self.strokes.push(vec![point]);
    }

    /// Moves the pen; without a stroke nothing happens. Points closer than half a pixel are left out.
    pub fn extend(&mut self, point: Point) {
        if let Some(stroke) = self.strokes.last_mut() {
            let moved = stroke.last().is_none_or(|last| (last.x - point.x).hypot(last.y - point.y) >= 0.5);
            if moved {
                stroke.push(point);
            }
        }
    }

    /// Takes the last stroke back.
    pub fn undo(&mut self) {
        self.strokes.pop();
    }

    /// The drawing as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(x: f32, t: f32) -> Point {
        Point { x, y: 1.0, t }
    }

    #[test]
    fn strokes_become_json() {
        let mut drawing = Drawing { width: 4, height: 2, ..Drawing::default() };
        drawing.extend(point(9.0, 0.0));
        drawing.begin(point(0.0, 0.0));
        drawing.extend(point(0.1, 5.0));
        drawing.extend(point(2.0, 9.0));
        let json: serde_json::Value = serde_json::from_str(&drawing.to_json()).unwrap();
        assert_eq!(json["width"], 4);
        assert_eq!(json["strokes"].as_array().unwrap().len(), 1);
        assert_eq!(json["strokes"][0].as_array().unwrap().len(), 2);
        assert_eq!(json["strokes"][0][1]["t"], 9.0);
    }

    #[test]
    fn undo_takes_the_last_stroke() {
        let mut drawing = Drawing::default();
        drawing.begin(point(0.0, 0.0));
        drawing.begin(point(1.0, 0.0));
        drawing.undo();
        assert_eq!(drawing.strokes.len(), 1);
    }
}
