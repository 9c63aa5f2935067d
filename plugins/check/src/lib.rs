//! Does a plugin keep the contract? A test for each promise of `jnana_plugin.h`, each in a process of its own.
//!
//! [`check`] starts its own program again for every test (`suite`), as `PROGRAM plugin-check-child TEST TASK`; that command
//! calls [`check_child_main`]. A test that crashes, hangs or fails is told from the others, and the next one starts afresh.
//! What is random comes from one seed, which the report names.
//!
//! The tests stand where the host stands, but less kindly: structs end at memory that cannot be touched, and so do inputs
//! (`guarded`); the sink (`probe`) says no where the host may, and notes every use of it.

mod calls;
mod guarded;
mod inputs;
mod life;
mod live;
mod load;
mod make;
mod probe;
mod report;
mod subject;
mod suite;
mod task;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use jnana_plugin_host::child::{self, said, words};
use jnana_plugin_host::contract;

pub use report::{Outcome, Report, TestResult};
pub use task::Task;

/// The hidden command of the tool's program.
pub const CHECK_COMMAND: &str = "plugin-check-child";

const MARK: &str = "jnana-plugin-check ";

/// How a check is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// A program that answers `plugin-check-child TEST TASK` with [`check_child_main`]: as a rule the running one.
    pub exe: std::path::PathBuf,
    /// Longest time of a test.
    pub limit: Duration,
    /// Names of the tests to run; empty for all.
    pub only: Vec<String>,
}

/// Checks a plugin. `each` hears of every test as it ends.
///
/// # Errors
/// When a name of `only` is no test.
pub fn check(task: &Task, options: &Options, mut each: impl FnMut(&TestResult)) -> Result<Report, String> {
    if let Some(name) = options.only.iter().find(|name| suite::find(name).is_none()) {
        let known: Vec<&str> = suite::TESTS.iter().map(|test| test.name).collect();
        return Err(format!("no test is called {name}; known: {}", known.join(", ")));
    }
    let mut results = Vec::new();
    let mut push = |result: TestResult| {
        each(&result);
        let passed = result.outcome == Outcome::Passed;
        results.push(result);
        passed
    };
    // Nothing of a library is run that was built for something else.
    if push(target(&task.library)) {
        for test in suite::TESTS {
            if options.only.is_empty() || options.only.iter().any(|name| name == test.name) {
                push(run(test, task, options));
            }
        }
    }
    Ok(Report { library: task.library.clone(), seed: task.seed, tests: results })
}

fn target(library: &Path) -> TestResult {
    let start = Instant::now();
    let outcome = match contract::check_target(library) {
        Ok(()) => Outcome::Passed,
        Err(error) => Outcome::Failed { why: error.to_string() },
    };
    TestResult {
        name: "target".to_owned(),
        promise: "it was built for this machine and this ABI".to_owned(),
        outcome,
        note: String::new(),
        seconds: start.elapsed().as_secs_f64(),
    }
}

fn run(test: &suite::Test, task: &Task, options: &Options) -> TestResult {
    let start = Instant::now();
    let (outcome, note) = judge(test, task, options);
    TestResult {
        name: test.name.to_owned(),
        promise: test.promise.to_owned(),
        outcome,
        note,
        seconds: start.elapsed().as_secs_f64(),
    }
}

/// Runs a test in a child and says what became of it.
fn judge(test: &suite::Test, task: &Task, options: &Options) -> (Outcome, String) {
    let failed = |why: String| (Outcome::Failed { why }, String::new());
    let json = match serde_json::to_string(task) {
        Ok(json) => json,
        Err(error) => return failed(format!("the task cannot be handed on: {error}")),
    };
    let mut command = Command::new(&options.exe);
    // Memory that was freed is filled, so that its use shows.
    command.args([CHECK_COMMAND, test.name, &json]).env("MALLOC_PERTURB_", "165");
    let ended = match child::run(command.stdin(std::process::Stdio::null()), options.limit) {
        Ok(ended) => ended,
        Err(error) => return failed(format!("starting {} failed: {error}", options.exe.display())),
    };
    let last = said(&ended.stderr);
    let Some(status) = ended.status else {
        return (Outcome::TimedOut { limit: options.limit.as_secs_f64() }, last);
    };
    let verdict = ended.stdout.lines().filter_map(|line| line.strip_prefix(MARK)).next_back();
    match verdict.and_then(|json| serde_json::from_str::<(Outcome, String)>(json).ok()) {
        Some((outcome, note)) if status.success() => (outcome, note),
        // A verdict that was followed by a crash is none.
        _ => (Outcome::Crashed { how: format!("{}{last}", words(status)) }, String::new()),
    }
}

/// The child: runs one test and prints what came of it. For nothing but the tool's own hidden command.
#[must_use]
pub fn check_child_main(test: &str, task: &str) -> ExitCode {
    let (Some(test), Ok(task)) = (suite::find(test), serde_json::from_str::<Task>(task)) else {
        eprintln!("this command is for the check of plugins only");
        return ExitCode::from(2);
    };
    let verdict = match (test.run)(&task) {
        Ok(note) => (Outcome::Passed, note),
        Err(suite::Trouble::Broken(why)) => (Outcome::Failed { why }, String::new()),
        Err(suite::Trouble::NotThere(why)) => (Outcome::Skipped { why }, String::new()),
    };
    let Ok(json) = serde_json::to_string(&verdict) else { return ExitCode::FAILURE };
    // The library may have left a line unfinished.
    println!("\n{MARK}{json}");
    ExitCode::SUCCESS
}
