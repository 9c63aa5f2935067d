//! Plugins that do wrong while the program serves: their call is told what happened, everyone else is answered on.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jnana_plugin_host::{InstallOptions, install};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::inputs::transcribe;
use super::process::Process;
use super::support::{Caller, Events, home, refused};

/// A transcriber that takes bytes of no known kind for sound.
const MANIFEST: &str = r#"{"id":"good","name":"Good","version":"1.0.0","kinds":["jnana.transcriber/1"],
    "accepts":[{"form":"raw","mime":"audio/x-words"},{"form":"raw","mime":"application/octet-stream"}],
    "max_concurrency":2,"max_input_bytes":64,
    "ui":{"control":"text","label":"Say","noun":"Text","icon":"a"}}"#;

/// Compiles the plugin in C that the host's tests use, with a manifest of our own.
fn compile(library: &Path) {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let manifest = MANIFEST.replace('\n', "");
    let output = Command::new("cc")
        .args(["-std=c11", "-fvisibility=hidden", "-fPIC", "-shared"])
        .arg(format!("-DMANIFEST={manifest:?}"))
        .arg("-I")
        .arg(plugins.join("abi/include"))
        .arg(plugins.join("host/tests/fixtures/plugin.c"))
        .args(["-pthread", "-o"])
        .arg(library)
        .output()
        .expect("a C compiler named cc");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The server goes on.
async fn assert_serves(caller: &Caller) {
    assert_eq!(caller.get("/healthz").await.status(), StatusCode::OK);
    let answer = caller.answer("What is the capital of France?", 20).await;
    assert!(answer.contains("Paris"), "{answer}");
}

#[tokio::test]
async fn a_plugin_that_panics_fails_its_call_and_nothing_else() {
    let home = home();
    let plugins = home.path().join("plugins");
    // Cargo builds it beside this test, whose dev-dependency it is.
    let library = std::env::current_exe().unwrap().with_file_name("libjnana_faulty_plugin.so");
    install(&plugins, &library, &InstallOptions::default()).unwrap();
    let model = format!("faulty.model={}", home.path().display());
    let arguments = [OsStr::new("--set"), OsStr::new(&model), OsStr::new("--plugins"), plugins.as_os_str()];
    let process = Process::serve(&home, arguments);

    let words = STANDARD.encode("panic");
    let input = json!({ "type": "jnana.input", "plugin": "faulty", "mime": "text/plain", "data": words });
    let body = json!({ "messages": [{ "role": "user", "content": [input] }], "max_tokens": 1 });
    for _ in 0..2 {
        let response = process.caller.post("/v1/chat/completions", &body).await;
        let error = refused(response, StatusCode::BAD_GATEWAY).await;
        let words = error["message"].as_str().unwrap();
        assert!(words.contains("panicked: asked to panic in encode"), "{words}");
        assert_serves(&process.caller).await;
    }
    let listed = process.caller.json("/api/plugins").await;
    assert_eq!(listed[0]["state"], "ready", "{listed}");
}

#[tokio::test]
async fn a_transcript_that_fails_in_mid_stream_ends_with_the_error() {
    let home = home();
    let (library, plugins) = (home.path().join("libgood.so"), home.path().join("plugins"));
    compile(&library);
    install(&plugins, &library, &InstallOptions::default()).unwrap();
    let process = Process::serve(&home, [OsStr::new("--plugins"), plugins.as_os_str()]);

    // Its second segment starts before the first, which the host does not take.
    let response = transcribe(&process.caller, b"backwards".to_vec(), &[("stream", "true")]).await;
    let events = Events::of(response).all().await;
    let [first, failed, end] = events.as_slice() else { panic!("{events:?}") };
    let (first, failed): (Value, Value) =
        (serde_json::from_str(first).unwrap(), serde_json::from_str(failed).unwrap());
    assert_eq!(first["type"], "transcript.text.delta");
    let error = &failed["error"];
    assert!(error["message"].as_str().unwrap().contains("0.25 s"), "{failed}");
    assert_eq!(error["type"], "server_error");
    assert!(error.get("param").is_some() && error.get("code").is_some(), "{failed}");
    assert_eq!(end, "[DONE]");
    assert_serves(&process.caller).await;
}
