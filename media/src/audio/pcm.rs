//! Sound by its type: WAV by its bytes, raw PCM by its media type, all else refused by name.

use super::{AudioLimits, Sound, decode_wav, downmix};
use crate::Error;
use crate::sniff::{common_name, sniff};

const ACCEPTED: &str = "WAV or PCM (audio/pcm;rate=16000;format=s16le)";
/// More channels than any recorder has.
const MAX_CHANNELS: usize = 32;

/// Decodes a sound: WAV by its bytes whatever `mime` says, else raw PCM if `mime` says so.
///
/// # Errors
/// [`Error::Unsupported`] with the name of other containers (MP3, Ogg, WebM, M4A, FLAC, …),
/// [`Error::Unrecognised`] for unknown bytes, and those of [`decode_wav`] and [`decode_pcm`].
pub fn decode_audio(bytes: &[u8], mime: &str, limits: &AudioLimits) -> Result<Sound, Error> {
    match sniff(bytes) {
        Some("audio/wav") => decode_wav(bytes, limits),
        // Samples may look like any container: here the declared type counts.
        _ if is_pcm(mime) => decode_pcm(bytes, mime, limits),
        Some(found) => Err(unsupported(found)),
        None => Err(Error::Unrecognised { what: "sound", accepted: ACCEPTED }),
    }
}

fn unsupported(mime: &str) -> Error {
    let hint = if mime.starts_with("image/") {
        " (this is a picture)"
    } else {
        " (browsers: record with an AudioWorklet; files: ffmpeg -i FILE -ar 16000 -ac 1 sound.wav)"
    };
    Error::Unsupported { found: common_name(mime).to_owned(), accepted: ACCEPTED, hint }
}

/// Decodes raw little-endian PCM as its media type describes it, e.g. `audio/pcm;rate=16000;format=f32le`.
///
/// `rate` in Hz must be given; `format` is `s16le` (the default) or `f32le`; `channels` (1 by default) are
/// interleaved and averaged.
///
/// # Errors
/// [`Error::Pcm`] for parameters that are missing, unknown or do not fit the number of bytes; and
/// [`Error::TooManyBytes`], [`Error::TooLong`], [`Error::SampleRate`], [`Error::NotFinite`].
pub fn decode_pcm(bytes: &[u8], mime: &str, limits: &AudioLimits) -> Result<Sound, Error> {
    limits.check_bytes(bytes)?;
    let refuse = |reason: String| Error::Pcm { mime: mime.to_owned(), reason };
    let form = PcmForm::parse(mime).map_err(refuse)?;
    let frame = form.channels * form.format.bytes();
    if !bytes.len().is_multiple_of(frame) {
        return Err(refuse(format!("{} bytes are not a whole number of {frame}-byte frames", bytes.len())));
    }
    let frames = bytes.len() / frame;
    limits.check_frames(frames, form.rate)?;
    let samples = match form.format {
        SampleForm::S16 => {
            let values = bytes.as_chunks::<2>().0.iter();
            downmix(
                values.map(|&pair| Ok(f32::from(i16::from_le_bytes(pair)) / 32768.0)),
                form.channels,
                frames,
            )
        }
        SampleForm::F32 => {
            let values = bytes.as_chunks::<4>().0.iter();
            downmix(values.map(|&four| Ok(f32::from_le_bytes(four))), form.channels, frames)
        }
    }?;
    Ok(Sound { sample_rate: form.rate, samples })
}

/// Whether a media type is raw PCM, parameters aside.
fn is_pcm(mime: &str) -> bool {
    mime.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("audio/pcm"))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum SampleForm {
    S16,
    F32,
}

impl SampleForm {
    fn bytes(self) -> usize {
        match self {
            Self::S16 => 2,
            Self::F32 => 4,
        }
    }
}

/// The parameters of `audio/pcm`.
#[derive(Debug, PartialEq)]
struct PcmForm {
    rate: u32,
    channels: usize,
    format: SampleForm,
}

