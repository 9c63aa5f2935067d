//! Pixels equal Pillow's, and floats those of Hugging Face's CLIP processor.

use jnana_media::{
    CLIP_MEAN, CLIP_STD, Error, ErrorKind, Fit, ImageLimits, Picture, decode_image, fit, normalize_chw,
};

use crate::fixture;

/// Every so many rows and columns of the reference's floats are stored (`STEP` of `make.py`).
const STEP: usize = 16;

fn decode(name: &str) -> Picture {
    decode_image(&fixture(name), &ImageLimits::default()).unwrap()
}

/// The largest difference of two pictures of one size, in levels.
fn largest_difference(a: &Picture, b: &Picture) -> u8 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    a.pixels.iter().zip(&b.pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// Every `STEP`th value of each row and column of `[3, size, size]` planes.
fn sampled(planes: &[f32], size: usize) -> Vec<f32> {
    let rows = (0..3 * size).filter(|row| (row % size).is_multiple_of(STEP));
    rows.flat_map(|row| planes[row * size..(row + 1) * size].iter().step_by(STEP).copied()).collect()
}

#[test]
fn clip_preprocessing_equals_hugging_face() {
    for (name, size) in [("landscape", 224), ("portrait", 112), ("tiny", 112), ("alpha", 64)] {
        let fitted = fit(&decode(&format!("{name}.png")), size, size, Fit::CenterCrop);
        let wanted = decode(&format!("{name}.clip{size}.png"));
        assert_eq!(largest_difference(&fitted, &wanted), 0, "{name}");

        let planes = sampled(&normalize_chw(&fitted, CLIP_MEAN, CLIP_STD), size as usize);
        let reference = fixture(&format!("{name}.clip{size}.f32"));
        let reference = reference.as_chunks::<4>().0;
        assert_eq!(planes.len(), reference.len(), "{name}");
        for (came, wanted) in planes.iter().zip(reference.iter().copied().map(f32::from_le_bytes)) {
            assert!((came - wanted).abs() <= 1e-6, "{name}: {came} for {wanted}");
        }
    }
}

#[test]
fn turned_jpegs_stand_upright_and_match_within_their_codec() {
    // libjpeg and ours round their transforms differently, and interpolate colour that is stored at half size
    // differently too: single values at hard edges may be several levels apart, the whole is not.
    for (name, mean_limit, far_limit) in [("turned", 0.05, 0.0), ("turned420", 0.4, 0.003)] {
        let picture = decode(&format!("{name}.jpg"));
        assert_eq!((picture.width, picture.height), (140, 200), "{name}");
        let fitted = fit(&picture, 80, 80, Fit::CenterCrop);
        let wanted = decode(&format!("{name}.clip80.png"));
        let differences = || fitted.pixels.iter().zip(&wanted.pixels).map(|(a, b)| a.abs_diff(*b));
        let count = wanted.pixels.len() as f64;
        let mean = differences().map(f64::from).sum::<f64>() / count;
        assert!(mean <= mean_limit, "{name}: {mean:.3} levels on average");
        let far = differences().filter(|&levels| levels > 2).count() as f64 / count;
        assert!(far <= far_limit, "{name}: {far:.4} of the values differ by more than two levels");
    }
}

#[test]
fn all_eight_orientations_are_applied() {
    let upright = |orientation: u8| {
        let mut bytes = fixture("turned.jpg");
        // The tag 0x0112 (orientation), SHORT, one value, in Pillow's big-endian or little-endian EXIF.
        let entry = [[1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6], [0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0]];
        let (at, value) = (0..bytes.len() - 10)
            .find_map(|at| {
                let found = entry.iter().position(|entry| bytes[at..at + 10] == *entry)?;
                Some((at, if found == 0 { 9 } else { 8 }))
            })
            .unwrap();
        bytes[at + value] = orientation;
        decode_image(&bytes, &ImageLimits::default()).unwrap()
    };
    let stored = upright(1);
    let (width, height) = (stored.width as usize, stored.height as usize);
    let pixel = |picture: &Picture, x: usize, y: usize| {
        let at = 3 * (y * picture.width as usize + x);
        [picture.pixels[at], picture.pixels[at + 1], picture.pixels[at + 2]]
    };
    // Where the upright picture's pixel (x, y) is stored (EXIF 2.32, 4.6.5 A, tag Orientation).
    type Source = fn(usize, usize, usize, usize) -> (usize, usize);
    let sources: [Source; 8] = [
        |x, y, _, _| (x, y),
        |x, y, w, _| (w - 1 - x, y),
        |x, y, w, h| (w - 1 - x, h - 1 - y),
        |x, y, _, h| (x, h - 1 - y),
        |x, y, _, _| (y, x),
        |x, y, _, h| (y, h - 1 - x),
        |x, y, w, h| (w - 1 - y, h - 1 - x),
        |x, y, w, _| (w - 1 - y, x),
    ];
    for (orientation, source) in (1..=8).zip(sources) {
        let picture = upright(orientation);
        let turned = orientation >= 5;
        let size = if turned { (height, width) } else { (width, height) };
        assert_eq!((picture.width as usize, picture.height as usize), size, "orientation {orientation}");
        for (x, y) in [(0, 0), (1, 0), (0, 1), (57, 31), (size.0 - 1, size.1 - 1)] {
            let (from_x, from_y) = source(x, y, width, height);
            assert_eq!(pixel(&picture, x, y), pixel(&stored, from_x, from_y), "orientation {orientation}");
        }
    }
}

#[test]
fn stretching_equals_pillow() {
    let fitted = fit(&decode("small.png"), 23, 71, Fit::Stretch);
    assert_eq!(largest_difference(&fitted, &decode("small.stretch23x71.png")), 0);
}

#[test]
fn webp_decodes_to_the_pixels_of_its_png() {
    assert_eq!(decode("small.webp"), decode("small.png"));
}

/// The CRC-32 of PNG chunks (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn announced_pixels_are_refused_before_they_are_allocated() {
    let announce = |width: u32, height: u32| {
        let mut bytes = fixture("small.png");
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        decode_image(&bytes, &ImageLimits::default()).unwrap_err()
    };
    // Allocating these pixels, 14 EiB of them at most, would not end in an error of ours.
    for (width, height) in [(7_072, 7_072), (60_000, 60_000), (65_536, 1)] {
        let error = announce(width, height);
        assert!(
            matches!(error, Error::TooManyPixels { width: w, height: h, .. } if (w, h) == (width, height)),
            "{width}×{height}: {error}"
        );
    }
    // Here the codec's own limit comes first.
    assert_eq!(announce(i32::MAX as u32, i32::MAX as u32).kind(), ErrorKind::TooLarge);
    let exact = ImageLimits { max_pixels: 40 * 30, ..ImageLimits::default() };
    assert!(decode_image(&fixture("small.webp"), &exact).is_ok());
    let below = ImageLimits { max_pixels: 40 * 30 - 1, ..exact };
    for name in ["small.webp", "small.png", "turned.jpg"] {
        assert!(matches!(decode_image(&fixture(name), &below), Err(Error::TooManyPixels { .. })), "{name}");
    }
}
