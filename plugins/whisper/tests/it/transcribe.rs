//! Speech becomes text; everything else stays without.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jnana_media::{AudioLimits, decode_wav};
use jnana_plugin_sdk::{Call, Code, Error, Input, Plugin, Segment, Transcriber};
use jnana_whisper::Whisper;
use serde_json::{Map, Value, json};

use crate::models::{base, tiny};

const RATE: usize = 16_000;

fn recording(name: &str) -> Vec<f32> {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let sound = decode_wav(&std::fs::read(path).unwrap(), &AudioLimits::default()).unwrap();
    assert_eq!(sound.sample_rate as usize, RATE);
    sound.samples
}

fn heard(
    whisper: &Whisper,
    samples: &[f32],
    options: Value,
) -> Result<(Vec<Segment>, Option<String>), Error> {
    let Value::Object(options) = options else { panic!("options are an object") };
    let segments = std::sync::Mutex::new(Vec::new());
    let push = |segment: &Segment| {
        segments.lock().unwrap().push(segment.clone());
        true
    };
    let input = Input::Audio { sample_rate: 16_000, samples };
    let language = whisper.transcribe(&input, &options, &Call::new(&|| false, &push))?;
    Ok((segments.into_inner().unwrap(), language))
}

fn text(whisper: &Whisper, samples: &[f32]) -> String {
    let (segments, _) = heard(whisper, samples, json!({})).unwrap();
    segments.iter().map(|segment| segment.text.as_str()).collect::<String>()
}

fn words(text: &str) -> Vec<String> {
    let plain =
        |word: &str| word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    text.split_whitespace().map(plain).collect()
}

const KENNEDY: &str = "and so my fellow americans ask not what your country can do for you \
                       ask what you can do for your country";

#[test]
fn kennedy_is_transcribed_without_a_word_error() {
    let samples = recording("jfk.wav");
    for model in [tiny(), base()] {
        let (segments, language) = heard(model, &samples, json!({})).unwrap();
        let all = segments.iter().map(|segment| segment.text.as_str()).collect::<String>();
        assert_eq!(words(&all), words(KENNEDY));
        assert_eq!(language.as_deref(), Some("en"));
        let mut last = 0.0;
        for segment in &segments {
            assert!(
                segment.start >= last && segment.end > segment.start && segment.end <= 11.0,
                "{segment:?}"
            );
            last = segment.end;
        }
    }
}

#[test]
fn a_spoken_question_is_understood() {
    let said = words(&text(tiny(), &recording("question.wav")));
    for word in ["many", "people", "see", "picture"] {
        assert!(said.iter().any(|other| other == word), "{word} is missing in {said:?}");
    }
}

