//! Curves on a plane of pixels: what a chart draws.

/// A value over a step.
pub type Point = (f64, f64);

/// Pixels of a chart around the plane: left for the values, below for the steps.
const MARGINS: Margins = Margins { left: 58.0, right: 14.0, top: 12.0, bottom: 28.0 };
/// Pixels between two marks on an axis, at least about.
const MARK_GAP: (f64, f64) = (80.0, 44.0);

struct Margins {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

/// A mark on an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Where, in pixels.
    pub at: f64,
    /// What it stands for.
    pub label: String,
}

/// What a chart draws, in pixels from its upper left corner.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// The plane: left, top, right, bottom.
    pub plane: [f64; 4],
    /// Marks of the steps, from left to right.
    pub x: Vec<Mark>,
    /// Marks of the values, from the bottom up.
    pub y: Vec<Mark>,
    /// The points of each curve, thinned; none for a curve without points.
    pub lines: Vec<Vec<Point>>,
}

/// Lays curves into a chart of this size in pixels; none when they have no point. Points are in the order of their steps.
#[must_use]
pub fn plot(curves: &[&[Point]], width: f64, height: f64) -> Option<Plot> {
    let plane =
        [MARGINS.left, MARGINS.top, (width - MARGINS.right).max(MARGINS.left + 1.0), height - MARGINS.bottom];
    let [left, top, right, bottom] = plane;
    let x = Axis::over(all(curves, |point| point.0), left, right, MARK_GAP.0, 1.0)?;
    let y = Axis::over(all(curves, |point| point.1), bottom, top, MARK_GAP.1, 0.0)?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a screen's width
    let columns = (right - left) as usize;
    let lines = curves.iter().map(|points| {
        thin(points, columns).into_iter().map(|point| (x.pixel(point.0), y.pixel(point.1))).collect()
    });
    Some(Plot { plane, lines: lines.collect(), x: x.marks(), y: y.marks() })
}

fn all<'a>(
    curves: &'a [&[Point]],
    of: impl Fn(&Point) -> f64 + Copy + 'a,
) -> impl Iterator<Item = f64> + Clone + 'a {
    curves.iter().flat_map(move |points| points.iter().map(of))
}

/// Values laid along pixels, with round ends.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// None without a value. Two marks are `least` apart at least.
    fn over(
        values: impl Iterator<Item = f64> + Clone,
        from: f64,
        to: f64,
        gap: f64,
        least: f64,
    ) -> Option<Self> {
        let low = values.clone().reduce(f64::min)?;
        let high = values.reduce(f64::max)?;
        // A single value gets some room around it.
        let room = if high > low { 0.0 } else { (low.abs() / 10.0).max(least / 2.0).max(f64::MIN_POSITIVE) };
        let (low, high) = (low - room, high + room);
        let step = round_step((high - low) * gap / (to - from).abs().max(gap)).max(least);
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        Some(Self { low, high, step, from, to })
    }

    fn pixel(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    fn marks(&self) -> Vec<Mark> {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // as many as fit on a screen
        let count = ((self.high - self.low) / self.step).round() as u32;
        let values = (0..=count).map(|index| self.low + f64::from(index) * self.step);
        // What rounding leaves of a zero is none.
        let values = values.map(|value| if value.abs() < self.step / 1e6 { 0.0 } else { value });
        values.map(|value| Mark { at: self.pixel(value), label: number(value) }).collect()
    }
}

/// The least of 1, 2 and 5 times a power of ten that is not less than `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let round = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    round.unwrap_or(10.0) * power
}

/// At most two points for each of so many columns: its lowest and its highest, so that no peak is lost.
#[must_use]
pub fn thin(points: &[Point], columns: usize) -> Vec<Point> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    if points.len() <= columns.saturating_mul(2) {
        return points.to_vec();
    }
    #[allow(clippy::cast_precision_loss)] // a screen's width
    let scale = columns as f64 / (last.0 - first.0).max(f64::MIN_POSITIVE);
    let column = |point: &Point| ((point.0 - first.0) * scale).floor();
    points.chunk_by(|a, b| column(a).total_cmp(&column(b)).is_eq()).flat_map(extremes).collect()
}

/// The lowest and the highest point in the order of their steps; once where they are the same.
fn extremes(points: &[Point]) -> impl Iterator<Item = Point> {
    let low = points.iter().min_by(|a, b| a.1.total_cmp(&b.1)).copied();
    let high = points.iter().max_by(|a, b| a.1.total_cmp(&b.1)).copied();
    let (first, second) = if low <= high { (low, high) } else { (high, low) };
    first.into_iter().chain(second.filter(|_| first != second))
}

/// A number in a few characters: `0.482`, `3e-4`, `12k`, `1.5G`.
#[must_use]
pub fn number(value: f64) -> String {
    let size = value.abs();
    let short = |value: f64, unit: &str| format!("{}{unit}", trimmed(format!("{value:.2}")));
    match size {
        0.0 => "0".to_owned(),
        1e9.. => short(value / 1e9, "G"),
        1e6.. => short(value / 1e6, "M"),
        1e4.. => short(value / 1e3, "k"),
        1e3.. => trimmed(format!("{value:.1}")),
        1e2.. => trimmed(format!("{value:.2}")),
        1e-2.. => trimmed(format!("{value:.3}")),
        _ => scientific(value),
    }
}