impl PcmForm {
    fn parse(mime: &str) -> Result<Self, String> {
        if !is_pcm(mime) {
            return Err("this is another media type".to_owned());
        }
        let (mut rate, mut channels, mut format) = (None, 1, SampleForm::S16);
        for parameter in mime.split(';').skip(1).map(str::trim).filter(|parameter| !parameter.is_empty()) {
            let (name, value) =
                parameter.split_once('=').ok_or_else(|| format!("`{parameter}` is not name=value"))?;
            let value = value.trim().trim_matches('"');
            let number = || value.parse::<u32>().map_err(|_| format!("`{value}` is not a number"));
            match name.trim().to_ascii_lowercase().as_str() {
                "rate" => rate = Some(number()?),
                "channels" => channels = number()? as usize,
                "format" => {
                    format = match value.to_ascii_lowercase().as_str() {
                        "s16le" => SampleForm::S16,
                        "f32le" => SampleForm::F32,
                        other => return Err(format!("the format `{other}` is unknown")),
                    };
                }
                // Others (a codec, a charset) do not change what the samples are.
                _ => {}
            }
        }
        if !(1..=MAX_CHANNELS).contains(&channels) {
            return Err(format!("{channels} channels, 1 to {MAX_CHANNELS} are expected"));
        }
        let rate = rate.ok_or_else(|| "the rate is missing".to_owned())?;
        Ok(Self { rate, channels, format })
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode_wav;
    use super::*;
    use crate::ErrorKind;

    fn decode(bytes: &[u8], mime: &str) -> Result<Sound, Error> {
        decode_audio(bytes, mime, &AudioLimits::default())
    }

    #[test]
    fn both_sample_forms_decode() {
        let s16: Vec<u8> = [0i16, 16_384, -32_768].iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let sound = decode(&s16, "audio/pcm;rate=16000;format=s16le").unwrap();
        assert_eq!(sound, Sound { sample_rate: 16_000, samples: vec![0.0, 0.5, -1.0] });
        let f32le: Vec<u8> = [0.25f32, -0.75, 3.0].iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let sound = decode(&f32le, "Audio/PCM; Rate=48000; format=\"f32le\"").unwrap();
        assert_eq!(sound, Sound { sample_rate: 48_000, samples: vec![0.25, -0.75, 1.0] });
    }

    #[test]
    fn channels_are_averaged() {
        let stereo: Vec<u8> =
            [8_192i16, 16_384, -8_192, 0].iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let sound = decode(&stereo, "audio/pcm;rate=16000;channels=2").unwrap();
        assert_eq!(sound.samples, [0.375, -0.125]);
    }

    #[test]
    fn wav_is_known_by_its_bytes_whatever_it_is_called() {
        let sound = Sound { sample_rate: 8_000, samples: vec![0.5, -0.5] };
        for mime in ["audio/webm", "", "audio/pcm;rate=16000;format=f32le"] {
            assert_eq!(decode(&encode_wav(&sound), mime).unwrap(), sound, "{mime}");
        }
    }

    #[test]
    fn other_containers_are_named_with_a_way_on() {
        let cases: &[(&[u8], &str)] = &[
            (b"OggS\0\x02", "Ogg"),
            (b"\x1a\x45\xdf\xa3\x01\0", "WebM"),
            (b"ID3\x04\0\0", "MP3"),
            (b"fLaC\0\0\0\x22", "FLAC"),
            (b"\0\0\0\x1cftypM4A \0\0\x02\0M4A isomiso2", "M4A"),
        ];
        for &(bytes, name) in cases {
            let error = decode(bytes, "audio/wav").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            let words = error.to_string();
            assert!(words.starts_with(&format!("{name} is not supported; send WAV or PCM")), "{words}");
        }
        assert!(matches!(decode(b"hello, world", "audio/wav"), Err(Error::Unrecognised { .. })));
    }

    #[test]
    fn a_media_type_that_does_not_describe_the_bytes_is_refused() {
        let cases: &[(&str, &str)] = &[
            ("audio/pcm", "rate is missing"),
            ("audio/pcm;rate=fast", "not a number"),
            ("audio/pcm;rate=16000;format=s24be", "`s24be` is unknown"),
            ("audio/pcm;rate=16000;channels=0", "0 channels"),
            ("audio/pcm;rate=16000;format=f32le", "6 bytes are not a whole number of 4-byte frames"),
            ("audio/pcm;rate", "not name=value"),
        ];
        for &(mime, reason) in cases {
            let words = decode(&[0; 6], mime).unwrap_err().to_string();
            assert!(words.contains(reason), "{words}");
        }
        let nan = f32::NAN.to_le_bytes();
        assert!(matches!(
            decode(&nan, "audio/pcm;rate=16000;format=f32le"),
            Err(Error::NotFinite { index: 0 })
        ));
    }
}