/// Numbers in −1..1 without a pattern (SplitMix64).
fn noise(count: usize) -> Vec<f32> {
    let mut state = 7u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn silence_noise_and_hum_give_no_text() {
    let hum = |hz: f32, i: usize| (std::f32::consts::TAU * hz * i as f32 / RATE as f32).sin();
    let sounds = [
        ("silence", vec![0.0; 5 * RATE]),
        ("nothing", Vec::new()),
        ("loud noise", noise(5 * RATE).iter().map(|s| 0.5 * s).collect()),
        ("soft noise", noise(5 * RATE).iter().map(|s| 0.01 * s).collect()),
        ("mains hum", (0..5 * RATE).map(|i| 0.3 * hum(50.0, i) + 0.1 * hum(150.0, i)).collect()),
        ("a tone", (0..5 * RATE).map(|i| 0.5 * hum(440.0, i)).collect()),
        ("a click", (0..RATE).map(|i| if i == 8000 { 1.0 } else { 0.0 }).collect()),
    ];
    for (name, samples) in sounds {
        assert_eq!(heard(tiny(), &samples, json!({})).unwrap(), (Vec::new(), None), "{name}");
    }
}

#[test]
fn times_count_from_the_start_of_the_recording_across_pauses() {
    let question = recording("question.wav");
    let silence = vec![0.0; 20 * RATE];
    let samples = [silence.as_slice(), &question, &silence, &question].concat();
    let (segments, _) = heard(tiny(), &samples, json!({})).unwrap();
    let questions: Vec<_> =
        segments.iter().filter(|segment| words(&segment.text).contains(&"people".to_owned())).collect();
    let [first, second] = questions.as_slice() else { panic!("expected the question twice: {segments:?}") };
    let again = 40.0 + question.len() as f64 / RATE as f64;
    assert!((19.0..22.0).contains(&first.start) && first.end < 24.0, "{first:?}");
    assert!((again - 1.0..again + 2.0).contains(&second.start) && second.end < again + 4.0, "{second:?}");
}

#[test]
fn more_than_half_a_minute_without_a_long_pause_is_heard_to_its_end() {
    let samples = recording("jfk.wav").repeat(4);
    let (segments, _) = heard(tiny(), &samples, json!({})).unwrap();
    let all: Vec<_> = segments.iter().flat_map(|segment| words(&segment.text)).collect();
    let countries = all.iter().filter(|word| *word == "country").count();
    assert_eq!(countries, 8, "each of the four repetitions says it twice: {all:?}");
}

#[test]
fn languages_are_told_and_limited() {
    let german = recording("german.wav");
    let (segments, language) = heard(base(), &german, json!({})).unwrap();
    assert_eq!(language.as_deref(), Some("de"));
    let all: Vec<_> = segments.iter().flat_map(|segment| words(&segment.text)).collect();
    assert!(all.iter().any(|word| word == "peter") && all.iter().any(|word| word == "berlin"), "{all:?}");

    let (_, language) = heard(base(), &recording("question.wav"), json!({})).unwrap();
    assert_eq!(language.as_deref(), Some("en"));
    let (_, language) = heard(base(), &german, json!({"language": "german"})).unwrap();
    assert_eq!(language.as_deref(), Some("de"));
    for refused in [json!({"language": "fr"}), json!({"language": "klingon"}), json!({"language": 7})] {
        let error = heard(base(), &german, refused.clone()).unwrap_err();
        assert_eq!(error.code, Code::InvalidInput, "{refused}: {error}");
    }
    assert_eq!(heard(tiny(), &german, json!({"language": "de"})).unwrap_err().code, Code::InvalidInput);
}

#[test]
fn a_hint_is_taken_and_a_wrong_one_refused() {
    let samples = recording("question.wav");
    heard(base(), &samples, json!({"prompt": "A talk about people and pictures.", "other": 1})).unwrap();
    for refused in [json!({"prompt": "a".repeat(5000)}), json!({"prompt": "a\0b"}), json!({"prompt": 1})] {
        assert_eq!(heard(base(), &samples, refused).unwrap_err().code, Code::InvalidInput);
    }
}

#[test]
fn wrong_sound_is_refused() {
    let none = Map::new();
    let call = Call::new(&|| false, &|_| true);
    let samples = [0.0, f32::NAN];
    for input in [
        Input::Audio { sample_rate: 8000, samples: &[] },
        Input::Audio { sample_rate: 16_000, samples: &samples },
        Input::Image { width: 1, height: 1, pixels: &[0; 3] },
        Input::Raw { mime: "audio/wav", bytes: b"RIFF" },
    ] {
        assert_eq!(tiny().transcribe(&input, &none, &call).unwrap_err().code, Code::InvalidInput);
    }
}

#[test]
fn a_cancelled_call_returns_at_once_and_leaves_the_instance_usable() {
    let samples = recording("jfk.wav").repeat(8);
    let (whisper, cancel) = (tiny(), AtomicBool::new(false));
    let (error, after) = std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let cancelled = || cancel.load(Ordering::Relaxed);
            let input = Input::Audio { sample_rate: 16_000, samples: &samples };
            let result = whisper.transcribe(&input, &Map::new(), &Call::new(&cancelled, &|_| true));
            (result.unwrap_err(), Instant::now())
        });
        std::thread::sleep(Duration::from_millis(300));
        let asked = Instant::now();
        cancel.store(true, Ordering::Relaxed);
        let (error, returned) = call.join().unwrap();
        (error, returned.saturating_duration_since(asked))
    });
    assert_eq!(error.code, Code::Cancelled);
    assert!(after < Duration::from_secs(1), "took {after:?}");
    assert_eq!(words(&text(tiny(), &recording("jfk.wav"))), words(KENNEDY));
}

#[test]
fn a_host_that_wants_no_more_ends_the_call() {
    let samples = recording("jfk.wav");
    let input = Input::Audio { sample_rate: 16_000, samples: &samples };
    let language = tiny().transcribe(&input, &Map::new(), &Call::new(&|| false, &|_| false)).unwrap();
    assert_eq!(language.as_deref(), Some("en"));
}

#[test]
fn calls_at_the_same_time_get_their_own_text() {
    let (kennedy, question) = (recording("jfk.wav"), recording("question.wav"));
    let alone = text(tiny(), &question);
    std::thread::scope(|scope| {
        let calls: Vec<_> = [&kennedy, &question, &kennedy]
            .into_iter()
            .map(|samples| scope.spawn(move || text(tiny(), samples)))
            .collect();
        let texts: Vec<_> = calls.into_iter().map(|call| call.join().unwrap()).collect();
        assert_eq!(words(&texts[0]), words(KENNEDY));
        assert_eq!(texts[1], alone);
        assert_eq!(words(&texts[2]), words(KENNEDY));
    });
}

#[test]
fn the_manifest_describes_a_microphone() {
    let manifest = Whisper::manifest();
    assert_eq!(manifest.kinds, ["jnana.transcriber/1"]);
    assert_eq!(
        serde_json::to_value(&manifest.accepts).unwrap(),
        json!([{"form": "audio", "sample_rate": 16000}])
    );
    assert_eq!(manifest.models[0].default, "whisper-tiny.en");
    assert!(manifest.ui.editable_text);
    assert!(tiny().transcriber().is_some() && tiny().encoder().is_none());
    assert!(tiny().status().contains("English only"), "{}", tiny().status());
}
