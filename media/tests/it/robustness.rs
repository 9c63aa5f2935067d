//! No bytes make the crate panic: cut, flipped and random ones end in an error or in a result of the stated size.

use jnana_media::{AudioLimits, ImageLimits, decode_audio, decode_image, sniff};

use crate::{Noise, fixture};

const PICTURES: [&str; 4] = ["small.png", "small.webp", "turned420.jpg", "alpha.png"];
const SOUNDS: [&str; 4] = ["tone.pcm_u8.wav", "tone.pcm_24.wav", "tone.float.wav", "tone.extensible.wav"];

/// Decodes as both, and checks what comes of it; returns whether anything did.
fn feed(bytes: &[u8]) -> bool {
    sniff(bytes);
    let picture = decode_image(bytes, &ImageLimits { max_pixels: 1 << 20, ..ImageLimits::default() });
    if let Ok(picture) = &picture {
        assert_eq!(picture.pixels.len() as u64, 3 * u64::from(picture.width) * u64::from(picture.height));
    }
    let mut decoded = picture.is_ok();
    for mime in ["audio/wav", "audio/pcm;rate=16000;format=f32le"] {
        if let Ok(sound) = decode_audio(bytes, mime, &AudioLimits::default()) {
            assert!(sound.samples.iter().all(|sample| sample.abs() <= 1.0));
            assert!(4 * sound.samples.len() <= 4 * bytes.len());
            decoded = true;
        }
    }
    decoded
}

#[test]
fn files_cut_anywhere_do_no_harm() {
    for name in PICTURES.iter().chain(&SOUNDS) {
        let bytes = fixture(name);
        assert!(feed(&bytes), "{name}");
        // Every length of the headers, then steps through the rest.
        let steps = (700..bytes.len()).step_by(1 + bytes.len() / 60);
        for length in (0..bytes.len().min(700)).chain(steps) {
            feed(&bytes[..length]);
        }
    }
}

#[test]
fn flipped_bytes_do_no_harm() {
    let mut noise = Noise(7);
    for name in PICTURES.iter().chain(&SOUNDS) {
        let original = fixture(name);
        for round in 0..300 {
            let mut bytes = original.clone();
            // Odd rounds hit the headers, where lengths and sizes are.
            let reach = if round % 2 == 0 { bytes.len() } else { bytes.len().min(120) } as u64;
            for _ in 0..1 + noise.next() % 6 {
                bytes[(noise.next() % reach) as usize] = noise.next() as u8;
            }
            feed(&bytes);
        }
    }
}

#[test]
fn random_bytes_behind_a_true_beginning_do_no_harm() {
    let mut noise = Noise(11);
    let beginnings: [&[u8]; 8] = [
        b"",
        b"\xff\xd8\xff\xe1",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        b"RIFF\xff\xff\xff\xffWEBPVP8L",
        b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0",
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0",
        b"\0\0\0\x20ftyp",
    ];
    for beginning in beginnings {
        for _ in 0..300 {
            let tail = (0..noise.next() % 400).map(|_| noise.next() as u8);
            feed(&beginning.iter().copied().chain(tail).collect::<Vec<u8>>());
        }
    }
}
