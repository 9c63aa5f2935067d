//! Puts the built browser app (or a page that says how to build it), the project's own models, and what new plugins start
//! from into the program.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// What `jnana plugin new` lays into a project: its templates, the contract and the SDKs.
const PROJECTS: &[&str] = &[
    "plugins/templates",
    "plugins/abi/include",
    "plugins/abi/src",
    "plugins/sdk/src",
    "plugins/python",
    "api/src",
];

const PLACEHOLDER: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Jnana</title>\
    <h1>The app is not built into this program</h1>\
    <p>The API works. Build the app and the program together with <code>cargo xtask run</code>.</p>";

fn main() {
    println!("cargo::rerun-if-env-changed=JNANA_APP_DIR");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let folder = app_folder();
    // Made when absent: cargo runs a script whose watched path is missing again at every build.
    let _may_be_read_only = fs::create_dir_all(&folder);
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    collect(&folder, &folder, &mut files);
    if !files.iter().any(|(name, _)| name == "index.html") {
        let page = out.join("placeholder.html");
        if let Err(error) = fs::write(&page, PLACEHOLDER) {
            println!("cargo::error={}: {error}", page.display());
        }
        files = vec![("index.html".to_owned(), page)];
    }
    write_table(&out.join("app.rs"), files);

    let models = beside_package("assets/models");
    println!("cargo::rerun-if-changed={}", models.display());
    let mut files = Vec::new();
    collect(&models, &models, &mut files);
    write_table(&out.join("models.rs"), files);

    let root = beside_package("");
    let mut files = Vec::new();
    for folder in PROJECTS.iter().map(|folder| beside_package(folder)) {
        println!("cargo::rerun-if-changed={}", folder.display());
        collect(&root, &folder, &mut files);
    }
    // What Python leaves beside its sources.
    files.retain(|(name, _)| !name.contains("__pycache__"));
    write_table(&out.join("projects.rs"), files);
}

fn write_table(table: &Path, mut files: Vec<(String, PathBuf)>) {
    files.sort();
    if let Err(error) = fs::write(table, render(&files)) {
        println!("cargo::error={}: {error}", table.display());
    }
}

fn app_folder() -> PathBuf {
    if let Some(folder) = env::var_os("JNANA_APP_DIR") {
        return folder.into();
    }
    beside_package("target/app")
}

fn beside_package(path: &str) -> PathBuf {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    package.with_file_name(path)
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if let Ok(name) = path.strip_prefix(root) {
            files.push((name.to_string_lossy().replace('\\', "/"), path.clone()));
        }
    }
}

fn render(files: &[(String, PathBuf)]) -> String {
    let mut table = String::from("&[\n");
    for (name, path) in files {
        let path = path.display().to_string();
        let _ = writeln!(table, "    ({name:?}, include_bytes!({path:?})),");
    }
    table.push(']');
    table
}
