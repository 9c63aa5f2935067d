//! The real program at a terminal: asked, listed, checked, measured.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use jnana_core::model_card::{CardFile, Parts};
use jnana_models::{Adapter, LoadOptions, load_decoder};
use jnana_server::catalog::Catalog;
use tempfile::TempDir;

use super::support::{Caller, MODEL, home, models, program};

/// The program with `arguments` and this home, without any network.
fn jnana(home: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).args(["--offline", "--home"]).arg(home.path());
    command.env("JNANA_PACKED_MIB", "0");
    command
}

/// What a command that succeeds says.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command that fails says of it.
fn complaint(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("jnana: ") && !words.contains("panicked"), "{words}");
    words
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn tensor(file: &Path, name: &str) -> Tensor {
    candle_core::safetensors::load(file, &Device::Cpu).unwrap()[name].clone()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_question_from_a_terminal_is_answered() {
    let home = home();
    let mut ask = jnana(&home, &["ask", "What is the capital of France?", "--max-tokens", "20"]);
    let answer = said(ask.args(["--plugins", "no-plugins"]));
    assert!(answer.contains("Paris"), "{answer}");
}

#[test]
fn a_picture_and_a_recording_from_a_terminal_are_answered_as_the_words_come() {
    let home = home();
    let mut child = jnana(&home, &["ask", "--max-tokens", "80"])
        .arg("--image")
        .arg(repository("e2e/assets/bear.jpg"))
        .arg("--audio")
        .arg(repository("plugins/whisper/tests/fixtures/question.wav"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut out, mut first) = (child.stdout.take().unwrap(), [0]);
    out.read_exact(&mut first).unwrap();
    assert!(child.try_wait().unwrap().is_none(), "nothing came before the end");
    let mut answer = first.to_vec();
    out.read_to_end(&mut answer).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert!(String::from_utf8(answer).unwrap().trim().len() > 1);
    let notes = String::from_utf8(ended.stderr).unwrap();
    let heard = notes.lines().find_map(|line| line.strip_prefix("> ")).unwrap_or_else(|| panic!("{notes}"));
    assert!(heard.to_lowercase().contains("picture"), "{heard}");
}

#[tokio::test]
async fn a_question_from_a_terminal_can_go_to_a_server() {
    let base = Caller::shared().base;
    let home = tempfile::tempdir().unwrap();
    let ask = move |question: &str| {
        let mut command = Command::new(program());
        command.args(["ask", "--max-tokens", "20", "--url", &base, "--home"]).arg(home.path()).arg(question);
        command.output().unwrap()
    };
    let output = tokio::task::spawn_blocking(move || {
        (ask("What is the capital of France?"), ask(&"word ".repeat(9000)))
    });
    let (good, refused) = output.await.unwrap();
    assert!(String::from_utf8_lossy(&good.stdout).contains("Paris"));
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("positions"), "{refused:?}");
}

#[test]
fn plugins_are_listed_with_where_they_stand() {
    let list = said(&mut jnana(&home(), &["plugin", "list"]));
    for file in ["libjnana_vision.so", "libjnana_whisper.so"] {
        let line = list.lines().find(|line| line.contains(file)).unwrap_or_else(|| panic!("{list}"));
        assert!(line.ends_with(": ready") && line.contains("sha256 "), "{line}");
    }
}

#[test]
fn the_projects_own_plugins_keep_the_contract() {
    let home = home();
    for file in ["libjnana_vision.so", "libjnana_whisper.so"] {
        let library = program().with_file_name("plugins").join(file);
        let report =
            jnana(&home, &["plugin", "check", library.to_str().unwrap(), "--seed", "7"]).output().unwrap();
        let words = String::from_utf8_lossy(&report.stdout);
        assert!(report.status.success() && words.contains(" 0 failed"), "{words}");
    }
}

#[test]
fn a_plugin_that_breaks_the_contract_is_reported_for_people_and_programs() {
    let home = tempfile::tempdir().unwrap();
    let library = std::env::current_exe().unwrap().with_file_name("libjnana_faulty_plugin.so");
    let check = |more: &[&str]| {
        let arguments =
            [&["plugin", "check", library.to_str().unwrap(), "create", "status"][..], more].concat();
        jnana(&home, &arguments).output().unwrap()
    };
    // It panics where it is told to, and here it is.
    let told = check(&["--json", "--set", "faulty.panic=true"]);
    assert!(!told.status.success());
    let report: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(report["tests"][1]["outcome"], "failed", "{report}");
    let model = format!("faulty.model={}", home.path().display());
    let good = check(&["--seed", "9", "--set", &model]);
    let words = String::from_utf8_lossy(&good.stdout);
    assert!(good.status.success() && words.contains("(seed 9)"), "{words}");
}

#[test]
fn plugins_are_installed_checked_switched_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let plugins = home.path().join("plugins");
    let library = std::env::current_exe().unwrap().with_file_name("libjnana_faulty_plugin.so");
    let plugin = |arguments: &[&str]| {
        let mut command = jnana(&home, &[&["plugin"][..], arguments].concat());
        command.arg("--plugins").arg(&plugins);
        command
    };
    let wrong = plugin(&["install", library.to_str().unwrap(), "--sha256", "00"]).output().unwrap();
    assert!(complaint(&wrong).contains("another file"), "{wrong:?}");
    let installed = said(&mut plugin(&["install", library.to_str().unwrap()]));
    assert!(installed.contains("runs in a worker") && installed.contains("not signed"), "{installed}");
    assert!(said(&mut plugin(&["verify"])).contains("libjnana_faulty_plugin.so: verified"));
    assert!(said(&mut plugin(&["disable", "faulty"])).contains("switched off"));
    assert!(said(&mut plugin(&["enable", "libjnana_faulty_plugin.so"])).contains("switched on"));
    std::fs::write(plugins.join("libjnana_faulty_plugin.so"), "changed").unwrap();
    let changed = plugin(&["verify"]).output().unwrap();
    assert!(!changed.status.success());
    assert!(String::from_utf8_lossy(&changed.stdout).contains("WRONG"), "{changed:?}");
    assert!(said(&mut plugin(&["remove", "faulty"])).contains("removed"));
    let unknown = plugin(&["remove", "faulty"]).output().unwrap();
    assert!(complaint(&unknown).contains("no installed plugin is called faulty"));
    let unsafe_address = plugin(&["install", "http://127.0.0.1:1/libx.so"]).output().unwrap();
    assert!(complaint(&unsafe_address).contains("offline"));
}

