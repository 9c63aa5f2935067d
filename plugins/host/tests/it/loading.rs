//! Faults before the first call: each is named, and the plugin beside goes on.

use std::time::{Duration, Instant};

use jnana_api::plugins::PluginState;
use jnana_plugin_host::PluginHost;
use serde_json::json;

use crate::support::{Folder, assert_good_works, info, loaded, reason};

/// Opens a folder with the good plugin and a bad one; the bad one's reason must have all the words.
fn assert_refused(macros: &[&str], words: &[&str]) {
    let folder = Folder::with_good();
    folder.add_c("libbad.so", &[&["ID=\"bad\""], macros].concat());
    assert_bad_is_refused(&folder.open(), words);
}

fn assert_bad_is_refused(host: &PluginHost, words: &[&str]) {
    let reason = reason(host, "libbad.so");
    for word in words {
        assert!(reason.contains(word), "{word:?} is missing in {reason:?}");
    }
    assert_good_works(host);
}

#[test]
fn a_good_plugin_is_listed_with_all_that_is_known_of_it() {
    let folder = Folder::with_good();
    let host = folder.open();
    let info = info(&host, "libgood.so");
    assert_eq!((info.id.as_str(), info.state), ("good", PluginState::Ready));
    assert_eq!(info.status, "projector: untrained");
    assert_eq!(info.sha256.len(), 64);
    assert_eq!(info.manifest.unwrap().name, "Good");
    assert!(folder.config.cache_root.join("good").is_dir());
    assert_good_works(&host);
}

#[test]
fn a_folder_that_is_not_there_has_no_plugins() {
    assert!(Folder::empty().open().list().is_empty());
}

#[test]
fn a_crash_at_load_is_contained() {
    assert_refused(&["CRASH_AT_LOAD"], &["crashed", "SIGSEGV"]);
}

#[test]
fn an_abort_at_load_is_contained_and_its_last_words_are_told() {
    assert_refused(&["ABORT_AT_LOAD"], &["aborted", "SIGABRT", "the moon is full"]);
}

#[test]
fn a_library_that_ends_the_process_at_load_is_contained() {
    assert_refused(&["EXIT_AT_LOAD"], &["ended the process with status 0", "without a manifest"]);
}

#[test]
fn a_hang_at_load_is_ended() {
    let mut folder = Folder::with_good();
    folder.add_c("libbad.so", &["ID=\"bad\"", "HANG_AT_LOAD"]);
    folder.config.scan_timeout = Duration::from_secs(2);
    let start = Instant::now();
    let host = folder.open();
    assert!(start.elapsed() < Duration::from_secs(20), "the hang held the host up: {:?}", start.elapsed());
    assert_bad_is_refused(&host, &["hung", "2 s"]);
}

#[test]
fn a_library_that_prints_at_load_is_understood() {
    let folder = Folder::with_good();
    folder.add_c("libnoisy.so", &["ID=\"noisy\"", "NOISE_AT_LOAD"]);
    let host = folder.open();
    assert_eq!(info(&host, "libnoisy.so").state, PluginState::Ready);
}

#[test]
fn another_abi_version_is_named() {
    assert_refused(&["MAJOR=2"], &["does not speak ABI 1.0", "says ABI 2.0"]);
}

#[test]
fn a_table_that_is_too_small_is_named() {
    assert_refused(&["SIZE=16"], &["at least 56 bytes", "got 16"]);
}

#[test]
fn a_plugin_that_refuses_the_host_is_named() {
    assert_refused(&["NO_TABLE"], &["cannot work with this host"]);
}

#[test]
fn a_missing_function_is_named() {
    assert_refused(&["NO_CREATE"], &["no function create"]);
}

#[test]
fn a_library_without_the_entry_is_no_plugin() {
    assert_refused(&["NO_ENTRY"], &["does not export jnana_plugin_entry_v1"]);
}

#[test]
fn bytes_that_are_no_library_are_refused() {
    let folder = Folder::with_good();
    folder.add_bytes("libbad.so", &b"#!/bin/sh echo hello ".repeat(100));
    assert_bad_is_refused(&folder.open(), &["cannot run here", "no 64-bit ELF library"]);
    folder.add_bytes("libbad.so", b"");
    assert_bad_is_refused(&folder.open(), &["cannot run here", "no 64-bit ELF library"]);
}

#[test]
fn a_library_for_another_machine_is_refused_before_any_of_it_runs() {
    let folder = Folder::with_good();
    folder.add_c("libbad.so", &["ID=\"bad\"", "CRASH_AT_LOAD"]);
    let mut bytes = std::fs::read(folder.plugins().join("libbad.so")).unwrap();
    // e_machine of the ELF header: that of a SPARC.
    bytes[18..20].copy_from_slice(&43_u16.to_le_bytes());
    folder.add_bytes("libbad.so", &bytes);
    assert_bad_is_refused(&folder.open(), &["cannot run here", "built for Sparc64"]);
}