fn scientific(value: f64) -> String {
    let text = format!("{value:.2e}");
    match text.split_once('e') {
        Some((digits, power)) => format!("{}e{power}", trimmed(digits.to_owned())),
        None => text,
    }
}

/// Without zeros at the end of a fraction.
fn trimmed(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The last value at or before a step.
#[must_use]
pub fn value_at(points: &[Point], step: f64) -> Option<f64> {
    let after = points.partition_point(|point| point.0 <= step);
    after.checked_sub(1).map(|index| points[index].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn falling(steps: u32) -> Vec<Point> {
        (1..=steps).map(|step| (f64::from(step), 5.0 / f64::from(step))).collect()
    }

    #[test]
    fn a_curve_lies_within_the_plane_and_falls_on_it() {
        let points = falling(60);
        let plot = plot(&[&points], 640.0, 260.0).unwrap();
        let [left, top, right, bottom] = plot.plane;
        for (x, y) in &plot.lines[0] {
            assert!((left..=right).contains(x) && (top..=bottom).contains(y), "{x} {y}");
        }
        // Pixels count downwards: a loss that falls goes down.
        assert!(plot.lines[0].windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
    }

    #[test]
    fn marks_are_round_and_on_the_axes() {
        let points = falling(60);
        let plot = plot(&[&points], 640.0, 260.0).unwrap();
        let labels = |marks: &[Mark]| marks.iter().map(|mark| mark.label.clone()).collect::<Vec<_>>();
        assert_eq!(labels(&plot.x), ["0", "10", "20", "30", "40", "50", "60"]);
        assert_eq!(labels(&plot.y), ["0", "1", "2", "3", "4", "5"]);
        assert!((plot.x[0].at - plot.plane[0]).abs() < 1e-9 && (plot.x[6].at - plot.plane[2]).abs() < 1e-9);
        assert!((plot.y[0].at - plot.plane[3]).abs() < 1e-9 && (plot.y[5].at - plot.plane[1]).abs() < 1e-9);
    }

    #[test]
    fn a_narrow_chart_has_fewer_marks() {
        let points = falling(60);
        let marks = |width| plot(&[&points], width, 260.0).unwrap().x.len();
        assert!(marks(280.0) < marks(640.0));
        assert!(plot(&[&points], 0.0, 260.0).is_some());
    }

    #[test]
    fn a_single_point_and_a_flat_curve_are_drawn() {
        for points in [vec![(1.0, 0.0)], vec![(1.0, 2.5), (2.0, 2.5)], vec![(3.0, 1e-12)]] {
            let plot = plot(&[&points], 640.0, 260.0).unwrap();
            assert_eq!(plot.lines[0].len(), points.len());
            assert!(plot.lines[0].iter().all(|(x, y)| x.is_finite() && y.is_finite()), "{plot:?}");
        }
        assert_eq!(plot(&[&[], &[]], 640.0, 260.0), None);
    }

    #[test]
    fn curves_share_their_axes() {
        let (low, high) = ([(10.0, 1.0)], [(20.0, 4.0)]);
        let plot = plot(&[&low, &high], 640.0, 260.0).unwrap();
        assert!(plot.lines[0][0].0 < plot.lines[1][0].0 && plot.lines[0][0].1 > plot.lines[1][0].1);
    }

    #[test]
    fn thinning_keeps_peaks_and_order() {
        let mut points: Vec<Point> = (0..10_000).map(|step| (f64::from(step), 1.0)).collect();
        points[4_321].1 = 9.0;
        points[4_322].1 = -9.0;
        let thinned = thin(&points, 100);
        assert!(thinned.len() <= 202, "{}", thinned.len());
        assert!(thinned.contains(&points[4_321]) && thinned.contains(&points[4_322]));
        assert!(thinned.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(thin(&points[..150], 100), &points[..150]);
        assert!(thin(&[], 100).is_empty());
    }

    #[test]
    fn numbers_are_short() {
        let shown =
            [0.0, 2.5, 0.4821, 12.0, 1_500.0, 12_000.0, 2_560_000.0, 1.5e9, 3e-4, -0.25, 1e-2].map(number);
        assert_eq!(
            shown,
            ["0", "2.5", "0.482", "12", "1500", "12k", "2.56M", "1.5G", "3e-4", "-0.25", "0.01"]
        );
    }

    #[test]
    fn the_value_at_a_step_is_the_last_one_before_it() {
        let points = [(10.0, 3.0), (20.0, 2.0)];
        assert_eq!(
            [5.0, 10.0, 19.0, 99.0].map(|step| value_at(&points, step)),
            [None, Some(3.0), Some(3.0), Some(2.0)]
        );
    }
}
