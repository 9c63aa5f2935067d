//! Named stages with their times, so that no minute is silent.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Runs stages one after the other and remembers their times.
pub struct Stages {
    total: usize,
    done: Vec<(&'static str, Duration)>,
}

impl Stages {
    /// For `total` stages.
    pub fn new(total: usize) -> Self {
        Self { total, done: Vec::new() }
    }

    /// Runs one stage; an error names it.
    pub fn stage(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n[{}/{}] {name}", self.done.len() + 1, self.total);
        let start = Instant::now();
        work().with_context(|| format!("stage \"{name}\" failed"))?;
        self.done.push((name, start.elapsed()));
        Ok(())
    }

    /// Prints the times.
    pub fn report(&self) {
        println!();
        for (name, time) in &self.done {
            println!("{:>7.1} s  {name}", time.as_secs_f64());
        }
        let total: Duration = self.done.iter().map(|(_, time)| *time).sum();
        println!("{:>7.1} s  in all", total.as_secs_f64());
    }
}
