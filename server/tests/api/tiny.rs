//! The tiny Phi, which went through every stage of training: asked as any client asks, about pictures that it never saw.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use candle_core::{Device, Tensor};
use clap::Parser;
use futures_util::future::join_all;
use jnana_trainer::cli::Cli;
use jnana_trainer::commands;
use jnana_trainer::draw::dataset::{self, Plan};
use serde::Deserialize;
use serde_json::json;

use super::process::Process;
use super::support::{Caller, home};

/// Training draws from seed 0, and the recipe was chosen by what seed 1 draws.
const FRESH: Plan = Plan { seed: 2, pictures: 75, side: 224, passages: 0 };

/// Questions that are open at the same time: as many as the server answers together.
const TOGETHER: usize = 8;

/// A question as the generator writes it beside its pictures.
#[derive(Deserialize)]
struct Asked {
    image: String,
    question: String,
    answer: String,
}

fn tiny_phi() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/models/tiny-phi")
}

async fn answer(caller: &Caller, pictures: &Path, asked: &Asked) -> String {
    let picture = std::fs::read(pictures.join(&asked.image)).unwrap();
    let url = format!("data:image/png;base64,{}", STANDARD.encode(picture));
    let parts = json!([
        { "type": "image_url", "image_url": { "url": url } },
        { "type": "text", "text": asked.question },
    ]);
    let messages = json!([{ "role": "user", "content": parts }]);
    let said = caller.chat(&json!({ "messages": messages, "temperature": 0, "max_tokens": 8 })).await;
    said["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

/// A server of the model is right, to the letter, about 95 of 100 questions.
async fn is_right_about_fresh_pictures(model: &Path) {
    let drawn = tempfile::tempdir().unwrap();
    dataset::write(drawn.path(), &FRESH).unwrap();
    let asked = std::fs::read(drawn.path().join("questions.json")).unwrap();
    let asked: Vec<Asked> = serde_json::from_slice(&asked).unwrap();
    assert!(asked.len() > 200, "{} questions say little", asked.len());

    let home = home();
    let process = Process::serve(&home, [OsStr::new("--model"), model.as_os_str()]);
    let (caller, pictures) = (&process.caller, drawn.path().join("images"));
    let mut wrong = Vec::new();
    for some in asked.chunks(TOGETHER) {
        let answers = join_all(some.iter().map(|asked| answer(caller, &pictures, asked))).await;
        let different = some.iter().zip(answers).filter(|(asked, said)| asked.answer != *said);
        wrong.extend(different.map(|(Asked { image, question, answer }, said)| {
            format!("{image}: {question} {said:?}, not {answer:?}")
        }));
    }
    let right = asked.len() - wrong.len();
    println!("{}: {right} of {} answers are right", model.display(), asked.len());
    assert!(100 * right >= 95 * asked.len(), "{right} of {} are right:\n{}", asked.len(), wrong.join("\n"));
}

#[tokio::test]
async fn the_tiny_phi_is_right_about_fresh_pictures_from_safetensors() {
    is_right_about_fresh_pictures(&tiny_phi()).await;
}

#[tokio::test]
async fn the_tiny_phi_is_right_about_fresh_pictures_from_gguf() {
    let (out, model) = (tempfile::tempdir().unwrap(), tiny_phi());
    let export = ["jnana-trainer", "export", "--format", "gguf-f16", "--out"].map(OsStr::new);
    let export = export.into_iter().chain([out.path().as_os_str(), model.as_os_str()]);
    // Card and projector are laid beside the file, so that it sees without a setting.
    commands::run(Cli::try_parse_from(export).unwrap().command).unwrap();
    is_right_about_fresh_pictures(&out.path().join("tiny-phi.f16.gguf")).await;
}

#[test]
fn the_tiny_phi_has_three_million_parameters_and_four_megabytes_at_most() {
    let files = std::fs::read_dir(tiny_phi()).unwrap();
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= 4_000_000, "{bytes}");
    let weights = tiny_phi().join("model.safetensors");
    let tensors = candle_core::safetensors::load(weights, &Device::Cpu).unwrap();
    let parameters: usize = tensors.values().map(Tensor::elem_count).sum();
    assert!(parameters <= 3_000_000, "{parameters}");
}
