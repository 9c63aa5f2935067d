//! The plugin: what it says of itself, how an instance is made, how a recording becomes text.

use std::ops::Range;
use std::sync::Arc;

use jnana_plugin_sdk::{
    Call, Code, Control, Create, Error, Input, InputForm, Manifest, ModelSetting, Plugin, Segment,
    Transcriber, UiDescriptor,
};
use serde_json::{Map, Value};
use whisper_rs::{WhisperContext, WhisperContextParameters};

use crate::language::{self, Choice, Languages};
use crate::logging;
use crate::mel::SAMPLE_RATE;
use crate::model;
use crate::pool::{Done, Pool, PoolError, Visit, Work};
use crate::recogniser::{Options, Task};
use crate::settings::{self, Settings};
use crate::windows::{self, RATE};

/// Calls that an instance serves at once.
const CONCURRENCY: usize = 2;
/// Longest hint in bytes. A token is a byte at least, so that no more tokens than this come out of it.
const LONGEST_PROMPT: usize = 2048;
/// whisper.cpp takes no window of less than a tenth of a second.
const SHORTEST: usize = RATE / 10;

/// Speech into text with Whisper.
pub struct Whisper {
    // Before the context: its threads end before the model goes.
    pool: Pool,
    context: Arc<WhisperContext>,
    languages: Languages,
    vad: bool,
    status: &'static str,
}

impl Plugin for Whisper {
    fn manifest() -> Manifest {
        Manifest {
            id: "whisper".to_owned(),
            name: "Whisper".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: "Turns speech into text on this machine, with OpenAI's Whisper models.".to_owned(),
            kinds: vec!["jnana.transcriber/1".to_owned()],
            accepts: vec![InputForm::Audio { sample_rate: SAMPLE_RATE }],
            emits: None,
            max_concurrency: CONCURRENCY as u32,
            max_input_bytes: 64 << 20,
            needs: vec!["filesystem".to_owned()],
            models: vec![ModelSetting { setting: "model".to_owned(), default: "whisper-tiny.en".to_owned() }],
            settings_schema: settings::schema(),
            ui: UiDescriptor {
                control: Control::Microphone,
                label: "Speak".to_owned(),
                noun: "Speech".to_owned(),
                icon: "🎤".to_owned(),
                help: "Say your question; you can change the text before it is sent.".to_owned(),
                accept: vec!["audio/wav".to_owned()],
                editable_text: true,
            },
        }
    }

    fn create(create: Create) -> Result<Self, Error> {
        logging::install();
        let settings = Settings::parse(&create)?;
        let (file, sizes) = model::resolve(&settings.model, &create.cache_dir)?;
        let languages = Languages::new(language::known(sizes.vocab), settings.languages)?;
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Error::new(Code::Resource, format!("{what} {}: {error}", file.display()))
        };
        let context = WhisperContext::new_with_params(&file, WhisperContextParameters::default())
            .map_err(|error| failed("loading the Whisper model", &error))?;
        let context = Arc::new(context);
        let options =
            Options { no_speech_threshold: settings.no_speech_threshold, full_window: settings.full_window };
        let pool = Pool::start(&context, options, CONCURRENCY, settings.threads)
            .map_err(|error| failed("making room for a recognition with", &error))?;
        let status = if sizes.multilingual() { "" } else { "English only" };
        Ok(Self { pool, context, languages, vad: settings.vad, status })
    }

    fn status(&self) -> String {
        self.status.to_owned()
    }

    fn transcriber(&self) -> Option<&dyn Transcriber> {
        Some(self)
    }
}

