//! `jnana-trainer check`.

use anyhow::Result;

use crate::check::{self, Found};
use crate::cli::Check;
use crate::evaluation::Evaluation;
use crate::recipe::Recipe;

/// What keeps the file from being carried out is told in the answer, so that whoever asks reads one thing.
pub(super) fn run(check: &Check) -> Result<()> {
    let found =
        look(check).unwrap_or_else(|error| Found { refusal: Some(format!("{error:#}")), ..Found::default() });
    if check.json {
        println!("{}", serde_json::to_string(&found)?);
    } else {
        print(&found);
    }
    Ok(())
}

fn look(check: &Check) -> Result<Found> {
    let places = super::places(&check.inputs, check.runs.clone(), &check.runs)?;
    Ok(match check.evaluation {
        true => check::evaluation(&Evaluation::read(&check.file, &check.inputs.set)?, &places),
        false => check::recipe(&Recipe::read(&check.file, &check.inputs.set)?, &places),
    })
}

fn print(found: &Found) {
    found.findings.counts.iter().for_each(|(what, count)| println!("{count:>9} {what}"));
    found.findings.samples.iter().for_each(|sample| println!("such as {sample}"));
    found.findings.errors.iter().for_each(|error| println!("broken: {error}"));
    match &found.refusal {
        Some(refusal) => println!("it cannot be carried out: {refusal}"),
        None => println!("it takes {}", found.estimate.cost),
    }
}
