//! WAV files that another program wrote.

use std::f64::consts::TAU;

use jnana_media::{AudioLimits, Error, decode_wav, resample};

use crate::fixture;

#[test]
fn every_format_decodes_to_the_same_tone() {
    let formats = [
        ("pcm_u8", 1.0 / 127.0),
        ("pcm_16", 1.0 / 32_000.0),
        ("pcm_24", 1e-6),
        ("pcm_32", 1e-6),
        ("float", 1e-6),
        ("extensible", 1e-6),
    ];
    for (format, tolerance) in formats {
        let sound = decode_wav(&fixture(&format!("tone.{format}.wav")), &AudioLimits::default()).unwrap();
        assert_eq!((sound.sample_rate, sound.samples.len()), (8_000, 160), "{format}");
        for (n, &sample) in sound.samples.iter().enumerate() {
            // Channels at 0.5 and 0.25 of full scale, averaged.
            let wanted = 0.375 * (TAU * 440.0 * n as f64 / 8_000.0).sin();
            assert!(
                (f64::from(sample) - wanted).abs() <= tolerance,
                "{format}: {sample} for {wanted} at {n}"
            );
        }
    }
}

#[test]
fn compressed_codecs_in_wav_are_refused_in_words() {
    let error = decode_wav(&fixture("tone.ulaw.wav"), &AudioLimits::default()).unwrap_err();
    assert!(matches!(&error, Error::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("PCM"), "{error}");
}

#[test]
fn decoded_sound_reaches_the_rate_of_speech() {
    let sound = decode_wav(&fixture("tone.pcm_16.wav"), &AudioLimits::default()).unwrap();
    let voice = resample(&sound, 16_000).unwrap();
    assert_eq!((voice.sample_rate, voice.samples.len()), (16_000, 320));
}
