//! WAV files in and out.
//!
//! Recorders that stream cannot know the length when they write the header: they leave 0 or 0xFFFFFFFF there, and
//! a dropped upload leaves a length that is too long. So the chunks are walked here, the length is taken from the
//! bytes that came, and `hound` reads the format and the samples behind a header that is true.
//!
//! Source: IBM and Microsoft, "Multimedia Programming Interface and Data Specifications 1.0" (RIFF WAVE).

use std::io::Read;

use hound::{SampleFormat, WavReader};

use super::{AudioLimits, Sound, downmix};
use crate::Error;

/// Bytes before the first chunk: `RIFF`, a length, `WAVE`.
const FORM: usize = 12;
/// Bytes before a chunk's content: its name and its length.
const CHUNK: usize = 8;
/// The longest `fmt ` chunk there is (WAVEFORMATEXTENSIBLE).
const LONGEST_FORMAT: usize = 40;
/// More channels than any recorder has.
const MAX_CHANNELS: u16 = 32;

/// Decodes a WAV file to mono: PCM of 8, 16, 24 or 32 bits, or 32-bit float, any number of channels (averaged).
///
/// A length of 0 or 0xFFFFFFFF in the header, or one beyond the end, means "to the end of the bytes".
///
/// # Errors
/// [`Error::TooManyBytes`] and [`Error::TooLong`] before samples are allocated, [`Error::DamagedWav`],
/// [`Error::Unsupported`] for compressed codecs, [`Error::SampleRate`], [`Error::NotFinite`].
pub fn decode_wav(bytes: &[u8], limits: &AudioLimits) -> Result<Sound, Error> {
    limits.check_bytes(bytes)?;
    let chunks = Chunks::find(bytes)?;
    let header = chunks.true_header();
    let mut reader =
        WavReader::new(header.chain(chunks.data)).map_err(|error| damaged_or_unsupported(&error))?;
    let spec = reader.spec();
    if spec.channels > MAX_CHANNELS {
        return Err(damaged(format!("{} channels, at most {MAX_CHANNELS} are expected", spec.channels)));
    }
    let frames = reader.duration() as usize;
    limits.check_frames(frames, spec.sample_rate)?;
    let channels = usize::from(spec.channels);
    let samples = match (spec.sample_format, spec.bits_per_sample) {
        (SampleFormat::Float, 32) => downmix(reader.samples::<f32>().map(read_error), channels, frames),
        (SampleFormat::Int, bits @ (8 | 16 | 24 | 32)) => {
            let scale = 1.0 / (1u32 << (bits - 1)) as f32;
            let values = reader.samples::<i32>().map(|value| value.map(|value| value as f32 * scale));
            downmix(values.map(read_error), channels, frames)
        }
        _ => Err(damaged_or_unsupported(&hound::Error::Unsupported)),
    }?;
    Ok(Sound { sample_rate: spec.sample_rate, samples })
}

/// A sample with `hound`'s error as ours.
fn read_error(value: hound::Result<f32>) -> Result<f32, Error> {
    value.map_err(|error| damaged_or_unsupported(&error))
}

/// Where a WAV file keeps its format and its samples.
struct Chunks<'a> {
    format: &'a [u8],
    /// What the format's own field should say, and often does not.
    bytes_per_second: u32,
    /// Whole frames only.
    data: &'a [u8],
}

impl<'a> Chunks<'a> {
    fn find(bytes: &'a [u8]) -> Result<Self, Error> {
        if crate::sniff(bytes) != Some("audio/wav") {
            return Err(damaged("it does not begin with RIFF and WAVE".to_owned()));
        }
        let mut format = None;
        let mut rest = &bytes[FORM..];
        while let Some((name, stated, content)) = split_chunk(rest) {
            match name {
                b"fmt " => {
                    let chunk = content.get(..stated).filter(|chunk| chunk.len() <= LONGEST_FORMAT);
                    format = Some(chunk.ok_or_else(|| damaged(format!("a format chunk of {stated} bytes")))?);
                }
                b"data" => {
                    let format =
                        format.ok_or_else(|| damaged("samples come before their format".to_owned()))?;
                    return Self::with_data(format, &content[..true_length(stated, content)]);
                }
                _ => {}
            }
            // Chunks are padded to an even length.
            rest = content.get(stated.saturating_add(stated % 2)..).unwrap_or_default();
        }
        Err(damaged("it has no samples (no data chunk)".to_owned()))
    }

