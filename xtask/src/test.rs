//! `cargo xtask test` and `check`.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use crate::machine::{self, Need};
use crate::stage::Stages;
use crate::{app, build, models, shell, tidy};

/// A part of the tests that can run alone.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Unit, parity, plugin and API tests.
    Rust,
    /// The app's own logic.
    App,
    /// The official OpenAI client.
    Client,
    /// Playwright.
    Browser,
}

/// Builds everything once, then runs the suites (all of them when none is named).
pub fn run(only: &[Suite]) -> Result<()> {
    let wanted = |suite| only.is_empty() || only.contains(&suite);
    let suites = Suite::value_variants().iter().filter(|suite| wanted(**suite)).count();
    let mut stages = Stages::new(5 + suites);
    stages.stage("what the machine needs", || {
        machine::prepare(&[Need::Wasm, Need::Native, Need::Pip, Need::Browser, Need::Media, Need::Book])
    })?;
    stages.stage("house rules", tidy::run)?;
    stages.stage("browser app", app::build)?;
    stages.stage("server, plugins and tests", || {
        shell::run(shell::cargo().args(["build", "--workspace", "--exclude=jnana-app", "--all-targets"]))
    })?;
    let jnana = std::path::absolute(build::install_plugins(Path::new("target/debug"))?)?;
    stages.stage("models", || models::pull(&jnana, models::FOR_TESTS))?;
    if wanted(Suite::Rust) {
        stages.stage("unit, parity, plugin and API tests", rust_tests)?;
    }
    if wanted(Suite::App) {
        stages.stage("the app's logic", || {
            shell::run(shell::cargo().args(["test", "--package=jnana-app", "--lib"]))
        })?;
    }
    if wanted(Suite::Client) {
        stages.stage("the official OpenAI client", || client_tests(&jnana))?;
    }
    if wanted(Suite::Browser) {
        stages.stage("browser tests", || browser_tests(&jnana))?;
    }
    stages.report();
    Ok(())
}

fn rust_tests() -> Result<()> {
    shell::run(
        shell::cargo()
            .args(["test", "--workspace", "--exclude=jnana-app", "--no-fail-fast"])
            .env("JNANA_TEST_MODELS", models::folder()?),
    )
}

fn client_tests(jnana: &Path) -> Result<()> {
    let venv = Path::new("target/openai-client");
    shell::run(Command::new("python3").args(["-m", "venv"]).arg(venv))?;
    let mut pip = Command::new(venv.join("bin/pip"));
    shell::run(pip.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
        "e2e/openai/requirements.txt",
    ]))?;
    shell::run(
        Command::new(venv.join("bin/python"))
            .arg("e2e/openai/test_client.py")
            .env("JNANA", jnana)
            .env("JNANA_TEST_MODELS", models::folder()?),
    )
}

fn browser_tests(jnana: &Path) -> Result<()> {
    shell::run(Command::new("npm").current_dir("e2e").args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
    ]))?;
    shell::run(
        Command::new("npx")
            .current_dir("e2e")
            .args(["playwright", "test"])
            .env("JNANA", jnana)
            .env("JNANA_TEST_MODELS", models::folder()?),
    )
}

/// What a change must pass before it is shown to others.
pub fn check() -> Result<()> {
    let mut stages = Stages::new(5);
    stages.stage("formatting", || shell::run(shell::cargo().args(["fmt", "--all", "--check"])))?;
    stages.stage("house rules", tidy::run)?;
    stages.stage("clippy", || {
        shell::run(shell::cargo().args([
            "clippy",
            "--workspace",
            "--exclude=jnana-app",
            "--all-targets",
            "--",
            "-Dwarnings",
        ]))
    })?;
    stages.stage("clippy, wasm32", || {
        shell::run(shell::cargo().args([
            "clippy",
            "--package=jnana-app",
            "--target=wasm32-unknown-unknown",
            "--",
            "-Dwarnings",
        ]))
    })?;
    stages.stage("licences, sources, advisories", || {
        if shell::find("cargo-deny").is_none() {
            println!("cargo-deny is not installed (cargo install cargo-deny): left out");
            return Ok(());
        }
        shell::run(shell::cargo().args(["deny", "check", "licenses", "bans", "sources", "advisories"]))
    })?;
    stages.report();
    Ok(())
}
