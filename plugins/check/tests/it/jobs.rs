//! A plugin that offers jobs in place of taking inputs keeps the same promises.

use std::path::PathBuf;

use jnana_plugin_check::Outcome;

use super::checked;

#[test]
fn the_plugin_that_trains_keeps_the_contract() {
    // The workspace is built as a whole: the library and its program lie beside the one that checks.
    let library =
        PathBuf::from(env!("CARGO_BIN_EXE_jnana-plugin-check")).with_file_name("libjnana_trainer_plugin.so");
    let folder = tempfile::tempdir().unwrap();
    let report = checked(&library, &folder, &[]);
    assert!(report.is_good(), "{report:#?}");
    let jobs = report.tests.iter().find(|result| result.name == "jobs").unwrap();
    assert!(matches!(jobs.outcome, Outcome::Passed), "{report:#?}");
}
