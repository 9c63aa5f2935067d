//! Generations of weights, as an administrator tries, promotes and rolls them back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device};
use jnana_models::config::Config;
use jnana_models::export::{copy_tokenizer, export_folder};
use jnana_models::merge::Merged;
use jnana_models::projector::{Projector, ProjectorInfo};
use jnana_models::{Adapter, LoraConfig, open_checkpoint};
use jnana_server::settings::Given;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::admin::Session;
use super::support::{
    Caller, Events, MODEL, TestApp, eventually, fixture, given, good, home, id, program, refused, text_of,
};

const QUESTION: &str = "Tell me a story about a fox, a bear and a river.";
const CANDIDATES: &str = "/api/admin/candidates";
const GENERATIONS: &str = "/api/admin/generations";
const ADAPTER: &str = "assets/models/jnana-135m/adapter/adapter_model.safetensors";
const ADAPTER_CONFIG: &str = "assets/models/jnana-135m/adapter/adapter_config.json";
const PROJECTOR: &str = "assets/models/jnana-135m/projector.safetensors";

/// A server on a home folder that outlives it, and its administrator. `token` is that of the first start.
struct Operator {
    app: TestApp,
    session: Session,
    token: String,
}

impl Operator {
    async fn of(given: Given, token: Option<&str>) -> Self {
        let app = TestApp::with(tempfile::tempdir().unwrap(), given).await;
        let fresh = app.server.fresh_admin_token().map(|token| token.reveal().to_owned());
        let token = token.map(str::to_owned).or(fresh).unwrap();
        let session = Session::of(&app.caller, &token).await;
        Self { app, session, token }
    }

    async fn start(home: &TempDir) -> Self {
        Self::of(given(home), None).await
    }

    /// Ends the server and starts it again.
    async fn restart(self, home: &TempDir) -> Self {
        self.restart_after(home, || ()).await
    }

    /// The same, with something done in between.
    async fn restart_after(self, home: &TempDir, meanwhile: impl FnOnce()) -> Self {
        self.app.server.shutdown().await.unwrap();
        meanwhile();
        Self::of(given(home), Some(&self.token)).await
    }

    fn caller(&self) -> &Caller {
        &self.app.caller
    }

    async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        self.session.post(self.caller(), path, body).await
    }

    async fn get(&self, path: &str) -> Value {
        good(self.session.get(self.caller(), path).await).await
    }

    /// Loads a folder beside what serves.
    async fn add(&self, folder: &Path) -> reqwest::Response {
        self.post(CANDIDATES, &json!({ "path": folder })).await
    }

    async fn promote(&self, candidate: &Value) -> reqwest::Response {
        self.post(&format!("{CANDIDATES}/{}/promote", id(candidate)), &json!({})).await
    }

    async fn roll_back(&self) -> reqwest::Response {
        self.post(&format!("{GENERATIONS}/rollback"), &json!({})).await
    }

    /// What an answer that nobody else can be mixed into says, with its trace.
    async fn exchange(&self) -> (String, Value) {
        let conversation = self.caller().conversation().await;
        let message = self.caller().exchange(&conversation, None, QUESTION).await;
        assert_eq!(message["state"], "done", "{message}");
        (text_of(&message), message["details"].clone())
    }
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// The folder of a run that left the default model's projector and its adapter, which counts `alpha / 16`.
fn run_folder(home: &TempDir, name: &str, alpha: f64) -> PathBuf {
    let folder = home.path().join("runs").join(name);
    let mut config: Value = serde_json::from_slice(&fixture(ADAPTER_CONFIG)).unwrap();
    config["lora_alpha"] = json!(alpha);
    write(&folder.join("adapter/adapter_config.json"), config.to_string().as_bytes());
    write(&folder.join("adapter/adapter_model.safetensors"), &fixture(ADAPTER));
    write(&folder.join("projector.safetensors"), &fixture(PROJECTOR));
    folder
}

