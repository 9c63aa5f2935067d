//! `jnana bench` on a small network of random weights, as a file and as a folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::support::program;

fn random_model(folder: &Path, weights: &str) -> PathBuf {
    let out = folder.join(weights);
    let mut command = Command::new(program());
    command.args(["debug", "random-model", "--shape", "tiny-llama", "--weights", weights, "--out"]);
    assert!(command.arg(&out).status().unwrap().success());
    out
}

fn bench(home: &Path, model: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(["bench", "--offline", "--home"]).arg(home).arg("--model").arg(model);
    command.args(arguments).output().unwrap()
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_file_is_measured_for_several_sequences_and_by_a_text() {
    let home = tempfile::tempdir().unwrap();
    let file = random_model(home.path(), "q4_0").join("random.q4_0.gguf");
    let text = home.path().join("text");
    // Made-up tokens: one for each word of this but the first.
    std::fs::write(&text, "sun and sky ".repeat(400)).unwrap();
    let arguments = ["--json", "--prompt", "40", "--generate", "4", "--sequences", "3", "--repeat", "2"];
    let more = ["--threads", "1", "--perplexity", text.to_str().unwrap()];
    let report = report(&bench(home.path(), &file, &[&arguments[..], &more[..]].concat()));
    for (key, value) in [("threads", 1), ("sequences", 3), ("prompt", 40), ("generate", 4), ("repeat", 2)] {
        assert_eq!(report[key], value, "{key}");
    }
    for key in ["prefill", "decode"] {
        let total = report[format!("{key}_tokens_per_second")].as_f64().unwrap();
        let each = report[format!("{key}_tokens_per_second_per_sequence")].as_f64().unwrap();
        assert!(total > 0. && (each * 3. - total).abs() < 1e-6 * total, "{report}");
        assert_eq!(report[format!("{key}_samples")].as_array().unwrap().len(), 2);
    }
    assert!(report["load_seconds"].as_f64().unwrap() > 0.);
    assert!(report["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
    // 1,200 words are two pieces of 512, of each of which 255 tokens are foretold; noise foretells nothing.
    assert_eq!(report["perplexity_tokens"], 2 * 255);
    let perplexity = report["perplexity"].as_f64().unwrap();
    assert!((3e4..9e4).contains(&perplexity), "{perplexity}");
}

#[test]
fn a_folder_is_measured_without_its_tokenizer() {
    let home = tempfile::tempdir().unwrap();
    let folder = random_model(home.path(), "f32");
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::remove_file(folder.join(file)).unwrap();
    }
    let short = ["--json", "--prompt", "5", "--generate", "0", "--repeat", "1"];
    let measured = report(&bench(home.path(), &folder, &short));
    assert!(measured["prefill_tokens_per_second"].as_f64().unwrap() > 0.);
    assert!(measured["decode_tokens_per_second"].is_null() && measured.get("perplexity").is_none());

    let asked = ["--prompt", "5", "--repeat", "1", "--perplexity", "Cargo.toml"];
    let refused = bench(home.path(), &folder, &asked);
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && words.contains("has no tokenizer"), "{words}");
    let refused = bench(home.path(), &folder, &["--prompt", "3000"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("has 2048 positions"), "{refused:?}");
}
