//! A picture to the positions of an encoder: our plugin, through the host as in serving, beside PyTorch and onnxruntime.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use super::context::{Context, number};
use super::pairs::in_turns;
use super::peers;
use super::peers::python::{environment, figures};
use super::table::{Better, Section};

const PACKAGES: [&str; 5] =
    ["torch==2.15.0", "onnx==1.23.2", "onnxscript==0.7.2", "onnxruntime==1.31.1", "pillow==13.0.0"];

const SCRIPT: &str = "xtask/bench/vision_peer.py";

/// A language model that brings no projector, which would be for one of the encoders only: each gets a random one.
const MODEL: &str = "smollm2-135m-instruct";

/// A picture of 224×224: both sides decode it, and none has to scale it.
const PICTURE: &str = "media/tests/fixtures/landscape.clip224.png";

/// An encoder, and the folder of ours where it is not the default.
struct Encoder {
    name: &'static str,
    network: &'static str,
    folder: Option<PathBuf>,
}

/// Milliseconds a picture of each encoder.
pub fn compare(context: &Context) -> Result<Section> {
    let python = environment("vision", &PACKAGES)?;
    let runs = if context.quick { "5" } else { "15" };
    let clip = context.random("clip-vit-base-patch32", "f32", "model.safetensors")?;
    let encoders = [
        Encoder { name: "EfficientNet-Lite0", network: "efficientnet-lite0", folder: None },
        Encoder { name: "CLIP ViT-B/32", network: "clip-vit-base-patch32", folder: Some(clip) },
    ];
    let mut section = Section::default();
    for encoder in &encoders {
        let pairs = in_turns(
            context.pairs,
            |_| ours(context, encoder, runs),
            |_| {
                let mut command = Command::new(&python);
                command.args([SCRIPT, encoder.network, PICTURE, &context.threads.to_string(), runs]);
                let figures = figures(command.arg(peers::cache()?.join("onnx")))?;
                ensure!(figures.len() == 2, "{SCRIPT} gave {figures:?}");
                Ok(figures)
            },
        )?;
        for (index, peer) in ["PyTorch", "onnxruntime"].into_iter().enumerate() {
            let what = format!("{}, ms", encoder.name);
            section.row(what, peer, Better::Lower, &pairs, |ours, theirs| (*ours, theirs[index]));
        }
    }
    section.notes.push(format!(
        "From the file of a picture of 224×224 to the encoder's rows; ours goes on through a projector. The peers' \
         weights and those of our CLIP and projectors are random. {}.",
        PACKAGES.join(", ")
    ));
    Ok(section)
}

fn ours(context: &Context, encoder: &Encoder, runs: &str) -> Result<f64> {
    let report = context.measure(|command| {
        command.args(["--plugin", "vision", "--input", PICTURE, "--repeat", runs, "--model", MODEL]);
        if let Some(folder) = &encoder.folder {
            command.arg("--set").arg(format!("vision.encoder={}", folder.display()));
        }
    })?;
    number(&report, "median_ms")
}
