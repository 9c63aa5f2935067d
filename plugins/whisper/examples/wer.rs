//! Word error rate and speed of a Whisper model over a folder of recordings.
//!
//! ```text
//! cargo run --release -p jnana-whisper --example wer -- FOLDER MODEL [THREADS] [SETTING=JSON …]
//! ```
//!
//! `FOLDER` holds 16-bit wav files and `transcripts.tsv`, whose first two columns are a file's path and its text. `MODEL` is
//! what the plugin's setting `model` takes. Rates are given for each subfolder and for all. The error is the least number of
//! words to insert, delete or replace, over the number of words in the text, after this normalisation of both sides: lower
//! case; apostrophes dropped; every other character that is no letter or digit is a space; whole numbers below ten thousand
//! in words. Set `WER_SHOW=1` to see each recording that is not right.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jnana_media::{AudioLimits, decode_wav, resample};
use jnana_plugin_sdk::{Call, Create, Input, Plugin, Segment, Transcriber};
use jnana_whisper::Whisper;
use serde_json::{Map, Value};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, model, rest @ ..] = arguments.as_slice() else {
        return Err("usage: wer FOLDER MODEL [THREADS] [SETTING=JSON …]".into());
    };
    let (folder, threads) = (PathBuf::from(folder), rest.first().map_or(Ok(2), |n| n.parse())?);
    let whisper = load(model, threads, rest.get(1..).unwrap_or_default())?;
    let mut rows: BTreeMap<String, Score> = BTreeMap::new();
    for line in std::fs::read_to_string(folder.join("transcripts.tsv"))?.lines().skip(1) {
        let mut columns = line.split('\t');
        let (Some(file), Some(text)) = (columns.next(), columns.next()) else { continue };
        let score = measure(&whisper, &folder.join(file), text)?;
        let source = file.split_once('/').map_or("", |(source, _)| source);
        rows.entry(source.to_owned()).or_default().add(&score);
        rows.entry("~ all".to_owned()).or_default().add(&score);
    }
    println!(
        "{:28} {:>5} {:>6} {:>6} {:>7} {:>9} {:>9} {:>6}",
        "folder", "clips", "words", "errors", "WER", "sound", "wall", "RTF"
    );
    for (source, s) in rows {
        let (rate, factor) =
            (100.0 * s.errors as f64 / s.words.max(1) as f64, s.wall.as_secs_f64() / s.sound);
        println!(
            "{source:28} {:>5} {:>6} {:>6} {rate:>6.2}% {:>8.1}s {:>8.2}s {factor:>6.3}",
            s.clips,
            s.words,
            s.errors,
            s.sound,
            s.wall.as_secs_f64()
        );
    }
    Ok(())
}

fn load(model: &str, threads: usize, more: &[String]) -> Result<Whisper, Failure> {
    let mut settings = Map::from_iter([
        ("model".to_owned(), Value::from(model)),
        ("languages".to_owned(), serde_json::json!(["en"])),
    ]);
    for setting in more {
        let (key, value) = setting.split_once('=').ok_or("expected SETTING=JSON")?;
        settings.insert(key.to_owned(), serde_json::from_str(value)?);
    }
    let cache_dir = std::env::temp_dir().join("jnana-whisper-wer");
    Ok(Whisper::create(Create { space: String::new(), width: 0, threads, cache_dir, settings })?)
}

#[derive(Default)]
struct Score {
    clips: usize,
    words: usize,
    errors: usize,
    sound: f64,
    wall: Duration,
}

impl Score {
    fn add(&mut self, other: &Self) {
        self.clips += other.clips;
        self.words += other.words;
        self.errors += other.errors;
        self.sound += other.sound;
        self.wall += other.wall;
    }
}

fn measure(whisper: &Whisper, path: &Path, text: &str) -> Result<Score, Failure> {
    let sound = resample(&decode_wav(&std::fs::read(path)?, &AudioLimits::default())?, 16_000)?;
    let heard = std::sync::Mutex::new(String::new());
    let push = |segment: &Segment| {
        if let Ok(mut heard) = heard.lock() {
            *heard += &segment.text;
            heard.push(' ');
        }
        true
    };
    let started = Instant::now();
    let input = Input::Audio { sample_rate: sound.sample_rate, samples: &sound.samples };
    whisper.transcribe(&input, &Map::new(), &Call::new(&|| false, &push))?;
    let wall = started.elapsed();
    let heard = heard.into_inner().unwrap_or_default();
    let (expected, found) = (normalise(text), normalise(&heard));
    let errors = distance(&expected, &found);
    if errors > 0 && std::env::var_os("WER_SHOW").is_some() {
        println!("{} {errors}\n  {}\n  {}", path.display(), expected.join(" "), found.join(" "));
    }
    Ok(Score { clips: 1, words: expected.len(), errors, sound: sound.seconds(), wall })
}

fn normalise(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace(['\'', '’'], "");
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.flat_map(|word| word.parse().map_or_else(|_| vec![word.to_owned()], |n| number(n, word))).collect()
}

fn number(number: u32, as_written: &str) -> Vec<String> {
    const SMALL: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let with_rest = |head: Vec<String>, rest: u32| match rest {
        0 => head,
        rest => [head, self::number(rest, "")].concat(),
    };
    match number {
        0..20 => vec![SMALL[number as usize].to_owned()],
        20..100 => with_rest(vec![TENS[(number / 10 - 2) as usize].to_owned()], number % 10),
        100..1000 => {
            with_rest(vec![SMALL[(number / 100) as usize].to_owned(), "hundred".to_owned()], number % 100)
        }
        1000..10_000 => {
            with_rest(vec![SMALL[(number / 1000) as usize].to_owned(), "thousand".to_owned()], number % 1000)
        }
        _ => vec![as_written.to_owned()],
    }
}

/// Levenshtein's distance in words.
fn distance(expected: &[String], found: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=found.len()).collect();
    for (i, word) in expected.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in found.iter().enumerate() {
            let replaced = diagonal + usize::from(word != other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[found.len()]
}
