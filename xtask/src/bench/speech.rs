//! Speech to text: our plugin, through the host as in serving, beside whisper.cpp and faster-whisper on the same weights.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::context::{Context, number};
use super::pairs::{in_turns, median};
use super::peers::python::{environment, figures};
use super::peers::whisper;
use super::table::{Better, Section};
use crate::shell;

const PACKAGES: [&str; 2] = ["faster-whisper==1.2.1", "ctranslate2==4.8.5"];

const SCRIPT: &str = "xtask/bench/faster_whisper_peer.py";

const MODEL: &str = "whisper-tiny.en";

/// Recordings and how long they are in words.
const RECORDINGS: [(&str, &str); 3] = [
    ("jfk.wav, 11.0 s", "plugins/whisper/tests/fixtures/jfk.wav"),
    ("a question of 2.9 s", "plugins/whisper/tests/fixtures/question.wav"),
    ("a question of 1.8 s", "media/tests/fixtures/explain.wav"),
];

/// The spoken question that is answered, and how often.
const ASKED: (&str, usize) = ("plugins/whisper/tests/fixtures/question.wav", 5);

/// Milliseconds of each recording, in their order.
pub fn compare(context: &Context) -> Result<Section> {
    let python = environment("speech", &PACKAGES)?;
    let native = whisper::build()?;
    let runs = if context.quick { "3" } else { "9" };
    // Our plugin makes the ggml file that whisper.cpp reads.
    ours(context, "1")?;
    let ggml = ggml_file(context)?;
    let threads = context.threads.to_string();
    let recordings = RECORDINGS.map(|(_, file)| file);
    let theirs = || -> Result<[Vec<f64>; 2]> {
        let mut native = Command::new(&native);
        native.arg(&ggml).args([threads.as_str(), runs]).args(recordings);
        let mut script = Command::new(&python);
        script.arg(SCRIPT).arg(context.model_folder(MODEL)).args([threads.as_str(), runs]).args(recordings);
        Ok([checked(figures(&mut native)?)?, checked(figures(&mut script)?)?])
    };
    let pairs = in_turns(context.pairs, |_| ours(context, runs), |_| theirs())?;
    let mut section = Section::default();
    for (recording, (name, _)) in RECORDINGS.iter().enumerate() {
        for (side, peer) in [whisper::NAME, "faster-whisper"].into_iter().enumerate() {
            section.row(format!("{name}, ms"), peer, Better::Lower, &pairs, |ours, theirs| {
                (ours[recording], theirs[side][recording])
            });
        }
    }
    section.notes.push(format!(
        "{MODEL}, greedy; whisper.cpp is the version inside our plugin with its own settings, built for the processor; \
         faster-whisper in int8. {}.",
        PACKAGES.join(", ")
    ));
    section.notes.push(first_token(context)?);
    Ok(section)
}

fn ours(context: &Context, runs: &str) -> Result<Vec<f64>> {
    let times = RECORDINGS.map(|(_, file)| {
        let report = context.measure(|command| {
            command.args(["--plugin", "whisper", "--input", file, "--repeat", runs]);
        })?;
        number(&report, "median_ms")
    });
    times.into_iter().collect()
}

fn checked(figures: Vec<f64>) -> Result<Vec<f64>> {
    ensure!(figures.len() == RECORDINGS.len(), "expected a figure for each recording, got {figures:?}");
    Ok(figures)
}

/// The newest ggml file that our plugin has made.
fn ggml_file(context: &Context) -> Result<PathBuf> {
    let folder = context.plugin_cache("whisper");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let files = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("ggml-"));
    let newest = files.max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
    newest.map(|entry| entry.path()).with_context(|| format!("{} holds no ggml file", folder.display()))
}

/// From the end of a spoken question to the first token of its answer: recognition, prompt, prefill. No peer has both.
fn first_token(context: &Context) -> Result<String> {
    let (question, times) = ASKED;
    let mut waits = Vec::with_capacity(times);
    for _ in 0..times {
        let mut command = context.jnana();
        command.args(["ask", "--offline", "--stats", "--max-tokens", "1", "--audio", question]);
        let said = shell::errors(&mut command)?;
        let stats = said.lines().rfind(|line| line.starts_with('{')).context("jnana ask gave no stats")?;
        waits.push(number(&serde_json::from_str(stats)?, "first_token_ms")?);
    }
    let wait = median(waits);
    Ok(format!("From the end of the question of 2.9 s to the first token of its answer: {wait:.0} ms."))
}