/// The folder of a run that left only a projector: the default model's in f32, said to be for `space`.
fn projector_folder(home: &TempDir, name: &str, space: &str) -> PathBuf {
    let folder = home.path().join("runs").join(name);
    let file = folder.join("projector.safetensors");
    write(&file, &fixture(PROJECTOR));
    let projector = Projector::load(&file, DType::F32, &Device::Cpu).unwrap();
    let info = ProjectorInfo { space: space.to_owned(), ..projector.info().clone() };
    projector.with_info(info).unwrap().save(&file).unwrap();
    folder
}

/// The text of a streamed answer, which has to come to its end.
async fn streamed(caller: &Caller) -> String {
    let message = json!({ "role": "user", "content": QUESTION });
    let body = json!({ "messages": [message], "max_tokens": 48, "temperature": 0, "stream": true });
    let mut events = Events::of(caller.post("/v1/chat/completions", &body).await).all().await;
    assert_eq!(events.pop().as_deref(), Some("[DONE]"), "{events:?}");
    let chunks: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert!(chunks.last().unwrap()["choices"][0]["finish_reason"].is_string(), "{chunks:?}");
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_under_load_drops_no_answer_and_mixes_no_weights() {
    let home = home();
    let operator = Operator::start(&home).await;
    let old = streamed(operator.caller()).await;
    let candidate = good(operator.add(&run_folder(&home, "faint", 1.0)).await).await;
    let promoted = Arc::new(AtomicBool::new(false));
    let streams: Vec<_> = (0..8)
        .map(|_| {
            let caller = Caller { base: operator.caller().base.clone(), client: Client::new() };
            let promoted = promoted.clone();
            tokio::spawn(async move {
                let mut said = Vec::new();
                loop {
                    let last = promoted.load(Ordering::Acquire);
                    said.push(streamed(&caller).await);
                    if last {
                        return said;
                    }
                }
            })
        })
        .collect();
    let live = "jnana_engine_live_requests";
    eventually("all eight run", async || operator.caller().metric(live).await == 8.0).await;
    good(operator.promote(&candidate).await).await;
    promoted.store(true, Ordering::Release);
    let new = streamed(operator.caller()).await;
    assert_ne!(old, new, "the two have to differ for this test to see anything");
    let mut answers = 2.0;
    for stream in streams {
        let said = stream.await.unwrap();
        answers += said.len() as f64;
        assert_eq!((said.first(), said.last()), (Some(&old), Some(&new)));
        let mut after = said.iter().skip_while(|text| **text == old);
        assert!(
            after.all(|text| *text == new),
            "an answer is neither of the two, or old after new: {said:?}"
        );
    }
    // The figures of the engine that left are still counted.
    let finished = "jnana_engine_finished_total";
    eventually("all are counted", async || operator.caller().metric(finished).await >= answers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promoted_serves_after_a_restart_and_until_it_is_rolled_back() {
    let home = home();
    let operator = Operator::start(&home).await;
    let (old, trace) = operator.exchange().await;
    let told = operator.get(GENERATIONS).await;
    assert_eq!((&told["current"]["number"], &told["before"]), (&json!(1), &Value::Null));
    assert_eq!(told["current"]["id"], trace["generation"]);
    assert_eq!(told["current"]["weights"], trace["weights"]);
    refused(operator.roll_back().await, StatusCode::CONFLICT).await;

    let candidate = good(operator.add(&run_folder(&home, "faint", 1.0)).await).await;
    let told = good(operator.promote(&candidate).await).await;
    assert_eq!((&told["current"]["number"], &told["current"]["id"]), (&json!(2), &candidate["id"]));
    assert_eq!(told["current"]["by"].as_str().unwrap().len(), 12);
    assert_eq!((&told["before"]["number"], &told["before"]["loaded"]), (&json!(1), &json!(true)));
    assert_eq!(operator.get(CANDIDATES).await, json!([]));
    let (new, trace) = operator.exchange().await;
    assert_ne!(new, old);
    assert_eq!(trace["generation"], candidate["id"]);

    // What the run's folder becomes is nothing to what serves.
    let operator =
        operator.restart_after(&home, || std::fs::remove_dir_all(home.path().join("runs")).unwrap()).await;
    let told = operator.get(GENERATIONS).await;
    assert_eq!((&told["current"]["id"], &told["notices"]), (&candidate["id"], &json!([])));
    assert_eq!(told["before"]["loaded"], false);
    assert_eq!(operator.exchange().await.0, new);

    let told = good(operator.roll_back().await).await;
    assert_eq!((&told["current"]["number"], &told["before"]["number"]), (&json!(1), &json!(2)));
    assert_eq!(operator.exchange().await.0, old);
    let operator = operator.restart(&home).await;
    assert_eq!(operator.get(GENERATIONS).await["current"]["number"], 1);
    assert_eq!(operator.exchange().await.0, old);
    good(operator.roll_back().await).await;
    assert_eq!(operator.exchange().await.0, new);
}

#[tokio::test(flavor = "multi_thread")]
async fn promoted_weights_that_are_damaged_or_unknown_give_way_to_the_configured_model() {
    let home = home();
    let operator = Operator::start(&home).await;
    let candidate = good(operator.add(&run_folder(&home, "faint", 1.0)).await).await;
    good(operator.promote(&candidate).await).await;
    let folder = home.path().join("generations");
    let adapter = folder.join(id(&candidate)).join("adapter/adapter_config.json");
    let damage = || std::fs::write(adapter, fixture(ADAPTER_CONFIG)).unwrap();
    let operator = operator.restart_after(&home, damage).await;
    let told = operator.get(GENERATIONS).await;
    let notice = told["notices"][0].as_str().unwrap();
    assert!(notice.contains("generation 2") && notice.contains("not those that were promoted"), "{notice}");
    assert_eq!((&told["current"]["number"], &told["current"]["by"]), (&json!(3), &Value::Null));

    let operator =
        operator.restart_after(&home, || std::fs::write(folder.join("serving.json"), "{").unwrap()).await;
    let told = operator.get(GENERATIONS).await;
    assert!(told["notices"][0].as_str().unwrap().contains("serving.json"), "{told}");
    assert!(!operator.exchange().await.0.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_answers_beside_what_serves_and_nothing_is_stored() {
    let home = home();
    let operator = Operator::start(&home).await;
    let folder = run_folder(&home, "faint", 1.0);
    let candidate = good(operator.add(&folder).await).await;
    assert_eq!(candidate["path"], json!(folder));
    assert!(candidate["weight_bytes"].as_u64().unwrap() > 50 << 20, "{candidate}");
    assert_eq!(good(operator.add(&folder).await).await, candidate, "it is there already");
    assert_eq!(operator.get(CANDIDATES).await, json!([candidate]));

    let path = format!("{CANDIDATES}/{}/try", id(&candidate));
    let parts = |text: &str| json!({ "parts": [{ "type": "text", "text": text }] });
    refused(operator.post(&path, &parts(" ")).await, StatusCode::BAD_REQUEST).await;
    let events = Events::of(operator.post(&path, &parts(QUESTION)).await).all().await;
    let events: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let side = |side: &str| {
        let mut own = events.iter().filter(|event| event["side"] == side);
        let text: String = own.clone().filter_map(|event| event["text"].as_str()).collect();
        (text, own.next_back().unwrap().clone())
    };
    let ((serving, ended), (tried, tried_ended)) = (side("serving"), side("candidate"));
    assert_eq!((&ended["type"], &tried_ended["type"]), (&json!("end"), &json!("end")));
    assert_eq!(tried_ended["details"]["generation"], candidate["id"]);
    assert_eq!(operator.caller().json("/api/conversations").await, json!([]));
    assert_eq!(operator.exchange().await.0, serving);
    good(operator.promote(&candidate).await).await;
    assert_eq!(operator.exchange().await.0, tried);
    assert_ne!(serving, tried);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_or_cannot_serve_is_refused_with_the_reason() {
    let home = home();
    let operator = Operator::start(&home).await;
    let run = run_folder(&home, "faint", 1.0);
    let link = home.path().join("runs/link");
    std::os::unix::fs::symlink(&run, &link).unwrap();
    let around = home.path().join("runs/../models").join(MODEL);
    for foreign in [home.path().join("models").join(MODEL), link, around, "/etc".into()] {
        let error = refused(operator.add(&foreign).await, StatusCode::FORBIDDEN).await;
        assert_eq!(error["code"], "foreign_path", "{}", foreign.display());
    }
    refused(operator.add(&home.path().join("runs/none")).await, StatusCode::NOT_FOUND).await;

    let words = async |folder: &Path, status: StatusCode| {
        let error = refused(operator.add(folder).await, status).await;
        error["message"].as_str().unwrap().to_owned()
    };
    let foreign = projector_folder(&home, "foreign", "another-space");
    let why = words(&foreign, StatusCode::BAD_REQUEST).await;
    assert!(why.contains("\"another-space\"") && why.contains("\"jnana-135m-1\""), "{why}");
    std::fs::remove_file(run.join("projector.safetensors")).unwrap();
    let why = words(&run, StatusCode::BAD_REQUEST).await;
    assert!(why.contains("without a projector for vision"), "{why}");
    let damaged = run_folder(&home, "damaged", 1.0);
    std::fs::write(damaged.join("adapter/adapter_model.safetensors"), "damaged").unwrap();
    let why = words(&damaged, StatusCode::BAD_REQUEST).await;
    assert!(why.contains("adapter_model.safetensors"), "{why}");
    let same = run_folder(&home, "same", 32.0);
    std::fs::write(same.join("adapter/adapter_config.json"), fixture(ADAPTER_CONFIG)).unwrap();
    let why = words(&same, StatusCode::CONFLICT).await;
    assert!(why.contains("generation 1") && why.contains("serve already"), "{why}");

    assert_eq!(operator.get(CANDIDATES).await, json!([]));
    let nothing = json!({ "id": "nothing" });
    refused(operator.promote(&nothing).await, StatusCode::NOT_FOUND).await;
    assert_eq!(operator.get(GENERATIONS).await["current"]["number"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_is_let_go_takes_its_files_along() {
    let home = home();
    let operator = Operator::start(&home).await;
    let candidate = good(operator.add(&run_folder(&home, "faint", 1.0)).await).await;
    let own = home.path().join("generations").join(id(&candidate));
    assert!(own.is_dir());
    let path = format!("{CANDIDATES}/{}", id(&candidate));
    let gone = operator.session.change(operator.caller(), Method::DELETE, &path).await;
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    assert_eq!(operator.get(CANDIDATES).await, json!([]));
    eventually("its files are gone", async || !own.exists()).await;
    let again = operator.session.change(operator.caller(), Method::DELETE, &path).await;
    refused(again, StatusCode::NOT_FOUND).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_an_answer_shows_the_promoted_projector_and_the_plugins_time() {
    let home = home();
    let plugins = Some(program().with_file_name("plugins"));
    let operator = Operator::of(Given { plugins, ..given(&home) }, None).await;
    let caller = operator.caller();
    let picture = caller.request(Method::POST, "/api/blobs").body(fixture("e2e/assets/bear.jpg"));
    let blob = good(picture.send().await.unwrap()).await;
    let look = async || {
        let parts = json!([
            { "type": "input", "plugin": "vision", "blob": blob },
            { "type": "text", "text": "What do you see?" },
        ]);
        let conversation = caller.conversation().await;
        let path = format!("/api/conversations/{conversation}/messages");
        let posted = good(caller.post(&path, &json!({ "parent": null, "parts": parts })).await).await;
        let events = caller.events(&conversation, id(&posted["answer"]), 0).await;
        events.last().unwrap()["message"]["details"].clone()
    };
    let hash = |bytes: &[u8]| {
        json!(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    };
    let before = look().await;
    assert_eq!(before["weights"]["projectors"]["vision"], hash(&fixture(PROJECTOR)));
    assert_eq!(before["weights"]["adapter"], hash(&fixture(ADAPTER)));

    let folder = projector_folder(&home, "aligned", "jnana-135m-1");
    let candidate = good(operator.add(&folder).await).await;
    good(operator.promote(&candidate).await).await;
    let after = look().await;
    let own = std::fs::read(folder.join("projector.safetensors")).unwrap();
    assert_eq!(after["weights"]["projectors"]["vision"], hash(&own));
    assert_eq!(
        (&after["generation"], &after["weights"]["core"]),
        (&candidate["id"], &before["weights"]["core"])
    );
    assert_eq!(
        (&after["plugins"][0]["plugin"], &after["plugins"][0]["inputs"]),
        (&json!("vision"), &json!(1))
    );
    // The new instance looked at the picture itself.
    assert!(after["plugins"][0]["ms"].as_u64().unwrap() > 0, "{after}");
    let seen = after["prompt"].as_array().unwrap().iter().find(|part| part["source"] == "vision");
    assert_eq!(seen.unwrap()["positions"], 49);
}

/// A small model of random weights.
fn tiny(home: &TempDir) -> PathBuf {
    let out = home.path().join("tiny");
    let made = Command::new(program())
        .args(["debug", "random-model", "--shape", "tiny-phi", "--weights", "f32", "--out"])
        .arg(&out)
        .status();
    assert!(made.unwrap().success());
    out
}

/// An adapter that changes what a network says.
fn adapter(network: &Config, seed: u64) -> Adapter {
    let target_modules = ["q_proj", "v_proj", "dense"].map(str::to_owned).to_vec();
    let config = LoraConfig { r: 4, lora_alpha: 8.0, lora_dropout: 0.0, target_modules };
    let fresh = Adapter::random(config.clone(), network, seed, &Device::Cpu).unwrap();
    // B of a fresh one is zero.
    let moved = fresh.named().map(|(name, tensor)| {
        let moved = if name.contains("lora_B") { (tensor + 0.5).unwrap() } else { tensor.clone() };
        (name, moved)
    });
    let tensors: HashMap<_, _> = moved.collect();
    Adapter::from_tensors(config, &tensors, Path::new("a test")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_core_is_compared_with_its_base_and_adapter_before_it_serves() {
    let home = home();
    let base = tiny(&home);
    let settings = Given { model: Some(base.display().to_string()), ..given(&home) };
    let operator = Operator::of(settings, None).await;
    let checkpoint = open_checkpoint(&base).unwrap();
    let right = adapter(&checkpoint.config, 1);
    let merged = |name: &str, beside: &Adapter| {
        let folder = home.path().join("runs").join(name);
        let source =
            Merged::new(checkpoint.source.clone(), Arc::new(right.clone()), &checkpoint.config).unwrap();
        export_folder(&source, &checkpoint.json, None, DType::F32, &folder).unwrap();
        copy_tokenizer(&base, &folder).unwrap();
        beside.save(&folder.join("adapter"), "tiny", DType::F32).unwrap();
        folder
    };
    let wrong = merged("wrong", &adapter(&checkpoint.config, 2));
    let candidate = good(operator.add(&wrong).await).await;
    assert_eq!(candidate["merged"], true);
    let why = refused(operator.promote(&candidate).await, StatusCode::CONFLICT).await;
    let why = why["message"].as_str().unwrap().to_owned();
    assert!(why.contains("their logits differ by") && why.contains("1e-3 is allowed"), "{why}");
    assert_eq!(operator.get(GENERATIONS).await["current"]["number"], 1);
    // The same core with another adapter beside it: the first would be found again.
    let path = format!("{CANDIDATES}/{}", id(&candidate));
    operator.session.change(operator.caller(), Method::DELETE, &path).await;

    let candidate = good(operator.add(&merged("right", &right)).await).await;
    let told = good(operator.promote(&candidate).await).await;
    assert_eq!(told["current"]["id"], candidate["id"]);
    assert_eq!(told["current"]["weights"].get("adapter"), None, "it is in the core");
    // Clients go on asking for the name that they know.
    assert_eq!(operator.caller().json("/v1/models").await["data"][0]["id"], "tiny");
}
