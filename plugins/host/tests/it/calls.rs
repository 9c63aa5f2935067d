//! Faults in calls: each has a kind and words, and the next call works.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jnana_api::plugins::Segment;
use jnana_plugin_host::{CallErrorKind, CancelFlag, Instance, RawInput};
use serde_json::{Map, json};

use crate::support::{Folder, assert_good_works, loaded, text};

fn counts(plugin: &Instance) -> Vec<f32> {
    plugin.encode(text("counts"), &CancelFlag::new()).unwrap().values
}

#[test]
fn what_breaks_the_contract_is_the_plugins_fault_and_is_named() {
    let host = Folder::with_good().open();
    let plugin = loaded(&host, "good");
    for (input, word) in [
        ("wide", "width 6, got shape [2, 7]"),
        ("many", "at most 4 positions, got shape [5, 6]"),
        ("nan", "finite values, got NaN in row 0, column 1"),
        ("infinite", "finite values, got inf"),
        ("null data", "data is NULL"),
        ("null shape", "shape is NULL"),
        ("null tensor", "tensor is NULL"),
        ("flat", "2 dimensions"),
        ("negative", "positive sizes"),
        ("integers", "f32, f16 or bf16"),
        ("gpu", "host memory"),
        ("twice", "second tensor"),
        ("segment", "takes no text"),
        ("nothing", "pushed no tensor"),
        ("lie", "a lie"),
        ("unknown status", "4242"),
        ("internal", "I am confused"),
    ] {
        let error = plugin.encode(text(input), &CancelFlag::new()).unwrap_err();
        assert_eq!((error.kind, error.plugin.as_str()), (CallErrorKind::Plugin, "good"), "{input}: {error}");
        assert!(error.message.contains(word), "{input}: {error}");
        assert_good_works(&host);
    }
    assert_eq!(plugin.statistics().errors, 17);
}

#[test]
fn a_rejection_counts_even_if_the_plugin_ignores_it() {
    let folder = Folder::with_good();
    let host = folder.open();
    let plugin = loaded(&host, "good");
    let error = plugin.transcribe(text("tensor"), &Map::new(), &CancelFlag::new(), |_| true).unwrap_err();
    assert!(error.message.contains("takes no tensor"), "{error}");
    assert_good_works(&host);
}

#[test]
fn status_codes_become_kinds() {
    let host = Folder::with_good().open();
    let plugin = loaded(&host, "good");
    for (input, kind, word) in [
        ("invalid", CallErrorKind::InvalidInput, "I do not like this text"),
        ("resource", CallErrorKind::Resource, "the disk is full"),
    ] {
        let error = plugin.encode(text(input), &CancelFlag::new()).unwrap_err();
        assert_eq!(error.kind, kind);
        assert!(error.message.contains(word), "{error}");
    }
}

#[test]
fn every_tensor_is_deleted_exactly_once() {
    let host = Folder::with_good().open();
    let plugin = loaded(&host, "good");
    for input in ["good", "wide", "many", "nan", "null data", "twice", "flat", "good"] {
        let _ = plugin.encode(text(input), &CancelFlag::new());
    }
    let _ = plugin.transcribe(text("tensor"), &Map::new(), &CancelFlag::new(), |_| true);
    let counts = counts(&plugin);
    assert_eq!(counts[0], 10.0, "tensors pushed");
    assert_eq!(counts[1], counts[0], "tensors deleted");
}

#[test]
fn a_sink_used_after_its_call_is_caught_and_named() {
    let host = Folder::with_good().open();
    let plugin = loaded(&host, "good");
    plugin.encode(text("late"), &CancelFlag::new()).unwrap();
    let start = Instant::now();
    while plugin.faults().len() < 4 && start.elapsed() < Duration::from_secs(10) {
        // Other calls run meanwhile: the late push must not land in one of theirs.
        assert_good_works(&host);
    }
    let faults = plugin.faults();
    assert_eq!(faults.len(), 4, "{faults:?}");
    for (fault, function) in faults.iter().zip(["push_tensor", "push_segment", "cancelled", "fail"]) {
        assert!(fault.contains(function) && fault.contains("not running"), "{fault}");
    }
    std::thread::sleep(Duration::from_millis(50));
    let counts = counts(&plugin);
    // CLOSED, CLOSED, and "cancelled".
    assert_eq!(counts[2], 661.0);
    assert_eq!(counts[1], counts[0], "the late tensor was deleted, too");
    assert_good_works(&host);
}

