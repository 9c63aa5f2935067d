//! A server of the test's own, and clients' everyday moves.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use futures_util::StreamExt;
use jnana_server::settings::Given;
use jnana_server::startup::Server;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const MODEL: &str = "jnana-135m";

/// Where the model files are.
pub(crate) fn models() -> PathBuf {
    let folder = std::env::var_os("JNANA_TEST_MODELS").map(PathBuf::from).filter(|folder| folder.is_dir());
    folder.expect("JNANA_TEST_MODELS names no folder of models: run these tests through `cargo xtask test`")
}

/// The program, with the plugins beside it.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_jnana"))
}

/// A file that another crate ships for its tests.
pub(crate) fn fixture(path: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// A home folder with the models linked into it.
pub(crate) fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(models(), home.path().join("models")).unwrap();
    home
}

/// Settings for a server on a free port, without plugins and without any network.
pub(crate) fn given(home: &TempDir) -> Given {
    Given {
        home: Some(home.path().to_owned()),
        port: Some(0),
        plugins: Some(home.path().join("no-plugins")),
        offline: Some(true),
        // Each home is a new one, so that nothing would ever be taken from there.
        packed_mib: Some(0),
        shutdown_seconds: Some(5),
        ..Given::default()
    }
}

/// A running server.
pub(crate) struct TestApp {
    pub(crate) server: Server,
    pub(crate) caller: Caller,
    _home: TempDir,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        let home = home();
        let settings = given(&home);
        Self::with(home, settings).await
    }

    pub(crate) async fn with(home: TempDir, given: Given) -> Self {
        let mut settings = given.resolve().unwrap();
        settings.program = program();
        let mut server = Server::start(settings).await.unwrap();
        server.ready().await.unwrap();
        let caller = Caller { base: format!("http://{}", server.address()), client: Client::new() };
        Self { server, caller, _home: home }
    }
}

/// One server with all plugins for every test that changes no settings; it lives as long as the tests.
pub(crate) static SHARED: LazyLock<Caller> = LazyLock::new(|| {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let home = home();
            let plugins = Some(program().with_file_name("plugins"));
            let given = Given { plugins, ..given(&home) };
            let app = TestApp::with(home, given).await;
            sender.send(app.caller.base.clone()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    let base = receiver.recv().expect("the shared server did not start");
    Caller { base, client: Client::new() }
});

/// A caller of one server. The client is made anew for each test: its connections belong to one runtime.
pub(crate) struct Caller {
    pub(crate) base: String,
    pub(crate) client: Client,
}

impl Caller {
    pub(crate) fn shared() -> Self {
        Self { base: SHARED.base.clone(), client: Client::new() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        good(self.get(path).await).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.unwrap()
    }

    pub(crate) async fn chat(&self, body: &Value) -> Value {
        good(self.post("/v1/chat/completions", body).await).await
    }

    /// The answer's text to one question of `max_tokens`.
    pub(crate) async fn answer(&self, question: &str, max_tokens: u32) -> String {
        let answer = self.chat(&question_of(question, max_tokens)).await;
        answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }

    pub(crate) async fn conversation(&self) -> String {
        let made = good(self.post("/api/conversations", &json!({})).await).await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// Posts a text question; gives the question and the answer as stored at that time.
    pub(crate) async fn ask(&self, conversation: &str, parent: Option<&str>, text: &str) -> (Value, Value) {
        let body = json!({ "parent": parent, "parts": [{ "type": "text", "text": text }] });
        let posted =
            good(self.post(&format!("/api/conversations/{conversation}/messages"), &body).await).await;
        (posted["question"].clone(), posted["answer"].clone())
    }

    /// All events of an answer behind `after`, until its end.
    pub(crate) async fn events(&self, conversation: &str, answer: &str, after: u64) -> Vec<Value> {
        let path = format!("/api/conversations/{conversation}/messages/{answer}/events?after={after}");
        let mut stream = Events::of(self.get(&path).await);
        let mut events = Vec::new();
        while let Some(event) = stream.next_json().await {
            events.push(event);
        }
        events
    }

    /// Asks and waits; gives the stored answer.
    pub(crate) async fn exchange(&self, conversation: &str, parent: Option<&str>, text: &str) -> Value {
        let (_, answer) = self.ask(conversation, parent, text).await;
        let events = self.events(conversation, id(&answer), 0).await;
        let end = events.last().unwrap();
        assert_eq!(end["type"], "end", "{end}");
        end["message"].clone()
    }
}

pub(crate) fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

pub(crate) fn question_of(question: &str, max_tokens: u32) -> Value {
    json!({ "messages": [{ "role": "user", "content": question }], "max_tokens": max_tokens })
}

pub(crate) fn text_of(message: &Value) -> String {
    let parts = message["parts"].as_array().unwrap();
    parts.iter().filter_map(|part| part["text"].as_str()).collect()
}

pub(crate) async fn good(response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The error object of a refused call.
pub(crate) async fn refused(response: Response, status: StatusCode) -> Value {
    let found = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(found, status, "{text}");
    let body: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let error = body["error"].clone();
    assert!(error["message"].as_str().is_some_and(|words| !words.is_empty()), "{text}");
    assert!(
        error["type"].is_string() && error.get("param").is_some() && error.get("code").is_some(),
        "{text}"
    );
    error
}

/// Server-sent events as they come.
pub(crate) struct Events {
    bytes: std::pin::Pin<Box<dyn futures_util::Stream<Item = Vec<u8>> + Send>>,
    buffer: String,
}

impl Events {
    pub(crate) fn of(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let bytes = response.bytes_stream().map(|chunk| chunk.unwrap().to_vec());
        Self { bytes: Box::pin(bytes), buffer: String::new() }
    }

    /// The data of the next event; none at the end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let data: Vec<&str> = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
                let data = data.join("\n");
                self.buffer = rest.to_owned();
                if !data.is_empty() {
                    return Some(data);
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(60), self.bytes.next()).await.unwrap()?;
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    pub(crate) async fn next_json(&mut self) -> Option<Value> {
        Some(serde_json::from_str(&self.next().await?).unwrap())
    }

    /// Everything to the end.
    pub(crate) async fn all(mut self) -> Vec<String> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// Waits until `condition` holds, at most some seconds.
pub(crate) async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut condition: F) {
    for _ in 0..200 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never happened: {what}");
}
