//! The check against plugins in C, compiled from `tests/fixtures/wrong.c`: one that keeps every promise, and one for each
//! promise that breaks it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // In a test's helpers as in the tests: a failed unwrap is a failed test.

mod examples;
mod jobs;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jnana_plugin_check::{Options, Outcome, Report, Task, check};
use tempfile::TempDir;

/// Compiles the plugin with a fault.
fn compile(folder: &Path, fault: &str) -> PathBuf {
    let library = folder.join("libwrong.so");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("cc")
        .args([
            "-std=c11",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pedantic",
            "-fvisibility=hidden",
            "-fPIC",
            "-shared",
        ])
        .arg(format!("-D{fault}"))
        .arg("-I")
        .arg(here.join("../abi/include"))
        .arg(here.join("tests/fixtures/wrong.c"))
        .args(["-pthread", "-o"])
        .arg(&library)
        .output()
        .expect("a C compiler named cc");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

fn checked(library: &Path, folder: &TempDir, only: &[&str]) -> Report {
    checked_with(library, folder, only, None)
}

/// The same, with a file for a good input.
fn checked_with(library: &Path, folder: &TempDir, only: &[&str], input: Option<PathBuf>) -> Report {
    let task = Task {
        library: library.to_owned(),
        seed: 7,
        settings: serde_json::Map::new(),
        space: "check".to_owned(),
        width: 48,
        cache_dir: folder.path().to_owned(),
        input,
    };
    let options = Options {
        exe: PathBuf::from(env!("CARGO_BIN_EXE_jnana-plugin-check")),
        limit: Duration::from_secs(if only.is_empty() { 45 } else { 10 }),
        only: only.iter().map(|name| (*name).to_owned()).collect(),
    };
    check(&task, &options, |_| ()).unwrap()
}

/// The one test that was run on a plugin with a fault.
fn outcome(fault: &str, test: &str) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let report = checked(&compile(folder.path(), fault), &folder, &[test]);
    let found = report.tests.iter().find(|result| result.name == test);
    found.unwrap_or_else(|| panic!("{fault}: {report:?}")).outcome.clone()
}

#[test]
fn a_plugin_that_keeps_its_promises_passes() {
    let folder = tempfile::tempdir().unwrap();
    let report = checked(&compile(folder.path(), "NONE"), &folder, &[]);
    assert!(report.is_good(), "{report:#?}");
    assert!(report.tests.len() > 20);
}

#[test]
fn each_broken_promise_is_found_by_its_name() {
    for (fault, test, word) in [
        ("SLOW_MANIFEST", "scan", "at most 100 ms"),
        ("CHANGES", "manifest", "and then {}"),
        ("AFRAID_OF_THE_NEW", "entry", "no table"),
        ("ONE_ONLY", "create", "there is one already"),
        ("KNOWS_ALL", "extensions", "expected NULL"),
        ("OVERRUNS_STATUS", "status", "wrote to byte"),
        ("WIDE", "shapes", "width 48, got shape [1, 49]"),
        ("NAN_ROWS", "shapes", "finite values"),
        ("ANY_SPACE", "space", "no embedding space"),
        ("MOODY", "same-twice", "something else again"),
        ("NOT_CONCURRENT", "concurrency", "something else than alone"),
        ("DEAF", "cancel", "after it was cancelled"),
        ("LATE", "sink-after", "cancelled was called"),
        ("LEAVES_THREAD", "threads", "destroy has to join"),
    ] {
        match outcome(fault, test) {
            Outcome::Failed { why } => assert!(why.contains(word), "{fault}: {why}"),
            other => panic!("{fault}: {test} {other:?}"),
        }
    }
}

#[test]
fn a_crash_is_told_and_names_the_test() {
    for (fault, test, signal) in [
        ("NEEDS_SERVICES", "absent-services", "SIGSEGV"),
        ("READS_SHORT_CREATE", "small-structs", "SIGSEGV"),
        ("READS_SHORT_INPUT", "small-structs", "SIGSEGV"),
        ("BELIEVES_SETTINGS", "bad-settings", "SIGSEGV"),
        ("FREES_TENSOR", "deleter", "SIGABRT"),
        ("READS_EMPTY", "empty-input", "SIGSEGV"),
        ("CRASHES_ON_BYTES", "random-input", "SIGABRT"),
        ("OVERFLOWS", "oversized-input", "SIGABRT"),
        ("BELIEVES_TEXT", "truncated-input", "SIGSEGV"),
        ("TAKES_ANYTHING", "wrong-input", "SIGSEGV"),
        ("CRASHES_ON_BYTES", "fuzz", "SIGABRT"),
    ] {
        match outcome(fault, test) {
            Outcome::Crashed { how } => assert!(how.contains(signal), "{fault}: {how}"),
            other => panic!("{fault}: {test} {other:?}"),
        }
    }
}

#[test]
fn a_hang_is_told_from_a_crash() {
    let outcome = outcome("HANGS_ON_ZERO", "wrong-input");
    assert!(matches!(outcome, Outcome::TimedOut { .. }), "{outcome:?}");
}

#[test]
fn what_is_no_plugin_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libtext.so");
    std::fs::write(&library, "text").unwrap();
    let report = checked(&library, &folder, &[]);
    assert_eq!((report.tests.len(), report.is_good()), (1, false));
    assert!(report.tests[0].to_string().contains("cannot run here"));
}
