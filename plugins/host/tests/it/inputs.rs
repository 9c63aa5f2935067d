//! What people send becomes the form that a plugin asked for.

use jnana_media::{Sound, encode_wav};
use jnana_plugin_host::{CallErrorKind, CancelFlag, ENCODER, RawInput};
use serde_json::json;

use crate::support::{Folder, loaded};

/// A WAV file of a constant, one second long.
fn wav(sample_rate: u32) -> Vec<u8> {
    encode_wav(&Sound { sample_rate, samples: vec![0.5; sample_rate as usize] })
}

/// A picture, 16 × 4: black on the left half, white on the right one.
fn png() -> Vec<u8> {
    let picture = image::RgbImage::from_fn(16, 4, |x, _| image::Rgb([if x < 8 { 0 } else { 255 }; 3]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn encode(fit: Option<&str>, bytes: &[u8], mime: &str) -> Result<Vec<f32>, (CallErrorKind, String)> {
    let mut folder = Folder::empty();
    folder.add_sdk();
    if let Some(fit) = fit {
        folder.config.settings.insert("faulty".into(), json!({"fit": fit}).as_object().unwrap().clone());
    }
    let plugin = loaded(&folder.open(), "faulty");
    let encoded = plugin.encode(RawInput { bytes, mime }, &CancelFlag::new());
    encoded.map(|rows| rows.values).map_err(|error| (error.kind, error.message))
}

#[test]
fn pictures_come_decoded_and_in_size() {
    // Kind 1, 8 × 4 pixels, black first, white last.
    assert_eq!(encode(None, &png(), "image/png").unwrap()[..4], [1.0, 32.0, 0.0, 255.0]);
    // The content counts when the type is not told.
    assert_eq!(encode(None, &png(), "").unwrap()[0], 1.0);
}

#[test]
fn the_setting_fit_overrides_the_manifest() {
    let stretched = encode(Some("stretch"), &png(), "image/png").unwrap();
    let contained = encode(Some("contain"), &png(), "image/png").unwrap();
    assert_eq!(stretched[2], 0.0);
    // 16 × 4 in 8 × 4: a band of padding above and below.
    assert_ne!(contained[2], 0.0, "the first pixel is padding");
}

#[test]
fn sound_comes_decoded_and_resampled() {
    let values = encode(None, &wav(8_000), "audio/wav").unwrap();
    assert_eq!((values[0], values[2]), (2.0, 16_000.0));
    assert!((values[1] - 16_000.0).abs() <= 16.0, "{} samples", values[1]);
    assert!((values[3] - 0.5).abs() < 0.02, "sample {}", values[3]);
}

#[test]
fn raw_bytes_come_as_they_are() {
    assert_eq!(encode(None, b"a,b,c", "Text/CSV; charset=utf-8").unwrap()[..2], [3.0, 5.0]);
}

#[test]
fn damaged_and_foreign_input_is_the_senders_fault() {
    let png = png();
    let (kind, words) = encode(None, &png[..png.len() / 2], "image/png").unwrap_err();
    assert_eq!(kind, CallErrorKind::InvalidInput, "{words}");
    let (kind, words) = encode(None, b"GIF89a\x01\0\x01\0", "image/gif").unwrap_err();
    assert_eq!(kind, CallErrorKind::Unsupported, "{words}");
    let (kind, words) = encode(None, b"%PDF-1.7", "application/pdf").unwrap_err();
    assert_eq!(kind, CallErrorKind::Unsupported);
    assert!(words.contains("application/pdf") && words.contains("picture"), "{words}");
}

#[test]
fn plugins_are_found_by_kind_and_type() {
    let folder = Folder::with_good();
    folder.add_sdk();
    let host = folder.open();
    let found = |mime: &str| host.find(ENCODER, mime).map(|plugin| plugin.id().to_owned());
    assert_eq!(found("image/png").as_deref(), Some("faulty"));
    assert_eq!(found("text/plain").as_deref(), Some("good"));
    assert_eq!(found("text/markdown").as_deref(), Some("faulty"));
    assert_eq!(found("video/mp4"), None);
}
