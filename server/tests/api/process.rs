//! The real server program: starting, logging, killed in mid-answer, told to end.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::{Caller, Events, home, id, program, refused, text_of};

/// `jnana serve` as its own process.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) caller: Caller,
    /// What it says on standard error, line by line.
    log: Receiver<String>,
}

/// A folder that is not there.
const NO_PLUGINS: [&str; 2] = ["--plugins", "no-plugins"];

impl Process {
    fn start(home: &TempDir) -> Self {
        Self::serve(home, NO_PLUGINS.map(OsStr::new))
    }

    /// Serves with `arguments` beside those of every test; returns once the model is loaded.
    pub(crate) fn serve<'a>(home: &TempDir, arguments: impl IntoIterator<Item = &'a OsStr>) -> Self {
        let process = Self::begin(home, arguments);
        process.loaded();
        process
    }

    /// The same, but returns while the model is being loaded.
    fn begin<'a>(home: &TempDir, arguments: impl IntoIterator<Item = &'a OsStr>) -> Self {
        let mut child = Command::new(program())
            .args(["serve", "--port", "0", "--offline", "--shutdown-seconds", "5", "--home"])
            .arg(home.path())
            .args(arguments)
            .env("JNANA_PACKED_MIB", "0")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = channel();
        // Its pipe is read on when nobody wants the lines any more, or its logs would block it.
        std::thread::spawn(move || lines.for_each(|line| drop(sender.send(line.unwrap()))));
        let base = said(&log, "Jnana is starting on ");
        Self { child, caller: Caller { base, client: Client::new() }, log }
    }

    fn loaded(&self) {
        assert_eq!(said(&self.log, "Jnana is ready on "), self.caller.base);
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

/// The rest of the next line that starts with `words`.
fn said(log: &Receiver<String>, words: &str) -> String {
    let rest = log.iter().find_map(|line| line.strip_prefix(words).map(str::to_owned));
    rest.expect("the program ended early")
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is what the tests wait for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn it_is_alive_at_once_and_ready_when_the_model_is_loaded() {
    let home = home();
    let process = Process::begin(&home, NO_PLUGINS.map(OsStr::new));
    let early = process.caller.get("/readyz").await;
    assert_eq!(early.headers()["retry-after"], "2");
    refused(early, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(process.caller.get("/healthz").await.status(), StatusCode::OK);
    process.loaded();
    assert_eq!(process.caller.get("/readyz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_line_of_the_json_log_names_the_request_as_its_answer_does() {
    let home = home();
    let arguments = ["--log-format", "json"].into_iter().chain(NO_PLUGINS);
    let process = Process::serve(&home, arguments.map(OsStr::new));
    for given in [None, Some("asked-by-a-test")] {
        let request = process.caller.request(Method::GET, "/v1/models");
        let request = given.into_iter().fold(request, |request, id| request.header("x-request-id", id));
        let response = request.send().await.unwrap();
        let named = response.headers()["x-request-id"].to_str().unwrap();
        assert!(given.is_none_or(|given| given == named), "{named}");
        let line = process.log.iter().find(|line| line.contains(named)).expect("the program ended early");
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["message"], "answered");
        assert_eq!(line["status"], 200);
        assert_eq!(line["span"]["id"], named);
        assert_eq!(line["span"]["path"], "/v1/models");
    }
}

#[tokio::test]
async fn the_admin_token_is_shown_at_the_first_start_only() {
    let home = home();
    let process = Process::begin(&home, NO_PLUGINS.map(OsStr::new));
    let words = format!("Admin token for {}/admin (shown once): ", process.caller.base);
    let token = said(&process.log, &words);
    process.loaded();
    let signed_in = process.caller.post("/api/admin/sign-in", &json!({ "token": token })).await;
    assert_eq!(signed_in.status(), StatusCode::OK);
    drop(process);

    let process = Process::begin(&home, NO_PLUGINS.map(OsStr::new));
    let mut lines = process.log.iter().take_while(|line| !line.starts_with("Jnana is ready on "));
    assert!(lines.all(|line| !line.contains("Admin token") && !line.contains(&token)));
}

#[tokio::test]
async fn a_kill_in_mid_stream_loses_no_finished_message() {
    let home = home();
    // It tells longer stories than the default.
    let arguments = ["--model", "smollm2-135m-instruct"].into_iter().chain(NO_PLUGINS);
    let mut process = Process::serve(&home, arguments.map(OsStr::new));
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