    fn with_data(format: &'a [u8], data: &'a [u8]) -> Result<Self, Error> {
        let Some(&[a, b, c, d, .., low, high]) = format.get(4..14) else {
            return Err(damaged(format!("a format chunk of {} bytes", format.len())));
        };
        let (rate, frame) = (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([low, high]));
        if frame == 0 {
            return Err(damaged("frames of 0 bytes".to_owned()));
        }
        let whole = data.len() - data.len() % usize::from(frame);
        Ok(Self { format, bytes_per_second: rate.saturating_mul(frame.into()), data: &data[..whole] })
    }

    /// A header for the same format that states the lengths as they are.
    fn true_header(&self) -> Vec<u8> {
        let data = self.data.len() as u32;
        let format = self.format.len() as u32;
        let mut header = Vec::with_capacity(FORM + 2 * CHUNK + LONGEST_FORMAT);
        header.extend_from_slice(b"RIFF");
        header.extend_from_slice(&data.saturating_add(format + 20).to_le_bytes());
        header.extend_from_slice(b"WAVEfmt ");
        header.extend_from_slice(&format.to_le_bytes());
        header.extend_from_slice(&self.format[..8]);
        header.extend_from_slice(&self.bytes_per_second.to_le_bytes());
        header.extend_from_slice(&self.format[12..]);
        header.extend_from_slice(b"data");
        header.extend_from_slice(&data.to_le_bytes());
        header
    }
}

/// The name, the stated length and everything after the head of the first chunk in `bytes`.
fn split_chunk(bytes: &[u8]) -> Option<(&[u8], usize, &[u8])> {
    let (head, content) = bytes.split_at_checked(CHUNK)?;
    let (name, length) = head.split_at(4);
    Some((name, u32::from_le_bytes(length.try_into().ok()?) as usize, content))
}

/// How many bytes of `content` are samples when the header says `stated`.
fn true_length(stated: usize, content: &[u8]) -> usize {
    // A length of 0 is true only if well-formed chunks follow to the end; else it was never filled in.
    let streamed = stated == 0 && !is_chunks(content);
    if streamed { content.len() } else { stated.min(content.len()) }
}

/// Whether `bytes` are nothing but whole chunks with printable names.
fn is_chunks(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let Some((name, stated, content)) = split_chunk(bytes) else { return false };
        if !name.iter().all(|byte| (b' '..=b'~').contains(byte)) || stated > content.len() {
            return false;
        }
        bytes = content.get(stated + stated % 2..).unwrap_or_default();
    }
    true
}

fn damaged(reason: String) -> Error {
    Error::DamagedWav { reason }
}

fn damaged_or_unsupported(error: &hound::Error) -> Error {
    match error {
        hound::Error::Unsupported => Error::Unsupported {
            found: "WAV with a compressed or 64-bit codec".to_owned(),
            accepted: "WAV with PCM of 8, 16, 24 or 32 bits or 32-bit float",
            hint: "",
        },
        other => damaged(other.to_string()),
    }
}

