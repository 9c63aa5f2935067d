//! Whoever watches a run: a person before a terminal, a program that reads events, curves for later.

use std::io::Write;
use std::path::Path;

use crate::train::events::{Event, EventLog, StepReport};
use crate::train::progress::Progress;
use crate::train::tensorboard::TensorBoard;
use crate::{Error, Result};

/// Tells what happens to all of them.
pub struct Watch {
    log: EventLog,
    curves: TensorBoard,
    progress: Option<Progress>,
    /// Somebody reads events from standard output.
    listened: bool,
}

impl Watch {
    /// Opens the files of a run's `folder`. With `json` events go to standard output, one a line, in place of a bar.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn open(folder: &Path, json: bool, steps: u64, done: u64) -> Result<Self> {
        let log = EventLog::open(&folder.join("events.jsonl"))?;
        let curves = TensorBoard::create(&folder.join("tensorboard"))?;
        Ok(Self { log, curves, progress: (!json).then(|| Progress::new(steps, done)), listened: json })
    }

    /// A step was done.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn step(&mut self, report: StepReport) -> Result<()> {
        if let Some(progress) = &mut self.progress {
            progress.step(&report);
        }
        let curves = [
            ("train/loss", report.loss),
            ("train/rate", report.rate),
            ("train/gradient_norm", report.gradient_norm),
            ("train/positions_per_second", report.positions_per_second),
        ];
        self.curves.scalars(report.step, &curves)?;
        self.tell(Event::Step(report))
    }

    /// Something else happened.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn event(&mut self, event: Event) -> Result<()> {
        if let Event::Evaluation { step, metrics } = &event {
            let named: Vec<_> =
                metrics.iter().map(|(name, value)| (format!("held_out/{name}"), *value)).collect();
            let curves: Vec<_> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            self.curves.scalars(*step, &curves)?;
        }
        if let (Some(progress), Some(line)) = (&self.progress, line(&event)) {
            progress.say(&line);
        }
        self.tell(event)
    }

    fn tell(&mut self, event: Event) -> Result<()> {
        if self.listened {
            let text = serde_json::to_string(&event).map_err(Error::json(Path::new("event")))?;
            // Who read the events may go away; the run goes on, and its file has them all.
            self.listened = writeln!(std::io::stdout(), "{text}").is_ok();
        }
        self.log.write(event)
    }
}

/// What a person is told of an event; nothing of what a bar shows anyway.
fn line(event: &Event) -> Option<String> {
    match event {
        Event::Evaluation { step, metrics } => {
            let values: Vec<String> =
                metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
            Some(format!("step {step}: held out {}", values.join(", ")))
        }
        Event::Checkpoint { step, folder, best } => {
            let best = if *best { ", the best so far" } else { "" };
            Some(format!("step {step}: checkpoint in {}{best}", folder.display()))
        }
        Event::Warning { message } => Some(format!("warning: {message}")),
        _ => None,
    }
}
