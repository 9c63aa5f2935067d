//! Plugins in worker processes: they do what they do in this one, and what they break is their own.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jnana_api::plugins::{PluginState, Runs, Segment};
use jnana_plugin_host::{CallError, CallErrorKind, CancelFlag, Instance, PluginHost};
use serde_json::{Map, json};

use crate::support::{Folder, WIDTH, assert_good_works, info, loaded, text};

/// A host with the good plugin and one that is asked to do wrong.
fn with_wild(folder: &Folder) -> PluginHost {
    folder.add_c("libwild.so", &["ID=\"wild\""]);
    folder.open()
}

/// What becomes of a call, once the pause after earlier ends is over.
fn call(plugin: &Instance, words: &str) -> CallError {
    loop {
        let error = plugin.encode(text(words), &CancelFlag::new()).unwrap_err();
        if !error.message.contains("it is made anew in") {
            return error;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The number of the plugin's process.
fn pid(plugin: &Instance) -> u32 {
    let values = plugin.encode(text("pid"), &CancelFlag::new()).unwrap().values;
    values[0] as u32 * 1000 + values[1] as u32
}

fn is_there(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    // A process that has ended but was not waited for is gone, too.
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_worker_gives_what_the_plugin_gives() {
    let folder = Folder::with_workers();
    let host = folder.open();
    let plugin = loaded(&host, "good");
    assert_eq!((plugin.runs(), info(&host, "libgood.so").runs), (Runs::Worker, Some(Runs::Worker)));
    assert_ne!(pid(&plugin), std::process::id());
    assert_good_works(&host);
    assert_eq!(plugin.status(), "projector: untrained");
    let rows = plugin.features(text("any"), &CancelFlag::new()).unwrap();
    assert_eq!((rows.positions, rows.width), (3, 5));
    let counts = plugin.encode(text("counts"), &CancelFlag::new()).unwrap().values;
    assert_eq!(counts[0], counts[1], "a tensor was not deleted");
    assert_eq!(counts[3], 3.0, "threads");

    let heard: Arc<Mutex<Vec<Segment>>> = Arc::default();
    let ear = Arc::clone(&heard);
    let options = json!({"prompt": "x"}).as_object().unwrap().clone();
    let hear = move |segment: &Segment| {
        ear.lock().unwrap().push(segment.clone());
        true
    };
    let transcript = plugin.transcribe(text("speech"), &options, &CancelFlag::new(), hear).unwrap();
    assert_eq!(transcript.text(), r#"{"prompt":"x"} end"#);
    assert_eq!((transcript.language.as_deref(), transcript.duration), (Some("en"), 2.0));
    assert_eq!(*heard.lock().unwrap(), transcript.segments);
}

#[test]
fn an_encoder_for_another_model_is_an_instance_of_its_own_and_ends_with_it() {
    let mut folder = Folder::with_workers();
    let host = folder.open();
    let plugin = loaded(&host, "good");
    let same = host.fitting(&folder.config).unwrap();
    assert!(Arc::ptr_eq(&loaded(&same, "good"), &plugin));

    folder.config.width += 2;
    let wider = host.fitting(&folder.config).unwrap();
    let other = loaded(&wider, "good");
    let width = |plugin: &Instance| plugin.encode(text("any"), &CancelFlag::new()).unwrap().width;
    assert_eq!((width(&plugin), width(&other)), (WIDTH, WIDTH + 2));
    let process = pid(&other);
    assert_ne!(pid(&plugin), process);
    drop((wider, other));
    wait_until("the end of the other instance", || !is_there(process));
    assert_good_works(&host);
}

#[test]
fn inputs_of_every_form_arrive_whole() {
    let mut folder = Folder::with_workers();
    folder.config.runs.limits.memory = 512 << 20;
    folder.add_sdk();
    let host = folder.open();
    let plugin = loaded(&host, "faulty");
    let sound = jnana_media::Sound { sample_rate: 16_000, samples: vec![0.25; 48_000] };
    let wav = jnana_media::encode_wav(&sound);
    let input = jnana_plugin_host::RawInput { bytes: &wav, mime: "audio/wav" };
    let values = plugin.encode(input, &CancelFlag::new()).unwrap().values;
    assert_eq!(values[..3], [2.0, 48_000.0, 16_000.0]);
    assert!((values[3] - 0.25).abs() < 0.001, "{values:?}");
    // More than a socket holds at once.
    let long = "x".repeat(1 << 20);
    assert_eq!(plugin.encode(text(&long), &CancelFlag::new()).unwrap().values[..2], [3.0, 1_048_576.0]);
}

#[test]
fn faults_have_the_same_words_and_kinds() {
    let folder = Folder::with_workers();
    let host = folder.open();
    let plugin = loaded(&host, "good");
    for (input, kind, word) in [
        ("wide", CallErrorKind::Plugin, "width 6, got shape [2, 7]"),
        ("nan", CallErrorKind::Plugin, "finite values, got NaN in row 0, column 1"),
        ("twice", CallErrorKind::Plugin, "second tensor"),
        ("nothing", CallErrorKind::Plugin, "pushed no tensor"),
        ("unknown status", CallErrorKind::Plugin, "4242"),
        ("invalid", CallErrorKind::InvalidInput, "I do not like this text"),
        ("resource", CallErrorKind::Resource, "the disk is full"),
    ] {
        let error = plugin.encode(text(input), &CancelFlag::new()).unwrap_err();
        assert_eq!((error.kind, error.plugin.as_str()), (kind, "good"), "{input}: {error}");
        assert!(error.message.contains(word), "{input}: {error}");
    }
    let backwards =
        plugin.transcribe(text("backwards"), &Map::new(), &CancelFlag::new(), |_| true).unwrap_err();
    assert!(backwards.message.contains("0.25 s was pushed after one at 0.5 s"), "{backwards}");
    let left = plugin.transcribe(text("speech"), &Map::new(), &CancelFlag::new(), |_| false).unwrap_err();
    assert_eq!(left.kind, CallErrorKind::Cancelled);
    let panicked =
        plugin.transcribe(text("speech"), &Map::new(), &CancelFlag::new(), |_| panic!("reader")).unwrap_err();
    assert_eq!(panicked.kind, CallErrorKind::Cancelled, "{panicked}");
    plugin.encode(text("late"), &CancelFlag::new()).unwrap();
    wait_until("four faults", || plugin.faults().len() == 4);
    assert_eq!(plugin.statistics().late_sink_uses, 4);
    assert_good_works(&host);
}

#[test]
fn what_ends_a_worker_fails_its_call_and_nothing_else() {
    let mut folder = Folder::with_workers();
    folder.config.runs.plugins.insert("good".to_owned(), Runs::InProcess);
    let host = with_wild(&folder);
    let plugin = loaded(&host, "wild");
    for (input, words) in [
        ("wild segfault", &["SIGSEGV"][..]),
        ("wild abort", &["SIGABRT", "the moon is full"][..]),
        ("wild exit", &["ended the process with status 0"][..]),
        ("wild spin", &["hung", "gave nothing for 3 s"][..]),
        ("wild leak", &["MiB of memory", "limit of 128 MiB"][..]),
        ("wild flood", &["flooded its output"][..]),
    ] {
        std::thread::scope(|scope| {
            // A call of another plugin that is under way when this worker ends.
            let (good, cancel) = (loaded(&host, "good"), CancelFlag::new());
            let stop = cancel.clone();
            let beside = scope.spawn(move || good.encode(text("wait"), &cancel).unwrap_err());
            let error = call(&plugin, input);
            assert_eq!(error.kind, CallErrorKind::Plugin, "{input}: {error}");
            for word in words {
                assert!(error.message.contains(word), "{input}: {error}");
            }
            let status = plugin.status();
            assert!(status.contains("made anew") && status.contains(words[0]), "{status}");
            stop.cancel();
            let beside = beside.join().unwrap();
            assert_eq!(beside.kind, CallErrorKind::Cancelled, "{beside}");
        });
        assert_good_works(&host);
        assert_eq!(plugin.state(), PluginState::Ready, "a worker is started again for ever");
    }
    assert_eq!(plugin.statistics().panics, 6);
    // It works once the pause is over, and the next end costs no pause again.
    assert!(call(&plugin, "internal").message.contains("I am confused"));
    assert_ne!(pid(&plugin), 0);
    assert!(plugin.encode(text("wild abort"), &CancelFlag::new()).unwrap_err().message.contains("SIGABRT"));
    assert_ne!(pid(&plugin), 0);
}

#[test]
fn what_would_reach_beyond_the_worker_is_denied() {
    let folder = Folder::with_workers();
    let host = with_wild(&folder);
    let plugin = loaded(&host, "wild");
    let (secret, outside) = (folder.root().join("secret"), folder.root().join("new"));
    std::fs::write(&secret, "secret").unwrap();
    for (input, said) in [
        ("wild fork".to_owned(), "Operation not permitted"),
        ("wild exec".to_owned(), "Operation not permitted"),
        ("wild socket".to_owned(), "Operation not permitted"),
        ("wild kill".to_owned(), "Operation not permitted"),
        ("wild setsid".to_owned(), "Operation not permitted"),
        ("wild priority".to_owned(), "Operation not permitted"),
        ("wild owner".to_owned(), "Operation not permitted"),
        ("wild shared".to_owned(), "Operation not permitted"),
        (format!("wild chmod {}", secret.display()), "Operation not permitted"),
        (format!("wild cut {}", secret.display()), "Operation not permitted"),
        (format!("wild read {}", secret.display()), "Permission denied"),
        (format!("wild write {}", secret.display()), "Permission denied"),
        (format!("wild write {}", outside.display()), "Permission denied"),
        ("wild home".to_owned(), "no home"),
        ("wild thread".to_owned(), "done"),
        ("wild own".to_owned(), "done"),
    ] {
        let error = call(&plugin, &input);
        assert!(error.message.contains(said), "{input}: {error}");
    }
    assert!(!outside.exists() && std::fs::read(secret).unwrap() == b"secret");
    assert!(folder.config.cache_root.join("wild/own").exists());
}

#[test]
fn declared_needs_and_settings_open_what_they_name() {
    let mut folder = Folder::with_workers();
    let granted = folder.root().join("granted");
    std::fs::write(&granted, "").unwrap();
    let settings = json!({"file": granted}).as_object().unwrap().clone();
    folder.config.settings.insert("wild".to_owned(), settings);
    folder.add_c("libwild.so", &["ID=\"wild\"", r#"NEEDS="\"filesystem\",\"network\"""#]);
    let plugin = loaded(&folder.open(), "wild");
    assert!(call(&plugin, &format!("wild read {}", granted.display())).message.contains("done"));
    assert!(call(&plugin, &format!("wild write {}", granted.display())).message.contains("denied"));
    assert!(call(&plugin, "wild socket").message.contains("done"));
    assert!(call(&plugin, "wild fork").message.contains("not permitted"));
}

#[test]
fn a_cancelled_call_ends_in_the_worker_too() {
    let folder = Folder::with_workers();
    let host = folder.open();
    let plugin = loaded(&host, "good");
    let before = pid(&plugin);
    let cancel = CancelFlag::new();
    let remote = cancel.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        remote.cancel();
    });
    let start = Instant::now();
    let error = plugin.encode(text("wait"), &cancel).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Cancelled);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(pid(&plugin), before, "the worker went on");
    assert_eq!(plugin.statistics().errors, 0);
}

#[test]
fn as_many_calls_run_at_once_as_the_manifest_says() {
    let folder = Folder::with_workers();
    let host = folder.open();
    let plugin = loaded(&host, "good");
    let most = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| plugin.encode(text("overlap"), &CancelFlag::new()).unwrap()))
            .collect();
        calls.into_iter().map(|call| call.join().unwrap().values[0]).fold(0.0, f32::max)
    });
    assert_eq!(most, 2.0);
}

