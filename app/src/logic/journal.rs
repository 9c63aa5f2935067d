//! What the events of a job come to: curves, checkpoints, remarks.

use std::collections::BTreeMap;

use jnana_api::jobs::{JobEvent, JobState, NumberedEvent, Series};

use super::plot::Point;

/// Most remarks that are kept; the log has all of them.
const MOST_REMARKS: usize = 20;

/// A value over the steps: on what is learned from, and on what was held out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// By step of the work.
    pub train: Vec<Point>,
    /// By step at which it was measured.
    pub held_out: Vec<Point>,
}

impl Measured {
    /// The newest value of what is learned from, or else of what was held out.
    #[must_use]
    pub fn last(&self) -> Option<f64> {
        self.train.last().or(self.held_out.last()).map(|point| point.1)
    }
}

/// Something to go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Steps done.
    pub step: u64,
    /// Where it is.
    pub folder: String,
    /// Whether no earlier one measured better.
    pub best: bool,
}

/// A job as its events tell it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Journal {
    /// Number of the last event.
    pub after: u64,
    /// Steps done.
    pub step: u64,
    /// Steps to do in all.
    pub steps: u64,
    /// Steps that were done before the process was started last.
    pub began: u64,
    /// Where the job stands, once it has said so.
    pub state: Option<JobState>,
    /// Values by name.
    pub curves: BTreeMap<String, Measured>,
    /// In the order of their steps.
    pub checkpoints: Vec<Checkpoint>,
    /// Warnings and notes, the newest last.
    pub remarks: Vec<String>,
}

impl Journal {
    /// Takes an event; one that is known already changes nothing.
    pub fn take(&mut self, NumberedEvent { seq, event }: NumberedEvent) {
        if seq <= self.after {
            return;
        }
        self.after = seq;
        match event {
            JobEvent::State { state, .. } => self.state = Some(state),
            JobEvent::Start { step, steps } => self.start(step, steps),
            JobEvent::Step(done) => {
                self.step = done.step;
                self.measure(done.step, done.values, |curve| &mut curve.train);
            }
            JobEvent::Evaluation { step, metrics } => {
                self.measure(step, metrics, |curve| &mut curve.held_out);
            }
            JobEvent::Checkpoint { step, folder, best } => {
                self.checkpoints.push(Checkpoint { step, folder, best });
            }
            JobEvent::Warning { message } | JobEvent::Note { message } => self.remark(message),
            JobEvent::End { message, .. } => message.into_iter().for_each(|message| self.remark(message)),
            JobEvent::Unknown => {}
        }
    }

    /// What was done after `step` is done again.
    fn start(&mut self, step: u64, steps: u64) {
        (self.step, self.steps, self.began) = (step, steps, step);
        let last = position(step);
        for curve in self.curves.values_mut() {
            curve.train.retain(|point| point.0 <= last);
            curve.held_out.retain(|point| point.0 <= last);
        }
        self.checkpoints.retain(|checkpoint| checkpoint.step <= step);
    }

    fn measure(
        &mut self,
        step: u64,
        values: BTreeMap<String, Option<f64>>,
        place: impl Fn(&mut Measured) -> &mut Vec<Point>,
    ) {
        let finite = values.into_iter().filter_map(|(name, value)| Some((name, value?)));
        for (name, value) in finite.filter(|(_, value)| value.is_finite()) {
            place(self.curves.entry(name).or_default()).push((position(step), value));
        }
    }

    fn remark(&mut self, message: String) {
        self.remarks.push(message);
        let surplus = self.remarks.len().saturating_sub(MOST_REMARKS);
        self.remarks.drain(..surplus);
    }

    /// What to draw: of the offered series those with values, the first one in any case; then what was measured besides on
    /// held-out data.
    #[must_use]
    pub fn series(&self, offered: &[Series]) -> Vec<Series> {
        let has_values =
            |(index, series): &(usize, &Series)| *index == 0 || self.curves.contains_key(&series.key);
        let of_kind = offered.iter().enumerate().filter(has_values).map(|(_, series)| series.clone());
        let is_offered = |key: &str| offered.iter().any(|series| series.key == key);
        let measured =
            self.curves.iter().filter(|(key, curve)| !curve.held_out.is_empty() && !is_offered(key));
        let more =
            measured.map(|(key, _)| Series { key: key.clone(), label: key.clone(), unit: String::new() });
        of_kind.chain(more).collect()
    }

