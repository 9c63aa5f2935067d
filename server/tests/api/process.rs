//! The real program: killed in mid-answer, told to end, asked from a terminal.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;

use super::support::{Caller, Events, home, id, program, text_of};

/// `jnana serve` as its own process.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) caller: Caller,
}

impl Process {
    fn start(home: &TempDir) -> Self {
        let no_plugins = home.path().join("no-plugins");
        Self::serve(home, [OsStr::new("--plugins"), no_plugins.as_os_str()])
    }

    /// Serves with `arguments` beside those of every test; returns once the model is loaded.
    pub(crate) fn serve<'a>(home: &TempDir, arguments: impl IntoIterator<Item = &'a OsStr>) -> Self {
        let mut child = Command::new(program())
            .args(["serve", "--port", "0", "--offline", "--shutdown-seconds", "5", "--home"])
            .arg(home.path())
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let base = lines.find_map(|line| line.unwrap().strip_prefix("Jnana is ready on ").map(str::to_owned));
        // Its pipe is read on, or its logs would block it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, caller: Caller { base: base.expect("the program ended early"), client: Client::new() } }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is what the tests wait for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_kill_in_mid_stream_loses_no_finished_message() {
    let home = home();
    let mut process = Process::start(&home);
    let conversation = process.caller.conversation().await;
    let finished = process.caller.exchange(&conversation, None, "Say hello.").await;
    let (_, answer) =
        process.caller.ask(&conversation, Some(id(&finished)), "Tell me a very long story.").await;
    let path = format!("/api/conversations/{conversation}/messages/{}/events", id(&answer));
    let mut stream = Events::of(process.caller.get(&path).await);
    let mut seen = String::new();
    let started = std::time::Instant::now();
    while seen.len() < 40 || started.elapsed() < Duration::from_millis(600) {
        let event: Value = stream.next_json().await.unwrap();
        assert_ne!(event["type"], "end", "the answer was too short for this test");
        seen.push_str(event["text"].as_str().filter(|_| event["type"] == "text").unwrap_or_default());
    }
    process.signal("-KILL");
    process.child.wait().unwrap();
    drop(process);

    let process = Process::start(&home);
    let whole = process.caller.json(&format!("/api/conversations/{conversation}")).await;
    let messages = whole["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 4);
    assert_eq!(messages[1], finished);
    let cut = &messages[3];
    assert_eq!(cut["state"], "failed");
    assert!(cut["error"].as_str().unwrap().contains("kept"), "{cut}");
    let kept = text_of(cut);
    assert!(!kept.is_empty() && (seen.starts_with(&kept) || kept.starts_with(&seen)), "{kept:?} of {seen:?}");
    let events = process.caller.events(&conversation, id(&answer), 0).await;
    assert_eq!(events.last().unwrap()["message"], *cut);
}

#[tokio::test]
async fn told_to_end_it_ends_its_streams_and_itself() {
    let home = home();
    let mut process = Process::start(&home);
    let mut body = super::support::question_of("Name three colours.", 40);
    body["stream"] = true.into();
    let mut events = Events::of(process.caller.post("/v1/chat/completions", &body).await);
    events.next().await.unwrap();
    process.signal("-TERM");
    let rest = events.all().await;
    assert_eq!(rest.last().unwrap(), "[DONE]");
    assert!(rest.iter().any(|event| event.contains("finish_reason\":\"")), "{rest:?}");
    assert!(process.child.wait().unwrap().success());
}

#[test]
fn a_question_from_a_terminal_is_answered() {
    let home = home();
    let output = Command::new(program())
        .args(["ask", "--offline", "--max-tokens", "20", "--home"])
        .arg(home.path())
        .arg("--plugins")
        .arg(home.path().join("no-plugins"))
        .arg("What is the capital of France?")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.contains("Paris"),
        "{said} {:?}",
        String::from_utf8(output.stderr)
    );
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
fn debug_logits_writes_one_row_a_token() {
    let home = home();
    let out = home.path().join("logits.safetensors");
    let status = Command::new(program())
        .args(["debug", "logits", "--offline", "--tokens", "1,2,3", "--home"])
        .arg(home.path())
        .arg("--out")
        .arg(&out)
        .status()
        .unwrap();
    assert!(status.success());
    let tensors = candle_core::safetensors::load(&out, &candle_core::Device::Cpu).unwrap();
    assert_eq!(tensors["logits"].dims(), [3, 49152]);
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