/// Encodes as a WAV file of 16-bit PCM, mono, at the sound's own rate; what is beyond full scale is clipped.
pub fn encode_wav(sound: &Sound) -> Vec<u8> {
    const PCM: u16 = 1;
    const FRAME: u16 = 2;
    let data = (2 * sound.samples.len()) as u32;
    let mut out = Vec::with_capacity(FORM + 2 * CHUNK + 16 + data as usize);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(data + 36).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&16u32.to_le_bytes());
    out.extend_from_slice(&PCM.to_le_bytes());
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&sound.sample_rate.to_le_bytes());
    out.extend_from_slice(&sound.sample_rate.saturating_mul(FRAME.into()).to_le_bytes());
    out.extend_from_slice(&FRAME.to_le_bytes());
    out.extend_from_slice(&16u16.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&data.to_le_bytes());
    // `as` saturates, so full scale becomes 32,767; 32,768 a unit makes decoding and encoding exact inverses.
    out.extend(sound.samples.iter().flat_map(|&sample| ((sample * 32768.0).round() as i16).to_le_bytes()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Sound {
        Sound { sample_rate: 16_000, samples: vec![0.0, 0.5, -0.5, 0.25, -1.0, 32767.0 / 32768.0] }
    }

    fn decode(bytes: &[u8]) -> Result<Sound, Error> {
        decode_wav(bytes, &AudioLimits::default())
    }

    #[test]
    fn encoding_and_decoding_are_inverse() {
        assert_eq!(decode(&encode_wav(&sound())).unwrap(), sound());
    }

    #[test]
    fn a_length_that_was_never_filled_in_means_to_the_end() {
        for stated in [0, u32::MAX, 1 << 30] {
            let mut bytes = encode_wav(&sound());
            bytes[4..8].copy_from_slice(&stated.to_le_bytes());
            bytes[40..44].copy_from_slice(&stated.to_le_bytes());
            assert_eq!(decode(&bytes).unwrap(), sound(), "{stated:#x}");
        }
    }

    #[test]
    fn a_cut_file_keeps_its_whole_frames() {
        let bytes = encode_wav(&sound());
        assert_eq!(decode(&bytes[..bytes.len() - 3]).unwrap().samples, sound().samples[..4]);
    }

    #[test]
    fn chunks_around_the_samples_are_not_sound() {
        let mut bytes = encode_wav(&sound());
        bytes.extend_from_slice(b"LIST\x03\0\0\0abc\0");
        let list = b"LIST\x05\0\0\0hello\0";
        bytes.splice(12..12, list.iter().copied());
        assert_eq!(decode(&bytes).unwrap(), sound());
        // An empty recording with a note after it stays empty.
        let mut empty = encode_wav(&Sound { sample_rate: 16_000, samples: Vec::new() });
        empty.extend_from_slice(list);
        assert!(decode(&empty).unwrap().samples.is_empty());
    }

    #[test]
    fn a_wrong_byte_rate_is_forgiven() {
        let mut bytes = encode_wav(&sound());
        bytes[28..32].copy_from_slice(&[0; 4]);
        assert_eq!(decode(&bytes).unwrap(), sound());
    }

    #[test]
    fn limits_hold_before_decoding() {
        let bytes = encode_wav(&Sound { sample_rate: 8_000, samples: vec![0.0; 8_001] });
        let short = AudioLimits { max_seconds: 1.0, ..AudioLimits::default() };
        assert!(matches!(decode_wav(&bytes, &short), Err(Error::TooLong { .. })));
        let small = AudioLimits { max_bytes: 100, ..AudioLimits::default() };
        assert!(matches!(decode_wav(&bytes, &small), Err(Error::TooManyBytes { limit: 100, .. })));
    }

    #[test]
    fn absurd_headers_are_refused_in_words() {
        let patched = |at: usize, value: &[u8]| {
            let mut bytes = encode_wav(&sound());
            bytes[at..at + value.len()].copy_from_slice(value);
            decode(&bytes).unwrap_err()
        };
        assert!(matches!(patched(24, &1u32.to_le_bytes()), Error::SampleRate { rate: 1 }));
        assert!(matches!(patched(24, &1_000_000_000u32.to_le_bytes()), Error::SampleRate { .. }));
        for (at, value) in [(22, [0, 0]), (22, [255, 255]), (32, [0, 0]), (34, [0, 0])] {
            assert!(matches!(patched(at, &value), Error::DamagedWav { .. }), "{value:?} at {at}");
        }
        // G.711 A-law.
        let alaw = patched(20, &[6, 0]);
        assert!(matches!(&alaw, Error::Unsupported { found, .. } if found.contains("codec")), "{alaw}");
    }
}
