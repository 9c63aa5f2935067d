//! How a run is going, for whoever sits in front of it.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::events::StepReport;

const TEMPLATE: &str = "{bar:24} {pos}/{len}  {msg}  {eta} left";
/// Between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);
/// What a step leaves of the weight of those before it in the mean speed.
const MEMORY: f64 = 0.9;

/// A bar on a terminal; elsewhere a line every ten seconds.
#[derive(Debug)]
pub struct Progress {
    steps: u64,
    before: u64,
    started: Instant,
    bar: Option<ProgressBar>,
    said: Option<Instant>,
}

impl Progress {
    /// For a run of `steps` of which `done` are done.
    #[must_use]
    pub fn new(steps: u64, done: u64) -> Self {
        let bar = stderr().is_terminal().then(|| bar(steps, done));
        Self { steps, before: done, started: Instant::now(), bar, said: None }
    }

    /// Shows a step.
    pub fn step(&mut self, report: &StepReport) {
        if let Some(bar) = &self.bar {
            bar.set_message(description(report));
            bar.set_position(report.step);
        } else if self.said.is_none_or(|said| said.elapsed() >= EVERY) || report.step >= self.steps {
            self.said = Some(Instant::now());
            let left = left(
                self.started.elapsed(),
                report.step.saturating_sub(self.before),
                self.steps.saturating_sub(report.step),
            );
            print(&format!("step {}/{}  {}  {left} left", report.step, self.steps, description(report)));
        }
    }

    /// Shows a line between the steps.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => print(line),
        }
    }
}

/// How bars look.
pub(crate) fn style() -> ProgressStyle {
    ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn bar(steps: u64, done: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps).with_style(style()).with_position(done);
    bar.reset_eta();
    bar
}

fn print(line: &str) {
    // Nobody listens: no reason to end a run.
    let _ = writeln!(stderr(), "{line}");
}

fn description(report: &StepReport) -> String {
    let StepReport { loss, rate, gradient_norm, positions_per_second, memory, .. } = report;
    let memory =
        memory.map_or_else(String::new, |bytes| format!("  {:.1} GiB", bytes as f64 / f64::from(1 << 30)));
    format!(
        "loss {loss:.4}  rate {rate:.2e}  norm {gradient_norm:.3}  {positions_per_second:.0} positions/s{memory}"
    )
}

/// How long `remaining` steps take when `done` took `elapsed`.
fn left(elapsed: Duration, done: u64, remaining: u64) -> String {
    let seconds = elapsed.as_secs_f64() / done.max(1) as f64 * remaining as f64;
    humantime::format_duration(Duration::from_secs(seconds as u64)).to_string()
}

/// Positions a second, as a mean that forgets.
#[derive(Debug)]
pub struct Meter {
    last: Instant,
    positions: f64,
    seconds: f64,
}

impl Meter {
    /// Starts the clock.
    #[must_use]
    pub fn start() -> Self {
        Self { last: Instant::now(), positions: 0.0, seconds: 0.0 }
    }

    /// So many positions were done since the last call; returns how many a second.
    pub fn add(&mut self, positions: usize) -> f64 {
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        self.mean(positions, seconds)
    }

    fn mean(&mut self, positions: usize, seconds: f64) -> f64 {
        self.positions = self.positions * MEMORY + positions as f64;
        self.seconds = self.seconds * MEMORY + seconds;
        self.positions / self.seconds.max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_described_in_a_line() {
        let report = StepReport {
            loss: 2.34567,
            rate: 4e-4,
            gradient_norm: 1.5,
            positions_per_second: 1234.5,
            memory: Some(3 << 29),
            ..StepReport::default()
        };
        let line = "loss 2.3457  rate 4.00e-4  norm 1.500  1234 positions/s  1.5 GiB";
        assert_eq!(description(&report), line);
    }

    #[test]
    fn what_is_left_follows_from_what_was_done() {
        assert_eq!(left(Duration::from_secs(60), 30, 1800), "1h");
        assert_eq!(left(Duration::from_secs(60), 0, 2), "2m");
    }

    #[test]
    fn the_speed_is_a_mean_by_time() {
        let mut meter = Meter::start();
        assert_eq!(meter.mean(100, 1.0), 100.0);
        assert!((meter.mean(1000, 1.0) - (90.0 + 1000.0) / 1.9).abs() < 1e-9);
        for _ in 0..200 {
            meter.mean(50, 0.1);
        }
        assert!((meter.mean(50, 0.1) - 500.0).abs() < 1e-6);
    }
}
