//! What a stroke looks like.
//!
//! A stroke is first brought to evenly spaced points, so that a slow hand and a fast one draw the same, then to its corners
//! (the algorithm of Douglas and Peucker). A closed one with few corners is a polygon, a round one a circle.

use crate::drawing::{Point, bounds};

/// Points of a stroke after it was evened out.
const POINTS: usize = 64;
/// What is smaller than this part of the surface is a dot.
const DOT: f32 = 0.015;
/// How far from its chord a line may bend, by its length.
const LINE: f32 = 0.08;
/// How large the gap between start and end of a closed stroke may be, by its length.
const GAP: f32 = 0.12;
/// How far a stroke may leave the straight way between two corners, by its size.
const CORNER: f32 = 0.07;
/// Cosine of the turn below which a point is no corner: 30°.
const STRAIGHT: f32 = 0.87;
/// Spread of the distances from the middle up to which a closed stroke is round.
const ROUND: f32 = 0.13;
/// Ratio of width and height up to which a shape is as wide as high.
const EVEN: f32 = 1.35;

/// What a stroke looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A point.
    Dot,
    /// Straight.
    Line,
    /// Open and bent.
    Curve,
    /// Closed and round; as wide as high or not.
    Round {
        /// As wide as high.
        even: bool,
    },
    /// Closed, with three corners.
    Triangle,
    /// Closed, with four corners; as wide as high or not.
    Rectangle {
        /// As wide as high.
        even: bool,
    },
    /// Closed, anything else.
    Loop,
}

impl Shape {
    /// Recognises a stroke of at least one point.
    #[must_use]
    pub fn of(stroke: &[Point]) -> Self {
        let (_, size) = bounds(stroke);
        let extent = size.x.hypot(size.y);
        if extent < DOT {
            return Self::Dot;
        }
        let points = evened(stroke);
        let length = length(&points);
        let (first, last) = (points[0], points[points.len() - 1]);
        if first.to(last) > GAP * length {
            let bend = points.iter().map(|point| distance(*point, first, last)).fold(0.0, f32::max);
            return if bend < LINE * length { Self::Line } else { Self::Curve };
        }
        let even = size.x.max(size.y) < EVEN * size.x.min(size.y);
        match corners(&points, CORNER * extent).len() {
            3 => Self::Triangle,
            4 => Self::Rectangle { even },
            _ if is_round(&points) => Self::Round { even },
            _ => Self::Loop,
        }
    }
}

fn length(points: &[Point]) -> f32 {
    points.windows(2).map(|pair| pair[0].to(pair[1])).sum()
}

/// The same way in [`POINTS`] equal steps.
fn evened(stroke: &[Point]) -> Vec<Point> {
    let step = length(stroke) / (POINTS - 1) as f32;
    let mut points = vec![stroke[0]];
    let mut due = step;
    for pair in stroke.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        let mut left = from.to(to);
        while left >= due && points.len() < POINTS - 1 {
            let part = due / left;
            from = Point { x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part };
            points.push(from);
            left -= due;
            due = step;
        }
        due -= left;
    }
    points.push(stroke[stroke.len() - 1]);
    points
}

/// Distance of a point from the straight way between two others.
fn distance(point: Point, from: Point, to: Point) -> f32 {
    let (x, y) = (to.x - from.x, to.y - from.y);
    let square = x * x + y * y;
    let along = if square > 0.0 {
        (((point.x - from.x) * x + (point.y - from.y) * y) / square).clamp(0.0, 1.0)
    } else {
        0.0
    };
    point.to(Point { x: from.x + along * x, y: from.y + along * y })
}

