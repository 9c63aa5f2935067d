//! phi-2's own size with a CLIP ViT-B/32, both of random weights: picture, speech and text through a server on the CPU.
//!
//! Gigabytes and minutes, so it runs only when it is asked for, and prints what it took:
//! `JNANA_TEST_MODELS=~/.local/share/jnana/models cargo test --workspace --exclude jnana-app --test api flagship -- --ignored
//! --nocapture --test-threads 1`.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::json;

use super::inputs::{picture_part, positions, speech_part};
use super::process::Process;
use super::support::{home, models, program};

/// Positions before the question: 7×7 of the picture and the marker `caption image:`.
const POSITIONS: u64 = 49 + 4;

/// Tokens of the answer.
const ANSWER: u32 = 8;

fn random_model(shape: &str, weights: &str, out: &Path) {
    let mut command = Command::new(program());
    command.args(["debug", "random-model", "--shape", shape, "--weights", weights, "--out"]).arg(out);
    if shape == "phi-2" {
        command.arg("--tokenizer").arg(models().join("gpt2"));
    }
    assert!(command.status().unwrap().success());
}

async fn answers_in_the_flagships_shape(weights: &str, arguments: &[&str]) {
    let home = home();
    let (phi, clip) = (home.path().join("phi-2-random"), home.path().join("clip-random"));
    random_model("phi-2", weights, &phi);
    random_model("clip-vit-base-patch32", "f32", &clip);
    std::fs::write(
        phi.join("jnana.json"),
        r#"{ "format": 1, "name": "phi-2", "space": "phi-2", "template": "recipe" }"#,
    )
    .unwrap();

    let encoder = format!("vision.encoder={}", clip.display());
    let own = [OsStr::new("--model"), phi.as_os_str(), OsStr::new("--set"), OsStr::new(&encoder)];
    let started = Instant::now();
    let process = Process::serve(&home, own.into_iter().chain(arguments.iter().map(OsStr::new)));
    let loading = started.elapsed();

    let caller = &process.caller;
    let text = json!({ "type": "text", "text": "Please explain this image." });
    let question = positions(caller, json!([speech_part(), text])).await;
    let asked = Instant::now();
    let parts = json!([picture_part(), speech_part(), text]);
    let body = json!({ "messages": [{ "role": "user", "content": parts }], "max_tokens": ANSWER });
    let usage = caller.chat(&body).await["usage"].clone();
    let answering = asked.elapsed();
    // The question with its marker behind it is the rest.
    assert_eq!(usage["prompt_tokens"].as_u64().unwrap() - question, POSITIONS);
    assert!(question > 20, "the transcript is missing: {question}");
    assert_eq!(usage["completion_tokens"], ANSWER);
    let peak = jnana_kernels::usage::memory(&process.child.id().to_string(), "VmHWM").unwrap();
    println!(
        "{weights}: loading {loading:.1?}, {ANSWER} tokens after {} positions {answering:.1?}, peak memory {:.2} GB",
        usage["prompt_tokens"],
        peak as f64 / 1e9
    );
}

#[tokio::test]
#[ignore = "writes 2 GB of random weights and runs for minutes"]
async fn flagship_quantised() {
    answers_in_the_flagships_shape("q4_0", &[]).await;
}

#[tokio::test]
#[ignore = "writes 6 GB of random weights and runs for minutes"]
async fn flagship_from_safetensors() {
    answers_in_the_flagships_shape("f16", &["--dtype", "f16"]).await;
}