#[test]
fn a_new_admin_token_is_the_only_thing_on_standard_output() {
    let home = tempfile::tempdir().unwrap();
    let make = || said(&mut jnana(&home, &["admin", "token"]));
    let (first, second) = (make(), make());
    for token in [&first, &second] {
        let token = token.strip_suffix('\n').unwrap();
        assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    }
    assert_ne!(first, second);
}

#[test]
fn models_are_listed_and_checked() {
    let here = home();
    let list = said(&mut jnana(&here, &["models", "list"]));
    let line = list.lines().find(|line| line.starts_with(MODEL)).unwrap_or_else(|| panic!("{list}"));
    assert!(line.contains(" here ") && line.ends_with("(default)"), "{line}");
    let checked = said(&mut jnana(&here, &["models", "verify", MODEL]));
    assert!(!checked.is_empty() && checked.lines().all(|line| line.ends_with(": verified")), "{checked}");

    let elsewhere = tempfile::tempdir().unwrap();
    let list = said(&mut jnana(&elsewhere, &["models", "list"]));
    assert!(list.lines().all(|line| !line.contains(" here ")), "{list}");
    let catalog = Catalog::built_in().unwrap();
    let file = &catalog.get(MODEL).unwrap().files[0].path;
    let damaged = elsewhere.path().join("models").join(MODEL).join(file);
    std::fs::create_dir_all(damaged.parent().unwrap()).unwrap();
    std::fs::write(damaged, "damaged").unwrap();
    let output = jnana(&elsewhere, &["models", "verify"]).output().unwrap();
    assert!(!output.status.success());
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(words.contains(&format!("{MODEL}/{file}: WRONG: bytes 7")), "{words}");
}

#[test]
fn debug_logits_are_those_of_a_forward_pass() {
    let (home, tokens) = (home(), [1_u32, 2, 3]);
    let out = home.path().join("logits.safetensors");
    said(jnana(&home, &["debug", "logits", "--tokens", "1,2,3"]).arg("--out").arg(&out));
    let written = tensor(&out, "logits");
    assert_eq!(written.dims(), [3, 49152]);

    let Parts { weights, adapter } = CardFile::parts(&models().join(MODEL)).unwrap();
    let adapter = Arc::new(Adapter::load(&adapter.unwrap(), &Device::Cpu).unwrap());
    let logits = |adapter: Option<Arc<Adapter>>| {
        let options = LoadOptions { adapter, ..LoadOptions::new(Device::Cpu) };
        let decoder = load_decoder(&weights, &options).unwrap().decoder;
        let ids = Tensor::new(&tokens, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let hidden = decoder.forward_padded(&decoder.embed(&ids).unwrap(), None).unwrap();
        values(&decoder.logits(&hidden).unwrap())
    };
    assert_eq!(values(&written), logits(Some(adapter)));
    assert_ne!(values(&written), logits(None), "the adapter is left out");
}

#[test]
fn debug_embed_writes_the_same_rows_each_time() {
    let home = home();
    let embed = |name: &str| {
        let out = home.path().join(name);
        let mut command = jnana(&home, &["debug", "embed", "--plugin", "vision"]);
        command.arg("--input").arg(repository("e2e/assets/bear.jpg")).arg("--out").arg(&out);
        said(&mut command);
        tensor(&out, "embeddings")
    };
    let (first, second) = (embed("first.safetensors"), embed("second.safetensors"));
    assert_eq!(first.dims(), [49, 576]);
    assert!(values(&first).iter().any(|value| *value != 0.0));
    assert_eq!(values(&first), values(&second));
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_program_without_cuda_says_so() {
    let output = jnana(&home(), &["ask", "Hi", "--device", "cuda"]).output().unwrap();
    let words = complaint(&output);
    assert!(words.contains("built without CUDA") && words.contains("--device cpu"), "{words}");
}

#[test]
fn a_random_model_serves() {
    let home = home();
    let out = home.path().join("tiny");
    let made = Command::new(program())
        .args(["debug", "random-model", "--shape", "tiny-phi", "--weights", "f32", "--tokenizer"])
        .arg(home.path().join("models/gpt2"))
        .arg("--out")
        .arg(&out)
        .status()
        .unwrap();
    assert!(made.success());
    let asked = Command::new(program())
        .args(["ask", "Hi", "--offline", "--max-tokens", "3", "--home"])
        .arg(home.path())
        .arg("--plugins")
        .arg(home.path().join("no-plugins"))
        .arg("--model")
        .arg(&out)
        .output()
        .unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    assert!(!asked.stdout.is_empty());
}
