//! Speech to text: our plugin, through the host as in serving, beside whisper.cpp and faster-whisper on the same weights.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
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

/// The default, and one that knows other languages too.
const MODELS: [&str; 2] = ["whisper-tiny.en", "whisper-base"];

/// Recordings and how long they are in words.
const RECORDINGS: [(&str, &str); 3] = [
    ("jfk.wav, 11.0 s", "plugins/whisper/tests/fixtures/jfk.wav"),
    ("a question of 2.9 s", "plugins/whisper/tests/fixtures/question.wav"),
    ("a question of 1.8 s", "media/tests/fixtures/explain.wav"),
];

/// The spoken question that is answered, and how often.
const ASKED: (&str, usize) = ("plugins/whisper/tests/fixtures/question.wav", 5);

/// The peers' programs.
struct Peers {
    native: PathBuf,
    python: PathBuf,
}

/// Milliseconds of each recording, for each model.
pub fn compare(context: &Context) -> Result<Section> {
    let peers = Peers { native: whisper::build()?, python: environment("speech", &PACKAGES)? };
    let (models, runs) = if context.quick { (&MODELS[..1], "3") } else { (&MODELS[..], "9") };
    shell::run(context.jnana().args(["models", "pull"]).args(models))?;
    let mut section = Section::default();
    for model in models {
        let ggml = ggml_file(context, model)?;
        let pairs = in_turns(
            context.pairs,
            |_| ours(context, model, runs),
            |_| theirs(context, &peers, model, &ggml, runs),
        )?;
        for (recording, (name, _)) in RECORDINGS.iter().enumerate() {
            for (side, peer) in [whisper::NAME, "faster-whisper"].into_iter().enumerate() {
                let what = format!("{model}, {name}, ms");
                section.row(what, peer, Better::Lower, &pairs, |ours, theirs| {
                    (ours[recording], theirs[side][recording])
                });
            }
        }
    }
    section.notes.push(format!(
        "Greedy; whisper.cpp is the version inside our plugin with its own settings, built for the processor; \
         faster-whisper in int8. {}.",
        PACKAGES.join(", ")
    ));
    section.notes.push(first_token(context)?);
    Ok(section)
}

/// Milliseconds of each recording, in their order. The language is given, as the peers are given it.
fn ours(context: &Context, model: &str, runs: &str) -> Result<Vec<f64>> {
    let model = format!("whisper.model={model}");
    let times = RECORDINGS.map(|(_, file)| {
        let report = context.measure(|command| {
            command.args(["--plugin", "whisper", "--input", file, "--repeat", runs]);
            command.args(["--set", &model, "--set", r#"whisper.languages=["en"]"#]);
        })?;
        number(&report, "median_ms")
    });
    times.into_iter().collect()
}

/// The same of whisper.cpp and of faster-whisper.
fn theirs(context: &Context, peers: &Peers, model: &str, ggml: &Path, runs: &str) -> Result<[Vec<f64>; 2]> {
    let threads = context.threads.to_string();
    let recordings = RECORDINGS.map(|(_, file)| file);
    let mut native = Command::new(&peers.native);
    native.arg(ggml).args([threads.as_str(), runs]).args(recordings);
    let mut script = Command::new(&peers.python);
    script.arg(SCRIPT).arg(context.model_folder(model)).args([threads.as_str(), runs]).args(recordings);
    Ok([checked(figures(&mut native)?)?, checked(figures(&mut script)?)?])
}

fn checked(figures: Vec<f64>) -> Result<Vec<f64>> {
    ensure!(figures.len() == RECORDINGS.len(), "expected a figure for each recording, got {figures:?}");
    Ok(figures)
}

/// The weights as whisper.cpp reads them: our plugin makes such a file of a model, here the only one in its cache.
fn ggml_file(context: &Context, model: &str) -> Result<PathBuf> {
    let folder = context.plugin_cache("whisper");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    ours(context, model, "1")?;
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let is_ggml = |name: &OsStr| name.to_string_lossy().starts_with("ggml-");
    let mut files = entries.flatten().filter(|entry| is_ggml(&entry.file_name()));
    let file = files.next().with_context(|| format!("{} holds no ggml file", folder.display()))?;
    Ok(file.path())
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