impl Transcriber for Whisper {
    fn transcribe(
        &self,
        input: &Input<'_>,
        options: &Map<String, Value>,
        call: &Call<'_>,
    ) -> Result<Option<String>, Error> {
        let samples = samples(input)?;
        let choice = self.languages.choose(text_option(options, "language")?)?;
        let prompt = self.prompt(text_option(options, "prompt")?)?;
        let windows = self.windows(samples, call)?;
        let Some(first) = windows.first() else { return Ok(None) };
        let visit = self.pool.enter();
        let language = match choice {
            Choice::Known(language) => language,
            Choice::OneOf(_) => self.detect(&visit, &samples[first.clone()], call)?,
        };
        for window in windows {
            let task =
                Task { samples: samples[window.clone()].to_vec(), language, prompt: Arc::clone(&prompt) };
            let Done::Pieces(pieces) = run(&visit, Work::Transcribe(task), call)? else { continue };
            let offset = window.start as f64 / RATE as f64;
            for piece in pieces {
                let segment =
                    Segment { start: offset + piece.start, end: offset + piece.end, text: piece.text };
                if !call.segment(&segment) {
                    return Ok(Some(language.to_owned()));
                }
            }
        }
        Ok(Some(language.to_owned()))
    }
}

impl Whisper {
    /// Where to listen; nowhere when nobody speaks.
    fn windows(&self, samples: &[f32], call: &Call<'_>) -> Result<Vec<Range<usize>>, Error> {
        let mut windows: Vec<_> = if self.vad {
            let spans = windows::speech(samples, || call.cancelled());
            windows::plan(&spans.ok_or_else(cancelled)?, samples.len())
        } else {
            std::iter::once(0..samples.len()).collect()
        };
        windows.retain(|window| window.len() > SHORTEST);
        Ok(windows)
    }

    fn detect(&self, visit: &Visit<'_>, samples: &[f32], call: &Call<'_>) -> Result<&'static str, Error> {
        match run(visit, Work::Languages(samples.to_vec()), call)? {
            Done::Probabilities(probabilities) => self
                .languages
                .likeliest(&probabilities)
                .ok_or_else(|| Error::internal("the model gave no language a probability")),
            Done::Pieces(_) => Err(Error::internal("the recogniser answered another question")),
        }
    }

    /// Tokens of a hint. whisper-rs believes the number of tokens that whisper.cpp reports, which is negative when there is too
    /// little room: so there is always enough.
    fn prompt(&self, prompt: Option<&str>) -> Result<Arc<[i32]>, Error> {
        let Some(prompt) = prompt.filter(|prompt| !prompt.is_empty()) else { return Ok(Arc::from([])) };
        if prompt.len() > LONGEST_PROMPT {
            let text =
                format!("option prompt: expected at most {LONGEST_PROMPT} bytes, found {}", prompt.len());
            return Err(Error::invalid(text));
        }
        let tokens = self.context.tokenize(prompt, LONGEST_PROMPT);
        tokens.map(Arc::from).map_err(|error| Error::invalid(format!("option prompt: {error}")))
    }
}

fn run(visit: &Visit<'_>, work: Work, call: &Call<'_>) -> Result<Done, Error> {
    visit.run(work, || call.cancelled()).map_err(|error| match error {
        PoolError::Cancelled => cancelled(),
        error => Error::internal(format!("transcription failed: {error}")),
    })
}

fn cancelled() -> Error {
    Error::new(Code::Cancelled, "the transcription was cancelled")
}

fn samples<'a>(input: &Input<'a>) -> Result<&'a [f32], Error> {
    match input {
        Input::Audio { sample_rate: SAMPLE_RATE, samples } => {
            match samples.iter().position(|s| !s.is_finite()) {
                None => Ok(samples),
                Some(at) => Err(Error::invalid(format!("sample {at} of the sound is no number"))),
            }
        }
        Input::Audio { sample_rate, .. } => {
            let text = format!("expected sound of {SAMPLE_RATE} samples a second, found {sample_rate}");
            Err(Error::invalid(text))
        }
        Input::Image { .. } => Err(Error::invalid("expected sound, found a picture")),
        Input::Raw { mime, .. } => Err(Error::invalid(format!("expected sound, found bytes of type {mime}"))),
    }
}

fn text_option<'a>(options: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, Error> {
    match options.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Error::invalid(format!("option {key}: expected text, found {other}"))),
    }
}