#[test]
fn cancelling_ends_a_running_call() {
    let host = Folder::with_good().open();
    let plugin = loaded(&host, "good");
    let cancel = CancelFlag::new();
    let remote = cancel.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        remote.cancel();
    });
    let error = plugin.encode(text("wait"), &cancel).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Cancelled);
    assert_eq!(plugin.statistics().errors, 0, "a cancelled call is no error");
}

#[test]
fn no_more_calls_run_at_once_than_the_manifest_says_and_waiting_can_be_cancelled() {
    let host = Folder::with_good().open();
    let plugin = loaded(&host, "good");
    let most = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| plugin.encode(text("overlap"), &CancelFlag::new()).unwrap()))
            .collect();
        calls.into_iter().map(|call| call.join().unwrap().values[0]).fold(0.0, f32::max)
    });
    assert_eq!(most, 2.0);
    let (busy, waiting) = (CancelFlag::new(), CancelFlag::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| plugin.encode(text("wait"), &busy));
        }
        while plugin.statistics().calls == 6 && !waiting.is_cancelled() {
            std::thread::sleep(Duration::from_millis(50));
            waiting.cancel();
        }
        let error = plugin.encode(text("good"), &waiting).unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Cancelled);
        busy.cancel();
    });
    assert_good_works(&host);
}

#[test]
fn features_have_a_width_of_their_own_and_the_budget_arrives() {
    let host = Folder::with_good().open();
    let plugin = loaded(&host, "good");
    let rows = plugin.features(text("any"), &CancelFlag::new()).unwrap();
    assert_eq!((rows.positions, rows.width), (3, 5));
    assert_eq!(counts(&plugin)[3], 3.0, "threads");
}

#[test]
fn segments_arrive_as_they_are_pushed_and_all_together() {
    let host = Folder::with_good().open();
    let plugin = loaded(&host, "good");
    let heard: Arc<Mutex<Vec<Segment>>> = Arc::default();
    let ear = Arc::clone(&heard);
    let options = json!({"prompt": "x"}).as_object().unwrap().clone();
    let transcript = plugin
        .transcribe(text("speech"), &options, &CancelFlag::new(), move |segment| {
            ear.lock().unwrap().push(segment.clone());
            true
        })
        .unwrap();
    assert_eq!(transcript.text(), r#"{"prompt":"x"} end"#);
    assert_eq!((transcript.language.as_deref(), transcript.duration), (Some("en"), 2.0));
    assert_eq!(*heard.lock().unwrap(), transcript.segments);
    let silence = plugin.transcribe(text("silence"), &options, &CancelFlag::new(), |_| true).unwrap();
    assert!(silence.segments.is_empty());
}

#[test]
fn wrong_segments_are_named() {
    let host = Folder::with_good().open();
    let plugin = loaded(&host, "good");
    for (input, word) in [
        ("backwards", "0.25 s was pushed after one at 0.5 s"),
        ("nan", "start <= end"),
        ("null text", "NULL"),
        ("not utf-8", "UTF-8"),
        ("short struct", "got 8"),
    ] {
        let error = plugin.transcribe(text(input), &Map::new(), &CancelFlag::new(), |_| true).unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Plugin);
        assert!(error.message.contains(word), "{input}: {error}");
    }
}

#[test]
fn a_reader_that_leaves_or_panics_ends_the_call() {
    let host = Folder::with_good().open();
    let plugin = loaded(&host, "good");
    let error = plugin.transcribe(text("speech"), &Map::new(), &CancelFlag::new(), |_| false).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Cancelled);
    let error =
        plugin.transcribe(text("speech"), &Map::new(), &CancelFlag::new(), |_| panic!("reader")).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Plugin);
    assert_good_works(&host);
}

#[test]
fn inputs_that_do_not_fit_never_reach_the_plugin() {
    let host = Folder::with_good().open();
    let plugin = loaded(&host, "good");
    let long = "x".repeat(65);
    let error = plugin.encode(text(&long), &CancelFlag::new()).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::TooLarge);
    assert!(error.message.contains("65") && error.message.contains("64"), "{error}");
    let csv = RawInput { bytes: b"a,b", mime: "text/csv" };
    let error = plugin.encode(csv, &CancelFlag::new()).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unsupported);
    assert!(error.message.contains("text/csv") && error.message.contains("text/plain"), "{error}");
    assert_eq!(plugin.statistics().calls, 0);
}