    /// Milliseconds until the last step, if the steps to come take what those of this process took in `elapsed`
    /// milliseconds; none before its first step.
    #[must_use]
    pub fn left(&self, elapsed: u64) -> Option<u64> {
        let done = self.step.checked_sub(self.began).filter(|done| *done > 0)?;
        let rest = self.steps.checked_sub(self.step).filter(|rest| *rest > 0)?;
        let left = u128::from(elapsed) * u128::from(rest) / u128::from(done);
        u64::try_from(left).ok()
    }
}

/// A step on an axis.
#[allow(clippy::cast_precision_loss)] // steps are far below 2^52
fn position(step: u64) -> f64 {
    step as f64
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn journal(events: &[Value]) -> Journal {
        let mut journal = Journal::default();
        for (seq, event) in (1..).zip(events) {
            journal.take(NumberedEvent { seq, event: serde_json::from_value(event.clone()).unwrap() });
        }
        journal
    }

    #[test]
    fn steps_and_measurements_become_curves() {
        let journal = journal(&[
            json!({ "event": "start", "step": 0, "steps": 60 }),
            json!({ "event": "step", "step": 1, "loss": 5.0, "gradient_norm": null }),
            json!({ "event": "step", "step": 2, "loss": 4.0 }),
            json!({ "event": "evaluation", "step": 2, "metrics": { "loss": 4.5, "accuracy": 0.25 } }),
        ]);
        let loss = &journal.curves["loss"];
        assert_eq!(
            (loss.train.as_slice(), loss.held_out.as_slice()),
            (&[(1.0, 5.0), (2.0, 4.0)][..], &[(2.0, 4.5)][..])
        );
        assert_eq!((journal.step, journal.steps), (2, 60));
        assert_eq!(loss.last(), Some(4.0));
        assert_eq!(journal.curves["accuracy"].last(), Some(0.25));
        assert!(!journal.curves.contains_key("gradient_norm"));
    }

    #[test]
    fn what_is_offered_or_held_out_is_drawn() {
        let offered =
            ["loss", "rate"].map(|key| Series { key: key.into(), label: key.into(), unit: String::new() });
        let keys =
            |journal: &Journal| journal.series(&offered).into_iter().map(|it| it.key).collect::<Vec<_>>();
        assert_eq!(keys(&Journal::default()), ["loss"]);
        let journal = journal(&[
            json!({ "event": "step", "step": 1, "epoch": 0.5, "loss": 5.0, "rate": 1e-3 }),
            json!({ "event": "evaluation", "step": 1, "metrics": { "accuracy": 0.25, "loss": 4.5 } }),
        ]);
        assert_eq!(keys(&journal), ["loss", "rate", "accuracy"]);
    }

    #[test]
    fn what_is_done_again_is_not_drawn_twice() {
        let step = |step: u64| json!({ "event": "step", "step": step, "loss": 1.0 });
        let journal = journal(&[
            json!({ "event": "start", "step": 0, "steps": 4 }),
            step(1),
            json!({ "event": "checkpoint", "step": 1, "folder": "last" }),
            step(2),
            json!({ "event": "checkpoint", "step": 2, "folder": "last" }),
            json!({ "event": "start", "step": 1, "steps": 4 }),
            step(2),
            step(3),
        ]);
        let steps: Vec<f64> = journal.curves["loss"].train.iter().map(|point| point.0).collect();
        assert_eq!(steps, [1.0, 2.0, 3.0]);
        assert_eq!(journal.checkpoints.iter().map(|it| it.step).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn events_that_come_again_change_nothing() {
        let event = |seq| NumberedEvent {
            seq,
            event: serde_json::from_value(json!({ "event": "step", "step": 1, "loss": 1.0 })).unwrap(),
        };
        let mut journal = Journal::default();
        journal.take(event(7));
        let before = journal.clone();
        journal.take(event(7));
        journal.take(event(3));
        assert_eq!(journal, before);
    }

    #[test]
    fn states_and_remarks_are_kept() {
        let journal = journal(&[
            json!({ "event": "state", "state": "running", "time": 1 }),
            json!({ "event": "warning", "message": "3 records are broken" }),
            json!({ "event": "end", "step": 2, "reason": "failed", "message": "the disk is full" }),
            json!({ "event": "state", "state": "failed", "reason": "the disk is full", "time": 2 }),
        ]);
        assert_eq!(journal.state, Some(JobState::Failed));
        assert_eq!(journal.remarks, ["3 records are broken", "the disk is full"]);
    }

    #[test]
    fn the_time_left_is_that_of_the_steps_of_this_process() {
        let mut journal = journal(&[json!({ "event": "start", "step": 40, "steps": 60 })]);
        assert_eq!(journal.left(1_000), None);
        journal.step = 45;
        assert_eq!(journal.left(10_000), Some(30_000));
        journal.step = 60;
        assert_eq!(journal.left(10_000), None);
    }
}
