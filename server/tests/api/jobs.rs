//! Training as jobs: the real server, the real trainer, a tiny model and drawn pictures; both programs are killed in between.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use jnana_plugin_host::{InstallOptions, Trust, install};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::admin::Session;
use super::process::Process;
use super::support::{Events, eventually, good, home, program, refused};

/// A home with the plugin, and data and models to train with.
struct Rig {
    home: TempDir,
    token: String,
}

impl Rig {
    fn new() -> Self {
        let home = home();
        let library = program().with_file_name("libjnana_trainer_plugin.so");
        let options = InstallOptions { trust: Trust::Full, ..InstallOptions::default() };
        install(&home.path().join("plugins"), &library, &options).unwrap();
        write_model(&home.path().join("phi"));
        let drawn = home.path().join("data/drawn");
        let mut draw = Command::new(program().with_file_name("jnana-trainer"));
        run(draw.args(["draw", "--pictures", "12", "--side", "32", "--out"]).arg(drawn));
        let recipes = home.path().join("data/recipes");
        std::fs::create_dir(&recipes).unwrap();
        std::fs::write(recipes.join("small.toml"), recipe(home.path())).unwrap();
        let mut token = Command::new(program());
        let token = run(token.args(["admin", "token", "--home"]).arg(home.path()));
        Self { home, token: token.trim().to_owned() }
    }

    async fn serve(&self) -> Served {
        let plugins = self.home.path().join("plugins");
        let process = Process::serve(&self.home, [OsStr::new("--plugins"), plugins.as_os_str()]);
        let session = Session::of(&process.caller, &self.token).await;
        Served { process, session }
    }

    fn new_job(&self, settings: &Value) -> Value {
        let mut settings: Map<String, Value> = settings.as_object().unwrap().clone();
        settings.insert("recipe".to_owned(), json!(self.home.path().join("data/recipes/small.toml")));
        json!({ "plugin": "trainer", "kind": "align", "settings": settings })
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The small random Phi of the models' tests, with a tokenizer of words.
fn write_model(folder: &Path) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures/decoders/phi");
    std::fs::create_dir(folder).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture.join(name), folder.join(name)).unwrap();
    }
    let words =
        ["<|endoftext|>", "?", "capt", "ion", " image", ":", "end", " of", " question", " a", " the", "."];
    let vocabulary: Map<String, Value> =
        (0..).zip(words).map(|(id, word)| (word.to_owned(), json!(id))).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "decoder": null,
        "added_tokens": [{ "id": 0, "content": words[0], "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true }],
        "pre_tokenizer": { "type": "Split", "pattern": { "Regex": "capt|ion| ?[a-zA-Z]+|[^a-zA-Z]" },
            "behavior": "Isolated", "invert": false },
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "?" },
    });
    let card = json!({ "format": 1, "name": "small", "space": "small", "template": "recipe" });
    for (name, content) in [
        ("tokenizer.json", tokenizer),
        ("tokenizer_config.json", json!({ "eos_token": words[0] })),
        ("jnana.json", card),
    ] {
        std::fs::write(folder.join(name), content.to_string()).unwrap();
    }
}

fn recipe(home: &Path) -> String {
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures/vision/clip");
    format!(
        r#"
        name = "small"
        stage = "align"
        steps = 20
        rate = {{ rate = 1e-3 }}
        decoder = {{ model = {:?} }}
        vision = {{ encoder = {clip:?}, scale = 0.1 }}
        [[data]]
        name = "drawn"
        folder = "drawn"
        format = {{ kind = "coco", captions = "all" }}
        held_out_share = 0.2
        [batches]
        by = "positions"
        list = [{{ up_to = 64, batch = 2 }}]
        [keep]
        evaluate_every = 10
        checkpoint_every = 10
        "#,
        home.join("phi")
    )
}

/// A server that somebody administers.
struct Served {
    process: Process,
    session: Session,
}

impl Served {
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Response {
        let request = self.process.caller.request(method, path);
        let request =
            request.header("cookie", &self.session.cookie).header("x-csrf-token", &self.session.csrf);
        body.into_iter().fold(request, reqwest::RequestBuilder::json).send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        good(self.call(Method::GET, path, None).await).await
    }

    async fn post(&self, path: &str, body: Option<&Value>) -> Value {
        good(self.call(Method::POST, path, body).await).await
    }

    async fn start(&self, new: &Value) -> String {
        let response = self.call(Method::POST, "/api/admin/jobs", Some(new)).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        good(response).await["id"].as_str().unwrap().to_owned()
    }

