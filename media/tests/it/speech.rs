//! Speech is found however quiet, and only speech.

use std::f32::consts::TAU;

use jnana_media::{AudioLimits, Sound, VOICE_RATE, decode_wav, resample, speech_spans};

use crate::{Noise, fixture};

fn spoken(name: &str) -> Sound {
    decode_wav(&fixture(name), &AudioLimits::default()).unwrap()
}

/// Root mean square in dB of full scale.
fn level(samples: &[f32]) -> f32 {
    10.0 * (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).log10()
}

/// Scales to a level and rounds to 16 bits, as it would arrive.
fn at_level(samples: &[f32], decibels: f32) -> Vec<f32> {
    let gain = 10f32.powf((decibels - level(samples)) / 20.0);
    samples.iter().map(|sample| ((sample * gain).clamp(-1.0, 1.0) * 32767.0).round() / 32768.0).collect()
}

fn voice(samples: Vec<f32>) -> Sound {
    Sound { sample_rate: VOICE_RATE, samples }
}

/// Seconds of speech found.
fn spoken_seconds(sound: &Sound) -> f64 {
    speech_spans(sound).iter().map(|span| span.len() as f64).sum::<f64>() / f64::from(VOICE_RATE)
}

/// White noise through a one-pole low-pass: `pole` 0 is white, towards 1 ever browner.
fn coloured(noise: &mut Noise, pole: f32, length: usize) -> Vec<f32> {
    let mut state = 0.0;
    (0..length)
        .map(|_| {
            state = pole * state + noise.normal();
            state
        })
        .collect()
}

/// Noise that falls by 3 dB an octave: three low-passes whose corners are spread (P. Kellet's economy filter).
fn pink(noise: &mut Noise, length: usize) -> Vec<f32> {
    let mut states = [0.0f32; 3];
    let poles = [(0.997_65, 0.099_046), (0.963, 0.296_516_4), (0.57, 1.052_691_3)];
    (0..length)
        .map(|_| {
            let white = noise.normal();
            for (state, (pole, gain)) in states.iter_mut().zip(poles) {
                *state = pole * *state + gain * white;
            }
            states.iter().sum::<f32>() + 0.184_8 * white
        })
        .collect()
}

/// Mains hum with harmonics that fall by `roll_off`, over a little noise.
fn hum(noise: &mut Noise, hertz: f32, roll_off: f32, length: usize) -> Vec<f32> {
    (0..length)
        .map(|n| {
            let phase = TAU * hertz * n as f32 / VOICE_RATE as f32;
            let harmonics = (1..12).map(|k| (phase * k as f32).sin() / (k as f32).powf(roll_off));
            harmonics.sum::<f32>() + 0.02 * noise.normal()
        })
        .collect()
}

#[test]
fn clips_are_speech_nearly_from_end_to_end() {
    for name in ["question.wav", "explain.wav"] {
        let sound = spoken(name);
        let found = spoken_seconds(&sound);
        assert!(found >= 0.85 * sound.seconds(), "{name}: {found:.2} of {:.2} s", sound.seconds());
    }
}

#[test]
fn quiet_and_noisy_speech_is_kept() {
    let mut noise = Noise(3);
    for name in ["question.wav", "explain.wav"] {
        let sound = spoken(name);
        for decibels in [-12.0, -30.0, -45.0, -55.0] {
            let quiet = voice(at_level(&sound.samples, decibels));
            assert!(spoken_seconds(&quiet) >= 0.7 * sound.seconds(), "{name} at {decibels} dBFS");
        }
        let clean = at_level(&sound.samples, -30.0);
        let hiss = at_level(&pink(&mut noise, clean.len()), -40.0);
        let mixed = voice(clean.iter().zip(&hiss).map(|(a, b)| a + b).collect());
        assert!(spoken_seconds(&mixed) >= 0.5 * sound.seconds(), "{name} in pink noise");
    }
}

#[test]
fn a_question_amid_silence_is_found_where_it_is() {
    let question = spoken("question.wav");
    let (before, after) = (3 * 16_000, 5 * 16_000);
    let mut noise = Noise(9);
    let length = before + question.samples.len() + after;
    let mut samples = at_level(&coloured(&mut noise, 0.5, length), -65.0);
    for (sample, spoken) in samples[before..].iter_mut().zip(&question.samples) {
        *sample += 0.3 * spoken;
    }
    let spans = speech_spans(&voice(samples));
    let slack = 16_000 * 4 / 10;
    let (first, last) = (spans.first().unwrap(), spans.last().unwrap());
    assert!(first.start >= before - slack && first.start <= before + slack, "{spans:?}");
    let end = before + question.samples.len();
    assert!(last.end >= end - slack && last.end <= end + slack, "{spans:?}");
    assert!(spans.windows(2).all(|pair| pair[0].end < pair[1].start), "{spans:?}");
}

#[test]
fn silence_noise_hum_and_clicks_are_not_speech() {
    let mut noise = Noise(5);
    let length = 5 * 16_000;
    let mut cases: Vec<(String, Vec<f32>)> = vec![("silence".into(), vec![0.0; length])];
    for decibels in [-70.0, -55.0, -45.0, -35.0, -25.0, -15.0] {
        let mut add = |name: &str, samples: Vec<f32>| {
            cases.push((format!("{name} at {decibels} dBFS"), at_level(&samples, decibels)));
        };
        add("white noise", coloured(&mut noise, 0.0, length));
        add("pink noise", pink(&mut noise, length));
        add("brown noise", coloured(&mut noise, 0.995, length));
        for hertz in [50.0, 60.0, 100.0, 120.0] {
            add(&format!("{hertz} Hz hum"), hum(&mut noise, hertz, 1.0, length));
            add(&format!("{hertz} Hz buzz"), hum(&mut noise, hertz, 0.5, length));
        }
        add("a tone", (0..length).map(|n| (TAU * 440.0 * n as f32 / 16_000.0).sin()).collect());
        let clicks =
            (0..length).map(|n| if n % 8_000 < 40 { noise.normal() } else { 0.001 * noise.normal() });
        add("clicks", clicks.collect());
    }
    for (name, samples) in cases {
        assert_eq!(speech_spans(&voice(samples)), [], "{name}");
    }
}

#[test]
fn speech_survives_a_change_of_rate() {
    let sound = spoken("explain.wav");
    let there = resample(&sound, 44_100).unwrap();
    let back = resample(&there, VOICE_RATE).unwrap();
    // Rounded up twice.
    assert!(back.samples.len().abs_diff(sound.samples.len()) <= 1);
    assert!(spoken_seconds(&back) >= 0.85 * sound.seconds());
}