#[test]
fn garbage_for_a_manifest_is_refused() {
    assert_refused(&["MANIFEST=\"]garbage[\""], &["manifest is not valid", "line 1"]);
    assert_refused(&["MANIFEST=\"{}\""], &["manifest is not valid", "missing field"]);
    assert_refused(&["MANIFEST=\"\\xff\\xfe\""], &["manifest is not valid", "UTF-8"]);
    assert_refused(&["MANIFEST=NULL"], &["manifest is not valid", "NULL"]);
}

#[test]
fn a_manifest_that_promises_too_much_is_refused() {
    assert_refused(&["NO_ENCODER"], &["promises jnana.encoder/1", "does not offer it"]);
}

#[test]
fn a_create_that_fails_is_told_in_its_words() {
    assert_refused(&["CREATE_FAILS"], &["the weights are not there"]);
    assert_refused(&["CREATE_LIES"], &["gave no instance"]);
}

#[test]
fn an_unpinned_library_is_not_even_looked_into() {
    let folder = Folder::with_good();
    folder.add_c("libbad.so", &["ID=\"bad\""]);
    std::fs::rename(folder.plugins().join("libbad.so"), folder.plugins().join("libnew.so")).unwrap();
    let host = folder.open();
    let (info, reason) = (info(&host, "libnew.so"), reason(&host, "libnew.so"));
    assert!(reason.contains("not pinned") && reason.contains(&info.sha256), "{reason}");
    assert_eq!((info.id.as_str(), info.manifest), ("libnew.so", None));
    assert_good_works(&host);
}

#[test]
fn a_library_that_changed_since_it_was_pinned_is_refused() {
    let folder = Folder::with_good();
    folder.add_c("libbad.so", &["ID=\"bad\""]);
    let path = folder.plugins().join("libbad.so");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let host = folder.open();
    assert_bad_is_refused(&host, &["has changed since it was pinned", &info(&host, "libbad.so").sha256]);
    assert_eq!(info(&host, "libbad.so").manifest, None);
}

#[test]
fn the_second_of_two_with_one_id_is_refused() {
    let folder = Folder::with_good();
    folder.add_c("libother.so", &[]);
    let host = folder.open();
    assert!(reason(&host, "libother.so").contains("already taken by libgood.so"));
    assert_good_works(&host);
}

#[test]
fn a_disabled_plugin_is_listed_but_not_loaded() {
    let mut folder = Folder::with_good();
    folder.add_c("libbad.so", &["ID=\"bad\"", "CREATE_FAILS"]);
    folder.config.disabled.insert("bad".to_owned());
    let host = folder.open();
    let info = info(&host, "libbad.so");
    assert_eq!((info.id.as_str(), info.state), ("bad", PluginState::Disabled));
    assert!(info.manifest.is_some() && host.get("bad").is_none());
}

#[test]
fn settings_reach_the_plugin_with_models_as_paths() {
    let mut folder = Folder::empty();
    folder.add_sdk();
    folder.config.settings.insert("faulty".into(), json!({"model": "base"}).as_object().unwrap().clone());
    let status = loaded(&folder.open(), "faulty").status();
    assert!(status.contains("model /models/base") && status.contains("space test-space"), "{status}");
}

#[test]
fn wrong_settings_are_named() {
    for (settings, word) in [
        (json!({"volume": 11}), "volume"),
        (json!({"panic": "yes"}), "panic"),
        (json!({"model": "missing"}), "there is no model missing"),
        (json!({"fit": "squeeze"}), "center-crop"),
    ] {
        let mut folder = Folder::with_good();
        folder.add_sdk();
        folder.config.settings.insert("faulty".into(), settings.as_object().unwrap().clone());
        let host = folder.open();
        let reason = reason(&host, "libjnana_faulty_plugin.so");
        assert!(reason.contains(word), "{reason}");
        assert_good_works(&host);
    }
}

#[test]
fn an_encoder_with_other_settings_is_another_instance_beside_the_first() {
    let mut folder = Folder::with_good();
    folder.add_sdk();
    let host = folder.open();
    let mut set = |model: &str| {
        let settings = json!({ "model": model }).as_object().unwrap().clone();
        folder.config.settings.insert("faulty".into(), settings);
        host.fitting(&folder.config)
    };
    let other = set("large").unwrap();
    assert!(loaded(&other, "faulty").status().contains("model /models/large"));
    assert!(!loaded(&host, "faulty").status().contains("model /models/large"));
    let refused = set("missing").err().map(|error| error.to_string()).unwrap();
    assert!(refused.contains("there is no model missing"), "{refused}");
    drop(other);
    assert_good_works(&host);
}
