//! How the learning rate changes over a run.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What the rate does after the warm-up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// Half a cosine down to the floor (Loshchilov and Hutter 2017), as transformers' `get_cosine_schedule_with_warmup`.
    #[default]
    Cosine,
    /// A line down to the floor, as transformers' `get_linear_schedule_with_warmup`.
    Linear,
    /// Nothing.
    Constant,
}

/// A learning rate over a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The highest rate, reached after the warm-up.
    pub rate: f64,
    /// Share of all steps during which the rate rises from 0 to the highest, rounded up to whole steps. Default: 0.03.
    #[serde(default = "warmup")]
    pub warmup: f64,
    /// What comes after. Default: cosine.
    #[serde(default)]
    pub decay: Decay,
    /// The lowest rate after the warm-up, as a share of the highest. Default: 0.
    #[serde(default)]
    pub floor: f64,
}

/// LLaVA's.
fn warmup() -> f64 {
    0.03
}

impl Schedule {
    /// The rate of the step with this number, counted from 0, out of `total`.
    #[must_use]
    pub fn at(&self, step: usize, total: usize) -> f64 {
        let warmup = (self.warmup * total as f64).ceil() as usize;
        if step < warmup {
            return self.rate * step as f64 / warmup as f64;
        }
        let progress = ((step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64).min(1.0);
        let share = match self.decay {
            Decay::Cosine => 0.5 * (1.0 + (PI * progress).cos()),
            Decay::Linear => 1.0 - progress,
            Decay::Constant => 1.0,
        };
        self.rate * (self.floor + (1.0 - self.floor) * share)
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// When a number makes no sense.
    pub fn check(&self) -> Result<()> {
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            return Err(Error::setting("rate.rate", "a number above 0", self.rate));
        }
        for (key, share) in [("rate.warmup", self.warmup), ("rate.floor", self.floor)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::setting(key, "a share from 0 to 1", share));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(decay: Decay, floor: f64) -> Schedule {
        Schedule { rate: 2e-3, warmup: 0.1, decay, floor }
    }

    #[test]
    fn a_floor_is_where_it_ends() {
        for decay in [Decay::Cosine, Decay::Linear] {
            let schedule = schedule(decay, 0.1);
            assert_eq!(schedule.at(10, 100), 2e-3);
            assert!((schedule.at(100, 100) - 2e-4).abs() < 1e-12);
            assert!((schedule.at(500, 100) - 2e-4).abs() < 1e-12, "beyond the end it stays");
            assert!((schedule.at(55, 100) - 1.1e-3).abs() < 1e-12, "half way");
        }
        assert_eq!(schedule(Decay::Constant, 0.0).at(99, 100), 2e-3);
    }

    #[test]
    fn a_run_may_be_shorter_than_its_warm_up() {
        let one = Schedule { warmup: 1.0, ..schedule(Decay::Cosine, 0.0) };
        assert_eq!(one.at(0, 1), 0.0);
        assert_eq!(one.at(1, 1), 2e-3);
        assert!(schedule(Decay::Linear, 0.0).at(0, 0).is_finite());
        assert_eq!(Schedule { warmup: 0.0, ..one }.at(0, 10), 2e-3);
    }

    #[test]
    fn numbers_are_checked() {
        let parsed: Schedule = toml::from_str("rate = 1e-3").unwrap();
        assert_eq!(parsed, Schedule { rate: 1e-3, warmup: 0.03, decay: Decay::Cosine, floor: 0.0 });
        parsed.check().unwrap();
        for wrong in ["rate = 0.0", "rate = 1e-3\nwarmup = 2.0", "rate = nan"] {
            assert!(toml::from_str::<Schedule>(wrong).unwrap().check().is_err(), "{wrong}");
        }
    }
}
