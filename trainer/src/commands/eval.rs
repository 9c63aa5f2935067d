//! `jnana-trainer eval`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use indicatif::ProgressBar;

use crate::cli::Eval;
use crate::eval::Report;
use crate::evaluation::{Evaluation, Transcript};
use crate::train::interrupt::Interrupt;
use crate::train::progress::style;

pub(super) fn run(eval: &Eval) -> Result<()> {
    let evaluation = Evaluation::read(&eval.evaluation, &eval.inputs.set)?;
    let interrupt = Interrupt::install().context("listening for Ctrl-C")?;
    let places = super::places(&eval.inputs, eval.runs.clone(), &eval.runs)?;
    let bar = ProgressBar::new(0).with_style(style());
    let progress = |done: usize, total: usize| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    // On a thread of candle's pool: from outside, every parallel operation would hand over to it and sleep.
    let (report, transcripts) = places
        .device
        .with_context(|| evaluation.run(&places, &interrupt, |line| eprintln!("{line}"), progress))?;
    bar.finish_and_clear();
    print!("{report}");
    eval.out.as_deref().map_or(Ok(()), |out| write(out, &report, &transcripts))
}

fn write(out: &Path, report: &Report, transcripts: &[Transcript]) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let mut lines = String::new();
    for transcript in transcripts {
        writeln!(lines, "{}", serde_json::to_string(transcript)?)?;
    }
    for (name, text) in [("report.json", report.to_json()?), ("transcripts.jsonl", lines)] {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
