//! Inputs: good ones for every form that a plugin takes, and what can be made of them.

use jnana_api::plugins::InputForm;
use jnana_plugin_abi as abi;
use jnana_plugin_host::contract::parse_job_kinds;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use serde_json::json;

use crate::guarded::Guarded;
use crate::subject::{Input, Kind, Subject, c_string};
use crate::task::Task;

/// Seconds of sound in a good input.
const SECONDS: f32 = 1.0;

/// The randomness of a test: its own, so that another test changes nothing of it.
pub(crate) fn random(task: &Task, test: u64) -> StdRng {
    StdRng::seed_from_u64(task.seed ^ (test << 32))
}

/// Bytes from a seed.
pub(crate) fn noise(rng: &mut StdRng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// A good input for each form that the plugin takes.
pub(crate) fn good(subject: &Subject<'_>) -> Result<Vec<Input>, String> {
    subject.forms().iter().map(|form| good_of(subject, form)).collect()
}

fn good_of(subject: &Subject<'_>, form: &InputForm) -> Result<Input, String> {
    let bytes = match form {
        InputForm::Image { width, height, .. } => picture(*width, *height),
        InputForm::Audio { sample_rate } => sound(*sample_rate, SECONDS),
        InputForm::Raw { .. } => raw(subject)?,
    };
    with_bytes(form, &bytes)
}

/// The bytes of a good raw input: those that the author gave, or what jobs are asked for with, or a word.
pub(crate) fn raw(subject: &Subject<'_>) -> Result<Vec<u8>, String> {
    match &subject.task.input {
        Some(path) => std::fs::read(path).map_err(|error| format!("reading {}: {error}", path.display())),
        None if subject.kinds().contains(&Kind::PrepareJob) => job(subject),
        None => Ok(b"jnana".to_vec()),
    }
}

/// A request for the first kind of job that the plugin offers, with no setting made and in folders that are not there.
fn job(subject: &Subject<'_>) -> Result<Vec<u8>, String> {
    let folder = &subject.task.cache_dir;
    let nowhere = folder.join("nothing");
    let mut request = json!({
        "kind": "", "settings": {}, "folder": folder,
        "folders": { "data": nowhere, "models": nowhere, "runs": nowhere },
    });
    let form = InputForm::Raw { mime: "application/json".to_owned() };
    let asked = with_bytes(&form, request.to_string().as_bytes())?;
    let ended = subject.create()?.call(Kind::JobKinds, &asked).map_err(|trouble| trouble.to_string())?;
    let text = ended.well(Kind::JobKinds)?.segments.pop().map(|segment| segment.text).unwrap_or_default();
    let kinds = parse_job_kinds(&text).map_err(|why| format!("its kinds of jobs: {why}"))?;
    let first = kinds.into_iter().next().ok_or("it offers jobs, but no kind of them")?;
    request["kind"] = first.kind.into();
    Ok(request.to_string().into_bytes())
}

/// An input that says it is of a form, with any bytes.
pub(crate) fn with_bytes(form: &InputForm, bytes: &[u8]) -> Result<Input, String> {
    let data = Guarded::new(bytes)?;
    let none = Input { form: abi::INPUT_RAW, width: 0, height: 0, sample_rate: 0, mime: c_string(""), data };
    Ok(match form {
        InputForm::Image { width, height, .. } => {
            Input { form: abi::INPUT_IMAGE, width: *width, height: *height, ..none }
        }
        InputForm::Audio { sample_rate } => {
            Input { form: abi::INPUT_AUDIO, sample_rate: *sample_rate, ..none }
        }
        InputForm::Raw { mime } => Input { mime: c_string(&mime.replace('*', "plain")), ..none },
    })
}

/// How many bytes a good input of a form has; none for raw ones.
pub(crate) fn whole(form: &InputForm) -> Option<usize> {
    match form {
        InputForm::Image { width, height, .. } => Some(*width as usize * *height as usize * 3),
        InputForm::Audio { sample_rate } => Some(*sample_rate as usize * size_of::<f32>()),
        InputForm::Raw { .. } => None,
    }
}

/// A gradient.
fn picture(width: u32, height: u32) -> Vec<u8> {
    let pixel = |x: u32, y: u32| [(x * 255 / width) as u8, (y * 255 / height) as u8, 128];
    (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect()
}

/// A tone that grows and fades three times a second, somewhat like speech.
pub(crate) fn sound(sample_rate: u32, seconds: f32) -> Vec<u8> {
    let sample = |at: usize| {
        let time = at as f32 / sample_rate as f32;
        let turn = std::f32::consts::TAU * time;
        (turn * 220.0).sin() * (0.3 + 0.2 * (turn * 3.0).sin())
    };
    let count = (sample_rate as f32 * seconds) as usize;
    (0..count).flat_map(|at| sample(at).to_ne_bytes()).collect()
}