#[test]
fn a_worker_that_dies_between_calls_is_started_again() {
    let folder = Folder::with_workers();
    let host = folder.open();
    let plugin = loaded(&host, "good");
    let first = pid(&plugin);
    assert!(Command::new("kill").args(["-9", &first.to_string()]).status().unwrap().success());
    wait_until("the end of the worker", || plugin.status().contains("signal 9"));
    assert_good_works(&host);
    assert_ne!(pid(&plugin), first);
    assert_eq!(plugin.status(), "projector: untrained");
}

#[test]
fn a_worker_ends_with_its_host() {
    let folder = Folder::with_workers();
    let host = folder.open();
    let plugin = loaded(&host, "good");
    let worker = pid(&plugin);
    assert!(is_there(worker));
    let start = Instant::now();
    drop((host, plugin));
    assert!(!is_there(worker));
    assert!(start.elapsed() < Duration::from_secs(2), "it was not asked, but killed");
}

#[test]
fn a_create_that_fails_or_crashes_in_a_worker_is_told() {
    for (fault, word) in [("CREATE_FAILS", "the weights are not there"), ("CREATE_LIES", "gave no instance")]
    {
        let folder = Folder::with_workers();
        folder.add_c("libbad.so", &["ID=\"bad\"", fault]);
        let host = folder.open();
        let PluginState::Failed { reason } = info(&host, "libbad.so").state else { panic!("it is ready") };
        assert!(reason.contains(word), "{reason}");
        assert_good_works(&host);
    }
}

#[test]
fn the_operators_word_decides_where_a_plugin_runs() {
    let mut folder = Folder::with_workers();
    folder.config.runs.plugins.insert("good".to_owned(), Runs::InProcess);
    let host = folder.open();
    assert_eq!(pid(&loaded(&host, "good")), std::process::id());
    jnana_plugin_host::pin(&folder.plugins(), "libgood.so", jnana_plugin_host::Trust::Full).unwrap();
    folder.config.runs.plugins.clear();
    assert_eq!(loaded(&folder.open(), "good").runs(), Runs::InProcess);
    folder.config.runs.trusted = Runs::Worker;
    assert_eq!(loaded(&folder.open(), "good").runs(), Runs::Worker);
}
