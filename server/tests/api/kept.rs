//! Packed weights from one start of a server to the next.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jnana_server::settings::Given;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{TestApp, eventually, given, home};

async fn start(home: &TempDir) -> TestApp {
    let keeping = Given { packed_mib: Some(1024), ..given(home) };
    TestApp::with(tempfile::tempdir().unwrap(), keeping).await
}

async fn answer(app: &TestApp) -> Value {
    let message = json!({ "role": "user", "content": "Name three colours." });
    let body = json!({ "messages": [message], "max_tokens": 12, "temperature": 0 });
    app.caller.chat(&body).await["choices"][0]["message"].clone()
}

/// The file of packed weights, once it is whole.
fn kept(home: &Path) -> Option<PathBuf> {
    let mut files = fs::read_dir(home.join("packed")).ok()?.map(|entry| entry.unwrap().path());
    files.find(|file| file.extension().is_some_and(|extension| extension == "packed"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_answers_from_what_the_first_has_kept() {
    let home = home();
    let first = start(&home).await;
    let said = answer(&first).await;
    eventually("packed weights are kept", async || kept(home.path()).is_some()).await;
    first.server.shutdown().await.unwrap();

    // A file that is used says so.
    let file = kept(home.path()).unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(1000);
    File::options().append(true).open(&file).unwrap().set_modified(long_ago).unwrap();
    let second = start(&home).await;
    assert_eq!(answer(&second).await, said);
    assert!(fs::metadata(&file).unwrap().modified().unwrap() > long_ago + Duration::from_secs(500));
    second.server.shutdown().await.unwrap();
}
