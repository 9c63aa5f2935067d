//! Evaluations of the program on a small random Phi that a run has tuned, and answers of one that learned to answer.

use std::process::Output;

use candle_core::Device;
use jnana_models::projector::{Projector, ProjectorInfo};
use jnana_trainer::draw::scene::Colour;
use serde_json::{Value, json};

use crate::runs::Rig;

const EVALUATION: &str = r#"
    name = "drawn"
    measure = ["loss", "captions", "answers"]
    adapter = "tune/adapter"
    max_tokens = 12
    pictures = { skip = 2, take = 6 }
    [decoder]
    model = "phi"
    [vision]
    encoder = "clip"
    projector = "tune/projector.safetensors"
    [[data]]
    name = "captions"
    folder = "drawn"
    format = { kind = "coco", captions = "all" }
    [[data]]
    name = "questions"
    folder = "drawn"
    format = { kind = "llava" }
"#;

fn tuned() -> Rig {
    let rig = Rig::new();
    rig.run("align", "runs/align");
    rig.run("tune", "runs/tune");
    std::fs::write(rig.path("evaluation.toml"), EVALUATION).unwrap();
    rig
}

#[test]
fn loss_captions_and_answers_stand_beside_those_for_shuffled_pictures() {
    let rig = tuned();
    let table = rig.succeeds(&["eval", "evaluation.toml", "--out", "report"]);
    for row in ["loss", "BLEU-4", "CIDEr", "exact match", "yes/no balanced"] {
        assert!(table.contains(row), "{row}: {table}");
    }
    let report: Value =
        serde_json::from_slice(&std::fs::read(rig.path("report/report.json")).unwrap()).unwrap();
    let [own, shuffled] = ["own", "shuffled"].map(|which| report["loss"][which]["loss"].as_f64().unwrap());
    assert!(own.is_finite() && own != shuffled, "the pictures were not shuffled: {own}");
    assert_eq!(report["captions"]["own"]["captions"], 6);
    let questions = report["answers"]["own"]["exact"]["questions"].as_u64().unwrap();
    let transcripts = std::fs::read_to_string(rig.path("report/transcripts.jsonl")).unwrap();
    let transcripts: Vec<Value> =
        transcripts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(transcripts.len() as u64, 6 + questions);
    assert!(transcripts.iter().all(|asked| asked["picture"].as_str().unwrap().ends_with(".png")));
    assert!(transcripts[0]["references"].as_array().unwrap().len() > 1);
    // The same again is the same, and the command line decides over the file.
    assert_eq!(rig.succeeds(&["eval", "evaluation.toml"]), table);
    let untuned =
        rig.succeeds(&["eval", "evaluation.toml", "--set", "adapter=", "--set", "measure=[\"loss\"]"]);
    assert!(untuned.starts_with("model  phi\n") && !untuned.contains("BLEU"), "{untuned}");
    let loss = ["eval", "evaluation.toml", "--set", "measure=[\"loss\"]"];
    let quantised = rig.succeeds(&[loss.as_slice(), &["--set", "decoder.quantize=nf4"]].concat());
    assert_ne!(rig.succeeds(&loss), quantised, "the base was not quantised");
}

#[test]
fn reading_along_begins_each_answer_as_writing_does() {
    let rig = tuned();
    let answers = |change: &str, out: &str| -> Vec<(String, String)> {
        let measure = "measure=[\"answers\"]";
        rig.succeeds(&["eval", "evaluation.toml", "--set", measure, "--set", change, "--out", out]);
        let lines = std::fs::read_to_string(rig.path(out).join("transcripts.jsonl")).unwrap();
        let said = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            (text("picture") + &text("question"), text("answer"))
        };
        lines.lines().map(said).collect()
    };
    // A token each, which depends on nothing but the question.
    let written = answers("max_tokens=1", "written");
    let read = answers("one_pass=true", "read");
    assert_eq!(written.len(), read.len());
    for ((question, written), (same, read)) in written.iter().zip(&read) {
        assert_eq!(question, same);
        assert!(read.starts_with(written), "{question}: {written:?} was written, {read:?} read along");
    }
    assert!(written.iter().any(|(_, answer)| !answer.is_empty()), "nothing was compared");
}

#[test]
fn a_broken_picture_is_named_and_left_out() {
    let rig = tuned();
    let evaluate = |share: &str| {
        let changes = ["pictures.skip=0", "pictures.take=12", share, "data.1.max_broken=0.0"];
        let mut arguments = vec!["eval", "evaluation.toml"];
        arguments.extend(changes.iter().flat_map(|change| ["--set", change]));
        let Output { status, stdout, stderr } = rig.command(&arguments).output().unwrap();
        let [said, errors] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
        (status.success(), said, errors)
    };
    let (_, whole, _) = evaluate("data.0.max_broken=0.1");
    std::fs::write(rig.path("data/drawn/images/000004.png"), b"no picture").unwrap();
    let (done, without, errors) = evaluate("data.0.max_broken=0.1");
    assert!(done && errors.contains("skipped") && errors.contains("000004.png"), "{errors}");
    assert_ne!(whole, without);
    let (done, _, errors) = evaluate("data.0.max_broken=0.0");
    assert!(!done && errors.contains("1 of 12 pictures"), "{errors}");
}

#[test]
fn what_an_evaluation_lacks_is_named() {
    let rig = tuned();
    let info = ProjectorInfo {
        space: "small".into(),
        encoder: "another".into(),
        d_in: 32,
        width: 32,
        trained: true,
    };
    let other = Projector::random(info, None, 0, &Device::Cpu).unwrap();
    other.save(&rig.path("other.safetensors")).unwrap();
    for (change, word) in [
        ("vision.projector=nothing.safetensors", "nothing.safetensors"),
        ("measure=[\"beauty\"]", "beauty"),
        ("pictures.skip=99", "data"),
        ("decoder.model=gone", "gone"),
        ("vision.projector=other.safetensors", "a projector for"),
    ] {
        let said = rig.fails(&["eval", "evaluation.toml", "--set", change]);
        assert!(said.contains(word), "{change}: {said}");
    }
}

#[test]
fn answers_of_a_model_become_chats() {
    let rig = Rig::new();
    let (colour, count) = ("What color is the star?", "How many circles are there?");
    let chat = |question: &str| json!({ "turns": [question, "a"] }).to_string() + "\n";
    std::fs::write(rig.path("chats.jsonl"), [colour, count, colour].map(chat).concat()).unwrap();
    // Random weights hardly ever end what they say.
    let tiny_phi = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/models/tiny-phi");
    let answer = |max_tokens: &str| {
        let asked = ["answer", "--model", tiny_phi, "--questions", "chats.jsonl", "--out", "out.jsonl"];
        let said = rig.succeeds(&[asked.as_slice(), &["--max-tokens", max_tokens]].concat());
        let kept = std::fs::read_to_string(rig.path("out.jsonl")).unwrap();
        let chats: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (said, chats)
    };
    // The colour is asked once.
    let (said, chats) = answer("8");
    assert!(said.starts_with("2 answers of 2 "), "{said}");
    let colours = Colour::ALL.map(Colour::name);
    let sensible: [(&str, &[&str]); 2] = [(colour, &colours), (count, &["zero", "one", "two"])];
    for (chat, (question, answers)) in chats.iter().zip(sensible) {
        assert_eq!(chat["turns"][0], question);
        assert!(answers.contains(&chat["turns"][1].as_str().unwrap()), "{chat}");
    }
    // What is cut is not kept.
    let (said, chats) = answer("1");
    assert!(said.starts_with("0 answers of 2 ") && chats.is_empty(), "{said}");
}