/// The corners of a closed stroke.
fn corners(points: &[Point], tolerance: f32) -> Vec<Point> {
    let mut kept = vec![false; points.len()];
    kept[0] = true;
    let mut spans = vec![(0, points.len() - 1)];
    while let Some((from, to)) = spans.pop() {
        let off = |at: &usize| distance(points[*at], points[from], points[to]);
        let farthest = (from + 1..to).max_by(|one, other| off(one).total_cmp(&off(other)));
        if let Some(at) = farthest.filter(|at| off(at) > tolerance) {
            kept[at] = true;
            spans.extend([(from, at), (at, to)]);
        }
    }
    let mut corners: Vec<Point> =
        points.iter().zip(kept).filter_map(|(point, kept)| kept.then_some(*point)).collect();
    // Where the pen came down is a corner only if the stroke turns there.
    let count = corners.len();
    if count > 2 && turn(corners[count - 1], corners[0], corners[1]) > STRAIGHT {
        corners.remove(0);
    }
    corners
}

/// Cosine of the turn at a point; 1 for straight on.
fn turn(before: Point, at: Point, after: Point) -> f32 {
    let (ax, ay, bx, by) = (at.x - before.x, at.y - before.y, after.x - at.x, after.y - at.y);
    (ax * bx + ay * by) / (ax.hypot(ay) * bx.hypot(by)).max(f32::MIN_POSITIVE)
}

/// Whether all points are about as far from the middle, once the stroke is made as wide as high.
fn is_round(points: &[Point]) -> bool {
    let (low, size) = bounds(points);
    if size.x <= 0.0 || size.y <= 0.0 {
        return false;
    }
    let radius = |point: &Point| ((point.x - low.x) / size.x - 0.5).hypot((point.y - low.y) / size.y - 0.5);
    let count = points.len() as f32;
    let mean = points.iter().map(radius).sum::<f32>() / count;
    let spread = (points.iter().map(|point| (radius(point) - mean).powi(2)).sum::<f32>() / count).sqrt();
    spread < ROUND * mean
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    fn path(points: &[(f32, f32)]) -> Vec<Point> {
        points.iter().map(|(x, y)| Point { x: *x, y: *y }).collect()
    }

    /// A closed curve whose radius trembles as a hand does.
    fn ring(width: f32, height: f32) -> Vec<Point> {
        let at = |step: u8| {
            let (angle, radius) = (f32::from(step) / 40.0 * TAU, 1.0 + 0.03 * (f32::from(step) * 1.7).sin());
            Point { x: 0.5 + width * radius * angle.cos(), y: 0.5 + height * radius * angle.sin() }
        };
        (0..=39).map(at).collect()
    }

    #[test]
    fn shapes_are_told_apart() {
        let cases = [
            (path(&[(0.5, 0.5)]), Shape::Dot),
            (path(&[(0.1, 0.1), (0.5, 0.32), (0.9, 0.5)]), Shape::Line),
            (path(&[(0.1, 0.1), (0.5, 0.6), (0.9, 0.1)]), Shape::Curve),
            (ring(0.2, 0.2), Shape::Round { even: true }),
            (ring(0.4, 0.15), Shape::Round { even: false }),
            (path(&[(0.2, 0.8), (0.8, 0.8), (0.5, 0.2), (0.22, 0.78)]), Shape::Triangle),
            (
                path(&[(0.2, 0.2), (0.6, 0.21), (0.6, 0.6), (0.2, 0.59), (0.2, 0.22)]),
                Shape::Rectangle { even: true },
            ),
            (
                path(&[(0.5, 0.2), (0.9, 0.2), (0.9, 0.4), (0.1, 0.4), (0.1, 0.2), (0.49, 0.2)]),
                Shape::Rectangle { even: false },
            ),
        ];
        for (stroke, expected) in cases {
            assert_eq!(Shape::of(&stroke), expected, "{stroke:?}");
        }
    }

    #[test]
    fn a_stroke_is_evened_out_whatever_its_points_are() {
        for stroke in
            [path(&[(0.0, 0.0), (0.0, 0.0), (1.0, 0.0)]), path(&[(0.0, 0.0), (0.9, 0.0), (1.0, 0.0)])]
        {
            let points = evened(&stroke);
            assert_eq!(points.len(), POINTS);
            assert!(
                points.windows(2).all(|pair| (pair[0].to(pair[1]) - 1.0 / 63.0).abs() < 1e-3),
                "{points:?}"
            );
        }
    }
}
