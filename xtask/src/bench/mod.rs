//! `cargo xtask bench`: ours beside the peers, in the same run, as ratios. Prints a table for each comparison and writes it
//! into its section of `docs/benchmarks.md`.

mod client;
mod context;
mod decode;
mod document;
mod footprint;
mod pairs;
mod peers;
mod perplexity;
mod prompts;
mod requests;
mod second_turn;
mod servers;
mod speech;
mod table;
// The product's own reading of these lines, as a file: this program is built first of all and depends on no other crate.
#[path = "../../../kernels/src/usage.rs"]
mod usage;
mod vision;

use std::path::Path;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use self::context::Context;
use self::table::Section;
use crate::machine::{self, Need};
use crate::stage::Stages;
use crate::{build, models};

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Comparison {
    /// Reading and writing one sequence, beside llama-bench.
    Decode,
    /// Sixteen requests at once, beside llama-server.
    Requests,
    /// The first token in the second turn of a long conversation, beside llama-server.
    SecondTurn,
    /// Most memory with four sequences, beside llama-server.
    Memory,
    /// How well a text is foretold, beside llama-perplexity.
    Perplexity,
    /// A picture to its positions, beside PyTorch and onnxruntime.
    Vision,
    /// Speech to text, beside whisper.cpp and faster-whisper.
    Speech,
}

impl Comparison {
    /// The name on the command line and in the document.
    fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Requests => "requests",
            Self::SecondTurn => "second-turn",
            Self::Memory => "memory",
            Self::Perplexity => "perplexity",
            Self::Vision => "vision",
            Self::Speech => "speech",
        }
    }

    fn run(self, context: &Context) -> Result<Section> {
        match self {
            Self::Decode => decode::compare(context),
            Self::Requests => requests::compare(context),
            Self::SecondTurn => second_turn::compare(context),
            Self::Memory => footprint::compare(context),
            Self::Perplexity => perplexity::compare(context),
            Self::Vision => vision::compare(context),
            Self::Speech => speech::compare(context),
        }
    }
}

/// Builds what is not there yet, and runs the comparisons (all of them when none is named). A quick run is for seeing that
/// everything works: its figures are printed and not written down.
pub fn run(only: &[Comparison], pairs: usize, quick: bool) -> Result<()> {
    ensure!(pairs > 0, "--pairs must be at least 1");
    let all = Comparison::value_variants().iter().copied();
    let wanted: Vec<Comparison> = all.filter(|one| only.is_empty() || only.contains(one)).collect();
    let mut stages = Stages::new(3 + wanted.len());
    stages.stage("what the machine needs", || machine::prepare(&[Need::Native, Need::Pip]))?;
    stages.stage("server and plugins (release)", build::release)?;
    let jnana = build::install_plugins(Path::new("target/release"))?;
    stages.stage("models", || models::pull(&jnana, &[]))?;
    let context = Context::new(&jnana, pairs, quick)?;
    for comparison in wanted {
        stages.stage(comparison.name(), || {
            let text = comparison.run(&context)?.text(&context.conditions);
            println!("\n{text}");
            if quick { Ok(()) } else { document::rewrite(comparison.name(), &text) }
        })?;
    }
    stages.report();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_comparison_goes_by_one_name_and_has_its_section() {
        for comparison in Comparison::value_variants() {
            let value = comparison.to_possible_value().unwrap();
            assert_eq!(value.get_name(), comparison.name());
            let document = include_str!("../../../docs/benchmarks.md");
            assert!(document::with_section(document, comparison.name(), "").is_ok(), "{}", comparison.name());
        }
    }
}
