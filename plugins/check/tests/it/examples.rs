//! The examples keep the contract. In the C one the header is all that is used of this repository, and both languages that
//! the header is meant for take it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::checked_with;

fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn assert_good(library: &Path, input: &str) {
    let folder = tempfile::tempdir().unwrap();
    let report = checked_with(library, &folder, &[], Some(plugins().join("examples").join(input)));
    assert!(report.is_good(), "{report:#?}");
}

/// Compiles the C example as a library.
fn compile(compiler: &str, language: &[&str], library: &Path) {
    let example = plugins().join("examples/series");
    let mut command = Command::new(compiler);
    command.args(language).args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-fvisibility=hidden", "-fPIC"]);
    command.arg("-I").arg(plugins().join("abi/include"));
    command.arg(example.join("plugin.c")).arg(example.join("series.c"));
    run(command.args(["-shared", "-lm", "-o"]).arg(library));
}

#[test]
fn the_example_in_rust_keeps_the_contract() {
    // Cargo builds it beside this test, whose dev-dependency it is.
    let library = std::env::current_exe().unwrap().with_file_name("libjnana_sketch.so");
    assert_good(&library, "sketch/drawing.json");
}

#[test]
fn the_example_in_c_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libseries.so");
    compile("cc", &["-std=c11"], &library);
    assert_good(&library, "series/greenhouse.csv");
}

#[test]
fn the_example_in_c_is_also_cpp() {
    let folder = tempfile::tempdir().unwrap();
    compile("c++", &["-x", "c++", "-std=c++17"], &folder.path().join("libseries.so"));
}

/// Builds a plugin in Python; returns the library, which lies in `folder` under the plugin's id.
fn build(source: &Path, folder: &Path, id: &str) -> PathBuf {
    let mut build = Command::new("python3");
    // No caches beside the sources.
    build.arg("-B").arg(plugins().join("python/jnana_plugin.py")).arg("build").arg(source);
    run(build.current_dir(folder));
    folder.join(format!("lib{id}.so"))
}

#[test]
fn the_example_in_python_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let source = plugins().join("examples/page/plugin.py");
    assert_good(&build(&source, folder.path(), "page"), "page/page.html");
}

/// Slow enough to be cancelled in the middle, which costs the Python process, and the next call is as good as the first.
const ROWS: &str = r#"
import time
from jnana_plugin import plugin

@plugin(id="rows", label="Rows", accepts=["text/plain"], max_positions=2)
def rows(given):
    time.sleep(0.15)
    return [[len(given.data) / 100] * given.rows_width] * 2
"#;

#[test]
fn a_function_in_python_that_gives_rows_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("rows.py");
    std::fs::write(&source, ROWS).unwrap();
    let report = checked_with(&build(&source, folder.path(), "rows"), &folder, &[], None);
    assert!(report.is_good(), "{report:#?}");
}
