//! Panics: of a plugin made with the SDK, and a C one that says it has lost its mind.

use std::sync::mpsc;
use std::time::Duration;

use jnana_api::plugins::PluginState;
use jnana_plugin_host::{CallError, CallErrorKind, CancelFlag, Instance, PluginHost};
use serde_json::{Map, json};

use crate::support::{Folder, assert_good_works, info, loaded, reason, text};

fn open() -> PluginHost {
    let folder = Folder::with_good();
    folder.add_sdk();
    folder.open()
}

/// How many instances the library has made and dropped, by its own count, since some earlier reading.
fn made_and_dropped(plugin: &Instance) -> (u32, u32) {
    let status = plugin.status();
    let number = |word: &str| -> u32 {
        let rest = status.split_once(word).unwrap_or_else(|| panic!("{status}")).1;
        rest.split(',').next().unwrap().trim().parse().unwrap()
    };
    (number("made"), number("dropped"))
}

#[test]
fn a_panic_is_told_and_the_instance_is_replaced() {
    let host = open();
    let plugin = loaded(&host, "faulty");
    let before = made_and_dropped(&plugin);
    for _ in 0..3 {
        let error = plugin.encode(text("panic"), &CancelFlag::new()).unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Plugin);
        assert!(error.message.contains("panicked: asked to panic in encode"), "{error}");
        assert!(plugin.status().contains("made anew"), "{}", plugin.status());
        assert_eq!(plugin.encode(text("hello"), &CancelFlag::new()).unwrap().values[..2], [3.0, 5.0]);
        assert_good_works(&host);
    }
    let after = made_and_dropped(&plugin);
    assert_eq!((after.0 - before.0, after.1 - before.1), (3, 3));
    assert_eq!(plugin.statistics().panics, 3);
    assert_eq!(plugin.state(), PluginState::Ready);
}

#[test]
fn a_panic_in_the_middle_of_a_transcript_is_told() {
    let host = open();
    let plugin = loaded(&host, "faulty");
    let error = plugin.transcribe(text("one panic"), &Map::new(), &CancelFlag::new(), |_| true).unwrap_err();
    assert!(error.message.contains("asked to panic in transcribe"), "{error}");
    let options = json!({"language": "de"}).as_object().unwrap().clone();
    let transcript = plugin.transcribe(text("one two"), &options, &CancelFlag::new(), |_| true).unwrap();
    assert_eq!((transcript.text().as_str(), transcript.language.as_deref()), ("one two", Some("de")));
}

#[test]
fn panics_in_a_row_slow_the_plugin_down_and_then_switch_it_off() {
    let host = open();
    let plugin = loaded(&host, "faulty");
    let mut refused = 0;
    while plugin.state() == PluginState::Ready {
        let error = plugin.encode(text("panic"), &CancelFlag::new()).unwrap_err();
        if error.kind == CallErrorKind::Resource {
            assert!(error.message.contains("made anew in"), "{error}");
            refused += 1;
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert!(refused > 0, "no pause between the panics");
    assert_eq!(plugin.statistics().panics, 5);
    assert!(reason(&host, "libjnana_faulty_plugin.so").contains("panicked 5 times"));
    let error = plugin.encode(text("hello"), &CancelFlag::new()).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Resource);
    assert_good_works(&host);
}

/// The error of a call, once the pause after earlier panics is over.
fn error_of(plugin: &Instance, words: &str) -> CallError {
    loop {
        let error = plugin.encode(text(words), &CancelFlag::new()).unwrap_err();
        if !error.message.contains("made anew in") {
            return error;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn failures_between_panics_do_not_keep_a_plugin_on() {
    let host = open();
    let plugin = loaded(&host, "faulty");
    for panics in 1..=5 {
        assert!(error_of(&plugin, "panic").message.contains("asked to panic"));
        if panics < 5 {
            assert!(error_of(&plugin, "ragged").message.contains("7 values"));
            let ended =
                plugin.transcribe(text("one two"), &Map::new(), &CancelFlag::new(), |_| false).unwrap_err();
            assert_eq!(ended.kind, CallErrorKind::Cancelled);
            assert_eq!(plugin.state(), PluginState::Ready, "after {panics} panics");
        }
    }
    assert!(reason(&host, "libjnana_faulty_plugin.so").contains("panicked 5 times"));
}

#[test]
fn good_calls_of_a_replaced_instance_do_not_keep_a_plugin_on() {
    let host = open();
    let plugin = loaded(&host, "faulty");
    for panics in 1..=5 {
        // Makes the instance anew without a good call.
        if panics > 1 {
            error_of(&plugin, "ragged");
        }
        std::thread::scope(|scope| {
            let (heard, hears) = mpsc::channel();
            let (go, goes) = mpsc::channel::<()>();
            let plugin = &plugin;
            let slow = scope.spawn(move || {
                plugin.transcribe(text("one"), &Map::new(), &CancelFlag::new(), move |_| {
                    heard.send(()).unwrap();
                    goes.recv().is_ok()
                })
            });
            hears.recv().unwrap();
            assert!(error_of(plugin, "panic").message.contains("asked to panic"));
            go.send(()).unwrap();
            assert_eq!(slow.join().unwrap().unwrap().text(), "one");
        });
    }
    assert!(reason(&host, "libjnana_faulty_plugin.so").contains("panicked 5 times"));
}

#[test]
fn a_panic_in_create_fails_the_plugin_and_nothing_else() {
    let mut folder = Folder::with_good();
    folder.add_sdk();
    folder.config.settings.insert("faulty".into(), json!({"panic": true}).as_object().unwrap().clone());
    let host = folder.open();
    let reason = reason(&host, "libjnana_faulty_plugin.so");
    assert!(reason.contains("panicked: asked to panic in create"), "{reason}");
    assert!(info(&host, "libjnana_faulty_plugin.so").manifest.is_some() && host.get("faulty").is_none());
    assert_good_works(&host);
}

#[test]
fn an_instance_in_c_can_ask_to_be_replaced() {
    let host = Folder::with_good().open();
    let plugin = loaded(&host, "good");
    let error = plugin.encode(text("panic"), &CancelFlag::new()).unwrap_err();
    assert!(error.message.contains("I am beside myself"), "{error}");
    assert_good_works(&host);
}

#[test]
fn calls_beside_a_panic_finish_on_the_old_instance() {
    let host = open();
    let plugin = loaded(&host, "faulty");
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..40)
            .map(|at| {
                let plugin = &plugin;
                scope.spawn(move || {
                    let words = if at % 10 == 9 { "panic" } else { "hello" };
                    plugin.encode(text(words), &CancelFlag::new()).map(|rows| rows.values[1])
                })
            })
            .collect();
        for (at, call) in calls.into_iter().enumerate() {
            match call.join().unwrap() {
                Ok(length) => assert_eq!(length, 5.0),
                // A call can meet the poison of a panic beside it, or the pause after two of them.
                Err(error) => assert!(error.message.contains("panic"), "{at}: {error}"),
            }
        }
    });
    assert_good_works(&host);
}

#[test]
fn rows_that_are_none_are_refused_by_the_sdk() {
    let host = open();
    let error = loaded(&host, "faulty").encode(text("ragged"), &CancelFlag::new()).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Plugin);
    assert!(error.message.contains("7 values") && error.message.contains("width 6"), "{error}");
}