    async fn job(&self, id: &str) -> Value {
        self.get(&format!("/api/admin/jobs/{id}")).await
    }

    /// Waits until a job stands somewhere, and gives it.
    async fn until(&self, id: &str, state: &str) -> Value {
        eventually(&format!("{id} is {state}"), async || self.job(id).await["state"] == state).await;
        self.job(id).await
    }

    async fn events(&self, id: &str, last: Option<u64>) -> Events {
        let path = format!("/api/admin/jobs/{id}/events");
        let request = self.process.caller.request(Method::GET, &path).header("cookie", &self.session.cookie);
        let last = last.map(|seq| seq.to_string());
        let request = last.into_iter().fold(request, |request, seq| request.header("last-event-id", seq));
        Events::of(request.send().await.unwrap())
    }
}

fn kill(process: &Value) {
    run(Command::new("kill").args(["-KILL", &process.to_string()]));
}

/// All events up to the first that is wanted.
async fn until(events: &mut Events, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let event = events.next_json().await.expect("the events ended early");
        all.push(event);
        if wanted(&all[all.len() - 1]) {
            return all;
        }
    }
}

#[tokio::test]
async fn a_job_survives_the_server_and_goes_on_after_a_kill() {
    let rig = Rig::new();
    let mut served = rig.serve().await;
    let id = served.start(&rig.new_job(&json!({ "steps": 1_000_000 }))).await;
    let other = served.start(&rig.new_job(&json!({ "steps": 20 }))).await;
    let mut events = served.events(&id, None).await;
    let seen =
        until(&mut events, |event| event["event"] == "step" && event["step"].as_u64() >= Some(15)).await;
    let numbers: Vec<u64> = seen.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let running = served.until(&id, "running").await;
    assert_eq!(running["progress"]["steps"], 1_000_000);
    assert_eq!(served.job(&other).await["state"], "queued", "one runs at a time");

    served.process.child.kill().unwrap();
    served.process.child.wait().unwrap();
    drop(served);
    let trainer = PathBuf::from(format!("/proc/{}", running["process"]));
    assert!(trainer.exists(), "the job ended with the server");
    let served = rig.serve().await;
    let again = served.job(&id).await;
    assert_eq!((&again["state"], &again["process"]), (&json!("running"), &running["process"]));
    let mut events = served.events(&id, numbers.last().copied()).await;
    let next = events.next_json().await.unwrap();
    assert_eq!(next["seq"].as_u64().unwrap(), numbers[numbers.len() - 1] + 1);

    kill(&running["process"]);
    let interrupted = served.until(&id, "interrupted").await;
    assert!(interrupted["reason"].as_str().unwrap().contains("gone"), "{interrupted}");
    // The one that waited has had its turn in the meantime.
    served.until(&other, "finished").await;
    let ended = until(&mut events, |event| event["state"] == "interrupted").await;
    assert!(events.next_json().await.is_none(), "the stream of a job that does not run ends");
    served.post(&format!("/api/admin/jobs/{id}/resume"), None).await;
    let mut events = served.events(&id, ended[ended.len() - 1]["seq"].as_u64()).await;
    let started = until(&mut events, |event| event["event"] == "start").await;
    let begun = started[started.len() - 1]["step"].as_u64().unwrap();
    assert!(begun > 0 && begun.is_multiple_of(10), "{begun} is no checkpoint");

    let conflict = served.call(Method::DELETE, &format!("/api/admin/jobs/{id}"), None).await;
    refused(conflict, StatusCode::CONFLICT).await;
    served.post(&format!("/api/admin/jobs/{id}/stop"), None).await;
    let stopped = served.until(&id, "stopped").await;
    assert_eq!((&stopped["process"], &stopped["resumable"]), (&Value::Null, &json!(true)));
    let last = until(&mut events, |event| event["state"] == "stopped").await;
    assert!(last.iter().any(|event| event["event"] == "end" && event["reason"] == "interrupted"), "{last:?}");
    assert!(events.next_json().await.is_none());

    let gone = served.call(Method::DELETE, &format!("/api/admin/jobs/{id}"), None).await;
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    refused(served.call(Method::GET, &format!("/api/admin/jobs/{id}"), None).await, StatusCode::NOT_FOUND)
        .await;
    assert!(!rig.home.path().join("jobs").join(&id).exists());
}

