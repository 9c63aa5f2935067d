//! Tests of inputs that no kind host would give. What comes back may be a refusal or a result, but it has to be one.

use std::time::{Duration, Instant};

use jnana_api::plugins::InputForm;
use jnana_plugin_abi as abi;
use rand::Rng;
use rand::rngs::StdRng;

use crate::life::pairs;
use crate::make::{good, noise, random as random_of, raw as raw_bytes, sound, whole, with_bytes};
use crate::subject::{Input, Instance, Subject, c_string};
use crate::suite::{Trouble, Verdict};
use crate::task::Task;

/// Largest raw input that is tried, whatever the manifest allows.
const LARGEST: usize = 64 << 20;
/// How long the fuzzing goes on.
const FUZZ: Duration = Duration::from_secs(15);

/// Gives every input to every function, and then a good one.
fn survive(
    task: &Task,
    inputs: impl FnOnce(&Subject<'_>) -> Result<Vec<(String, Input)>, String>,
) -> Verdict {
    let subject = Subject::load(task)?;
    let instance = subject.create()?;
    let (mut taken, mut refused) = (0, 0);
    for (what, input) in inputs(&subject)? {
        match attempt(&subject, &instance, &input).map_err(|why| format!("{what}: {why}"))? {
            (0, _) => refused += 1,
            _ => taken += 1,
        }
    }
    let inputs = good(&subject)?;
    for (kind, input) in pairs(&subject, &inputs) {
        instance.call(kind, input)?.well(kind).map_err(|why| format!("a good input afterwards: {why}"))?;
    }
    Ok(format!("{taken} taken, {refused} refused"))
}

/// How many of the functions took an input, and how many refused it.
fn attempt(subject: &Subject<'_>, instance: &Instance<'_>, input: &Input) -> Result<(usize, usize), String> {
    let (mut taken, mut refused) = (0, 0);
    for kind in subject.kinds() {
        let ended = match instance.call(kind, input) {
            Ok(ended) => ended,
            Err(Trouble::Broken(why) | Trouble::NotThere(why)) => return Err(why),
        };
        match ended.properly(kind).map_err(|why| format!("{kind:?}: {why}"))? {
            Some(_) => taken += 1,
            None => refused += 1,
        }
    }
    Ok((taken, refused))
}

/// An input with words for it.
fn named(what: String, input: Result<Input, String>) -> Result<(String, Input), String> {
    Ok((what, input?))
}

pub(crate) fn empty(task: &Task) -> Verdict {
    survive(task, |subject| {
        subject
            .forms()
            .iter()
            .map(|form| named(format!("an empty {form:?}"), with_bytes(form, b"")))
            .collect()
    })
}

pub(crate) fn random(task: &Task) -> Verdict {
    survive(task, |subject| {
        let mut rng = random_of(task, 1);
        let mut all = Vec::new();
        for form in &subject.forms() {
            let lengths =
                whole(form).map_or_else(|| vec![1, 2, 15, 64, 1000, 65_536], |length| vec![length; 3]);
            for length in lengths {
                let length = length.min(most(subject));
                all.push((format!("{length} random bytes"), with_bytes(form, &noise(&mut rng, length))?));
            }
        }
        Ok(all)
    })
}

/// Longest raw input that the manifest allows, within reason.
fn most(subject: &Subject<'_>) -> usize {
    usize::try_from(subject.manifest.max_input_bytes).unwrap_or(LARGEST).min(LARGEST)
}

pub(crate) fn oversized(task: &Task) -> Verdict {
    survive(task, |subject| {
        let mut rng = random_of(task, 2);
        let mut large = |form: &InputForm| match form {
            InputForm::Image { width, height, fit } => {
                let (width, height) = (width * 2, height * 2);
                let larger = InputForm::Image { width, height, fit: *fit };
                with_bytes(&larger, &vec![127; whole(&larger).unwrap_or_default()])
            }
            InputForm::Audio { sample_rate } => with_bytes(form, &sound(*sample_rate, 90.0)),
            InputForm::Raw { .. } => with_bytes(form, &noise(&mut rng, most(subject) + 1)),
        };
        subject.forms().iter().map(|form| named("too large an input".to_owned(), large(form))).collect()
    })
}

pub(crate) fn truncated(task: &Task) -> Verdict {
    survive(task, |subject| {
        let mut all = Vec::new();
        for (form, input) in subject.forms().iter().zip(good(subject)?) {
            let length = input.data.len();
            for cut in [1, length / 3, length / 2, length.saturating_sub(2), length.saturating_sub(1)] {
                let bytes = bytes_of(subject, form)?;
                let cut = cut.min(length);
                all.push((format!("the first {cut} of {length} bytes"), with_bytes(form, &bytes[..cut])?));
            }
        }
        Ok(all)
    })
}

/// The bytes of a good input.
fn bytes_of(subject: &Subject<'_>, form: &InputForm) -> Result<Vec<u8>, String> {
    match form {
        InputForm::Image { .. } => Ok(vec![100; whole(form).unwrap_or_default()]),
        InputForm::Audio { sample_rate } => Ok(sound(*sample_rate, 1.0)),
        InputForm::Raw { .. } => raw_bytes(subject),
    }
}

pub(crate) fn wrong(task: &Task) -> Verdict {
    survive(task, |subject| {
        let image = InputForm::Image { width: 7, height: 5, fit: jnana_api::plugins::Fit::Stretch };
        let others = [
            ("a small picture", with_bytes(&image, &[9; 7 * 5 * 3])?),
            (
                "sound of another rate",
                with_bytes(&InputForm::Audio { sample_rate: 12_345 }, &sound(12_345, 0.2))?,
            ),
            ("bytes of a type that nobody knows", raw("application/x-nonsense", b"\0\xff nonsense")?),
            ("bytes without a type", raw("", b"bytes")?),
            ("an unknown form", Input { form: 99, ..raw("", b"bytes")? }),
            ("a negative form", Input { form: -1, ..raw("", b"bytes")? }),
            ("a picture of 0 × 0", Input { form: abi::INPUT_IMAGE, ..raw("", b"")? }),
            ("sound of rate 0", Input { form: abi::INPUT_AUDIO, ..raw("", b"\0\0\0\0")? }),
            (
                "a picture that says it is as large as a picture can be",
                Input { form: abi::INPUT_IMAGE, width: u32::MAX, height: u32::MAX, ..raw("", b"bytes")? },
            ),
        ];
        let mut all: Vec<(String, Input)> =
            others.into_iter().map(|(what, input)| (what.to_owned(), input)).collect();
        for (form, input) in subject.forms().iter().zip(good(subject)?) {
            if !matches!(form, InputForm::Raw { .. }) {
                let bytes = bytes_of(subject, form)?;
                all.push(("a good input that says it is raw".to_owned(), raw("text/plain", &bytes)?));
            }
            all.push((
                "a good input that says it is sound".to_owned(),
                Input { form: abi::INPUT_AUDIO, ..input },
            ));
        }
        Ok(all)
    })
}

fn raw(mime: &str, bytes: &[u8]) -> Result<Input, String> {
    let form = InputForm::Raw { mime: String::new() };
    Ok(Input { mime: c_string(mime), ..with_bytes(&form, bytes)? })
}

/// Good inputs with a few things changed, for as long as there is time. All of it follows from the seed.
pub(crate) fn fuzz(task: &Task) -> Verdict {
    let subject = Subject::load(task)?;
    let instance = subject.create()?;
    let mut rng = random_of(task, 3);
    let forms = subject.forms();
    let good = forms.iter().map(|form| bytes_of(&subject, form)).collect::<Result<Vec<_>, _>>()?;
    let (start, mut rounds) = (Instant::now(), 0_u32);
    while start.elapsed() < FUZZ {
        let which = rng.random_range(0..forms.len());
        let (form, bytes) = (&forms[which], changed(&mut rng, good[which].clone()));
        let input = with_bytes(form, &bytes)?;
        // Whoever wants to see it again finds the round in the last words.
        eprintln!("round {rounds}, {} bytes", bytes.len());
        attempt(&subject, &instance, &input).map_err(|why| format!("round {rounds}: {why}"))?;
        rounds += 1;
    }
    Ok(format!("{rounds} rounds"))
}

fn changed(rng: &mut StdRng, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..rng.random_range(1_u32..8) {
        let length = bytes.len();
        match rng.random_range(0_u8..5) {
            0 => bytes.truncate(rng.random_range(0..=length)),
            1 if length > 0 => bytes[rng.random_range(0..length)] = rng.random(),
            2 if length > 0 => bytes[rng.random_range(0..length)] ^= 1_u8 << rng.random_range(0_u32..8),
            3 => {
                let count = rng.random_range(0_usize..64);
                bytes.extend(noise(rng, count));
            }
            _ if length > 0 => {
                let at = rng.random_range(0..length);
                let count = rng.random_range(0..=64_usize.min(length - at));
                bytes[at..at + count].fill([0, 0x7f, 0x80, 0xff][rng.random_range(0_usize..4)]);
            }
            _ => {}
        }
    }
    bytes
}
