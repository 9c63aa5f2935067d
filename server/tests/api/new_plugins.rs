//! `jnana plugin new`: for each language a project is made, built as its README says, checked, installed and used.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use super::process::Process;
use super::support::{good, home, program};

/// What a command that succeeds says.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:#?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes a project in `folder` and returns where it lies.
fn made(folder: &Path, name: &str, language: &str) -> PathBuf {
    let mut new = Command::new(program());
    let words = said(new.current_dir(folder).args(["plugin", "new", name, "--lang", language]));
    assert!(words.contains("jnana plugin check"), "{words}");
    folder.join(name)
}

fn in_rust(folder: &Path) -> PathBuf {
    let project = made(folder, "new-rust", "rust");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // The same versions as here are at hand; a person's own project takes the newest.
    std::fs::copy(root.join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-rust");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(&project).args(["build", "--offline"]).env("CARGO_TARGET_DIR", &target);
    said(&mut build);
    target.join("debug/libnew_rust.so")
}

fn in_c(folder: &Path) -> PathBuf {
    let project = made(folder, "new-c", "c");
    said(Command::new("make").current_dir(&project));
    project.join("libnew_c.so")
}

fn in_python(folder: &Path) -> PathBuf {
    let project = made(folder, "new-python", "python");
    std::fs::write(project.join("words.txt"), "one two").unwrap();
    let python = |arguments: &[&str]| said(Command::new("python3").current_dir(&project).args(arguments));
    assert!(python(&["jnana_plugin.py", "try", "plugin.py", "words.txt"]).contains("2 words"));
    python(&["jnana_plugin.py", "build", "plugin.py"]);
    project.join("libnew_python.so")
}

/// Runs all of `jnana plugin check`.
fn check(library: &Path) {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program());
    command.args(["plugin", "check", "--offline", "--home"]).arg(home.path()).arg(library);
    said(&mut command);
}

#[test]
fn a_new_plugin_in_rust_passes_the_check() {
    check(&in_rust(tempfile::tempdir().unwrap().path()));
}

#[test]
fn a_new_plugin_in_c_passes_the_check() {
    check(&in_c(tempfile::tempdir().unwrap().path()));
}

#[test]
fn a_new_plugin_in_python_passes_the_check() {
    check(&in_python(tempfile::tempdir().unwrap().path()));
}

#[tokio::test]
async fn new_plugins_are_installed_and_used() {
    let home = home();
    let plugins = home.path().join("plugins");
    for library in [in_c(home.path()), in_python(home.path())] {
        let mut install = Command::new(program());
        install.args(["plugin", "install", "--home"]).arg(home.path()).arg("--plugins").arg(&plugins);
        said(install.arg(library));
    }
    let process = Process::serve(&home, [OsStr::new("--plugins"), plugins.as_os_str()]);
    let post = process.caller.request(Method::POST, "/api/blobs").header("content-type", "text/plain");
    let blob = good(post.body("one two three").send().await.unwrap()).await;
    for name in ["new-c", "new-python"] {
        let path = format!("/api/plugins/{name}/interpret");
        let answer: Value = good(process.caller.post(&path, &blob).await).await;
        assert_eq!(answer["text"], json!("This text has 3 words."), "{name}");
    }
    let listed = process.caller.json("/api/plugins").await;
    let runs: Vec<&Value> = listed.as_array().unwrap().iter().map(|plugin| &plugin["runs"]).collect();
    assert_eq!(runs, ["worker", "worker"], "{listed}");
}

#[test]
fn a_folder_that_is_there_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    made(folder.path(), "mine", "c");
    std::fs::write(folder.path().join("mine/plugin.c"), "my work").unwrap();
    let mut again = Command::new(program());
    let output =
        again.current_dir(folder.path()).args(["plugin", "new", "mine", "--lang", "c"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("is there already"), "{output:?}");
    assert_eq!(std::fs::read_to_string(folder.path().join("mine/plugin.c")).unwrap(), "my work");
}