#[tokio::test]
async fn a_finished_job_says_what_it_left_behind_and_another_goes_on_from_there() {
    let rig = Rig::new();
    let served = rig.serve().await;
    let kinds = served.get("/api/admin/job-kinds").await;
    let align = &kinds.as_array().unwrap().iter().find(|kind| kind["kind"] == "align").unwrap();
    assert_eq!(align["plugin"], "trainer");
    assert_eq!(align["schema"]["properties"]["data.0.folder"]["enum"], json!(["drawn"]));
    assert_eq!(align["series"][0]["key"], "loss");

    let new = rig.new_job(&json!({ "seed": 7 }));
    let preview = served.post("/api/admin/jobs/check", Some(&new)).await;
    assert_eq!(preview["refusal"], Value::Null, "{preview}");
    assert!(preview["findings"]["counts"]["records to learn from"].as_u64().unwrap() > 0, "{preview}");
    assert!(preview["estimate"]["memory"].as_u64().unwrap() > 0, "{preview}");
    assert_eq!(served.get("/api/admin/jobs").await, json!([]), "a look starts nothing");

    let id = served.start(&new).await;
    let events: Vec<Value> = served
        .events(&id, None)
        .await
        .all()
        .await
        .iter()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    let steps: Vec<&Value> = events.iter().filter(|event| event["event"] == "step").collect();
    assert_eq!(steps.len(), 20);
    assert!(steps.iter().all(|step| step["loss"].is_f64() && step["rate"].is_f64()), "{steps:?}");
    assert!(events.iter().any(|event| event["event"] == "evaluation" && event["metrics"]["loss"].is_f64()));
    assert_eq!(events[events.len() - 1]["state"], "finished");

    let job = served.job(&id).await;
    assert_eq!((&job["title"], &job["progress"]["step"]), (&align["label"], &json!(20)));
    let [projector] = job["products"].as_array().unwrap().as_slice() else { panic!("{job}") };
    let bytes = std::fs::read(projector["path"].as_str().unwrap()).unwrap();
    assert_eq!((&projector["kind"], &projector["bytes"]), (&json!("projector"), &json!(bytes.len())));
    assert_eq!(projector["sha256"], hex::encode(Sha256::digest(&bytes)));
    let log = served.call(Method::GET, &format!("/api/admin/jobs/{id}/log"), None).await;
    assert!(log.text().await.unwrap().contains("records to learn from"));
    let conflict = served.call(Method::POST, &format!("/api/admin/jobs/{id}/resume"), None).await;
    refused(conflict, StatusCode::CONFLICT).await;

    let further = rig.new_job(&json!({ "vision.projector": format!("{id}/work/run/projector.safetensors") }));
    let further = served.start(&further).await;
    served.until(&further, "finished").await;
    let all = served.get("/api/admin/jobs").await;
    let ids: Vec<&str> = all.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [further.as_str(), id.as_str()]);
}

#[tokio::test]
async fn what_cannot_go_is_refused_in_words_and_leaves_nothing_behind() {
    let rig = Rig::new();
    let served = rig.serve().await;
    let changed = |key: &str, value: Value| {
        let mut new = rig.new_job(&json!({}));
        new[key] = value;
        new
    };
    for (new, status, word) in [
        (json!({}), 400, "plugin"),
        (changed("plugin", json!("baker")), 404, "baker"),
        (changed("kind", json!("bake")), 404, "bake"),
        (changed("settings", json!({})), 400, "recipe"),
        (changed("title", json!("x".repeat(201))), 400, "200"),
        (rig.new_job(&json!({ "steps": "many" })), 400, "steps"),
        (rig.new_job(&json!({ "stepz": 1 })), 400, "stepz"),
        (rig.new_job(&json!({ "decoder.model": "nothing" })), 422, "nothing"),
    ] {
        let response = served.call(Method::POST, "/api/admin/jobs", Some(&new)).await;
        let error = refused(response, StatusCode::from_u16(status).unwrap()).await;
        assert!(error["message"].as_str().unwrap().contains(word), "{new}: {error}");
    }
    let preview = served
        .post("/api/admin/jobs/check", Some(&rig.new_job(&json!({ "decoder.model": "nothing" }))))
        .await;
    assert!(preview["refusal"].as_str().unwrap().contains("nothing"), "{preview}");
    assert_eq!(served.get("/api/admin/jobs").await, json!([]));
    assert_eq!(std::fs::read_dir(rig.home.path().join("jobs")).unwrap().count(), 0);
    for (method, path) in
        [(Method::GET, "x"), (Method::GET, "x/events"), (Method::POST, "x/stop"), (Method::GET, "x/log")]
    {
        let response = served.call(method, &format!("/api/admin/jobs/{path}"), None).await;
        refused(response, StatusCode::NOT_FOUND).await;
    }
}
