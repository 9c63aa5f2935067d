//! A drawing as numbers: what a projector is trained on.
//!
//! The drawing is brought to a square, 32 × 32 cells of ink, whatever its place and size. It is cut into 4 × 4 positions. Each
//! has its 8 × 8 cells, and how its ink is spread over eight directions, which tells strokes that cross from ones that touch.

use std::f32::consts::PI;

use crate::drawing::{Drawing, Point, bounds};

/// Positions along a side.
const POSITIONS: usize = 4;
/// Cells of a position along a side.
const CELLS: usize = 8;
/// Directions, without telling forth from back.
const DIRECTIONS: usize = 8;
/// Cells of the square along a side.
const SIDE: usize = POSITIONS * CELLS;
/// Numbers of a position.
pub const WIDTH: usize = CELLS * CELLS + DIRECTIONS;
/// Part of the square that stays free around the drawing.
const MARGIN: f32 = 0.05;
/// Steps of the pen over a cell.
const STEPS: f32 = 4.0;

/// `[16, WIDTH]`, row by row; every number is within 0..1.
#[must_use]
pub fn features(drawing: &Drawing) -> Vec<f32> {
    let mut rows = vec![0.0; POSITIONS * POSITIONS * WIDTH];
    let place = frame(drawing);
    for stroke in &drawing.strokes {
        // A stroke of a single point is a dot, which has no direction.
        ink(&mut rows, place(stroke[0]));
        for pair in stroke.windows(2) {
            draw(&mut rows, place(pair[0]), place(pair[1]));
        }
    }
    for row in rows.chunks_exact_mut(WIDTH) {
        let directions = &mut row[CELLS * CELLS..];
        let whole: f32 = directions.iter().sum();
        directions.iter_mut().for_each(|share| *share /= whole.max(f32::MIN_POSITIVE));
    }
    rows
}

/// From a place on the surface to cells of the square.
fn frame(drawing: &Drawing) -> impl Fn(Point) -> Point {
    let all: Vec<Point> = drawing.strokes.concat();
    let (low, size) = bounds(&all);
    let extent = size.x.max(size.y).max(f32::MIN_POSITIVE);
    let scale = SIDE as f32 * (1.0 - 2.0 * MARGIN) / extent;
    let middle = Point { x: low.x + size.x / 2.0, y: low.y + size.y / 2.0 };
    let half = SIDE as f32 / 2.0;
    move |point| Point { x: (point.x - middle.x) * scale + half, y: (point.y - middle.y) * scale + half }
}

/// Inks the cells of a straight way, and notes its direction at each step.
fn draw(rows: &mut [f32], from: Point, to: Point) {
    let length = from.to(to);
    if length <= 0.0 {
        return;
    }
    let turned = (to.y - from.y).atan2(to.x - from.x).rem_euclid(PI) / PI * DIRECTIONS as f32;
    let direction = turned.round() as usize % DIRECTIONS;
    let steps = (length * STEPS).ceil();
    for step in 0..=steps as usize {
        let part = step as f32 / steps;
        let row = ink(rows, Point { x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part });
        rows[row * WIDTH + CELLS * CELLS + direction] += length / steps;
    }
}

/// Inks the cell of a point; returns the position that it is in.
fn ink(rows: &mut [f32], at: Point) -> usize {
    // A cast takes what is below zero, or no number, for zero.
    let (x, y) = ((at.x as usize).min(SIDE - 1), (at.y as usize).min(SIDE - 1));
    let row = y / CELLS * POSITIONS + x / CELLS;
    rows[row * WIDTH + y % CELLS * CELLS + x % CELLS] = 1.0;
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(points: &[(f32, f32)]) -> Drawing {
        let stroke = points.iter().map(|(x, y)| Point { x: *x, y: *y }).collect();
        Drawing { width: 1.0, height: 1.0, strokes: vec![stroke] }
    }

    #[test]
    fn place_and_size_do_not_matter_but_direction_does() {
        let large = features(&drawing(&[(0.0, 0.0), (0.0, 1.0), (0.5, 1.0)]));
        let small = features(&drawing(&[(0.25, 0.5), (0.25, 0.75), (0.375, 0.75)]));
        assert_eq!(large.len(), 16 * WIDTH);
        assert_eq!(large, small);
        let turned = features(&drawing(&[(0.0, 0.0), (1.0, 0.0), (1.0, 0.5)]));
        assert_ne!(large, turned);
    }

    #[test]
    fn every_number_is_a_share() {
        for drawing in [drawing(&[(0.5, 0.5)]), drawing(&[(0.0, 0.0), (1.0, 0.3), (0.2, 0.9)])] {
            let all = features(&drawing);
            assert!(all.iter().all(|value| (0.0..=1.0).contains(value)));
            assert!(all.iter().any(|value| *value > 0.0));
        }
    }
}
