//! Decodes uploads with their size checked first.

use std::io::Cursor;

use ::image::codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder};
use ::image::{DynamicImage, ImageDecoder, ImageError, ImageResult, Limits, RgbImage, RgbaImage};

use super::Picture;
use crate::Error;
use crate::sniff::{common_name, sniff};

/// The longest side that is decoded, in pixels: what JPEG can express at most. It bounds the resampling kernels
/// of pictures that are one pixel high and within the limit of pixels all the same.
pub const MAX_SIDE: u32 = 65_535;

const ACCEPTED: &str = "JPEG, PNG or WebP";

/// How large a picture may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLimits {
    /// Bytes of the file.
    pub max_bytes: usize,
    /// Pixels after decoding, width × height; checked from the header, before pixels are allocated.
    pub max_pixels: u64,
}

impl Default for ImageLimits {
    /// 20 MiB and 50 megapixels.
    fn default() -> Self {
        Self { max_bytes: 20 << 20, max_pixels: 50_000_000 }
    }
}

/// Decodes a JPEG, PNG or WebP file and turns it upright by its EXIF orientation.
///
/// The type is taken from the bytes. What is transparent is laid on white, as Hugging Face's processors do; 16-bit
/// channels become 8-bit, palettes and grey become RGB; colour profiles are ignored. Of an animation the first
/// frame counts.
///
/// # Errors
/// [`Error::TooManyBytes`] and [`Error::TooManyPixels`] (or a side over [`MAX_SIDE`]) before any pixel is
/// allocated, [`Error::TooMuchMemory`] where tables or text are the bomb; [`Error::Unsupported`] for types that are known but not decoded, [`Error::Unrecognised`] for the
/// rest; [`Error::DamagedImage`] when the codec fails.
pub fn decode_image(bytes: &[u8], limits: &ImageLimits) -> Result<Picture, Error> {
    if bytes.len() > limits.max_bytes {
        return Err(Error::TooManyBytes { what: "picture", came: bytes.len(), limit: limits.max_bytes });
    }
    let source = Cursor::new(bytes);
    match sniff(bytes) {
        Some("image/jpeg") => decode("JPEG", JpegDecoder::new(source), limits),
        Some("image/png") => decode("PNG", PngDecoder::with_limits(source, codec_limits(limits)), limits),
        Some("image/webp") => decode("WebP", WebPDecoder::new(source), limits),
        Some(mime) => Err(unsupported(mime)),
        None => Err(Error::Unrecognised { what: "picture", accepted: ACCEPTED }),
    }
}

/// The limits in the codecs' own terms. 16-bit RGBA is the widest pixel; the rest is room for tables and text.
fn codec_limits(limits: &ImageLimits) -> Limits {
    let mut codec = Limits::no_limits();
    codec.max_alloc = Some(limits.max_pixels.saturating_mul(8).saturating_add(16 << 20));
    codec
}

fn decode(
    format: &'static str,
    decoder: ImageResult<impl ImageDecoder>,
    limits: &ImageLimits,
) -> Result<Picture, Error> {
    let damaged = |source: ImageError| match source {
        ImageError::Limits(_) => Error::TooMuchMemory { format },
        source => Error::DamagedImage { format, source },
    };
    let mut decoder = decoder.map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > limits.max_pixels || width.max(height) > MAX_SIDE {
        return Err(Error::TooManyPixels { width, height, max_pixels: limits.max_pixels });
    }
    decoder.set_limits(codec_limits(limits)).map_err(damaged)?;
    // Damaged metadata must not cost the picture: it is then taken as upright.
    let orientation = decoder.orientation().unwrap_or(::image::metadata::Orientation::NoTransforms);
    let decoded = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    let rgb = if decoded.color().has_alpha() { on_white(&decoded.into_rgba8()) } else { decoded.into_rgb8() };
    let mut upright = DynamicImage::ImageRgb8(rgb);
    upright.apply_orientation(orientation);
    let (width, height) = (upright.width(), upright.height());
    Picture::new(width, height, upright.into_rgb8().into_raw())
}

/// Lays a picture on white; products are divided by 255 with rounding.
fn on_white(picture: &RgbaImage) -> RgbImage {
    let mut opaque = RgbImage::new(picture.width(), picture.height());
    for (from, to) in picture.pixels().zip(opaque.pixels_mut()) {
        let [r, g, b, alpha] = from.0.map(u32::from);
        to.0 = [r, g, b].map(|color| ((color * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
    }
    opaque
}

fn unsupported(mime: &str) -> Error {
    let hint = match mime {
        "image/heic" => {
            " (on an iPhone: Settings, Camera, Formats, Most Compatible; or export the photo as JPEG)"
        }
        "image/gif" => " (save one frame as PNG)",
        _ if mime.starts_with("image/") => " (save the picture in one of these formats)",
        _ => " (this is not a picture)",
    };
    Error::Unsupported { found: common_name(mime).to_owned(), accepted: ACCEPTED, hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn known_types_that_are_not_decoded_are_named_with_a_way_on() {
        let cases: &[(&[u8], &str, &str)] = &[
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC", "Most Compatible"),
            (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "AVIF", "save the picture"),
            (b"GIF89a\x01\0\x01\0", "GIF", "one frame"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "WAV", "not a picture"),
        ];
        for &(bytes, name, advice) in cases {
            let error = decode_image(bytes, &ImageLimits::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            let words = error.to_string();
            assert!(
                words.starts_with(&format!("{name} is not supported; send JPEG, PNG or WebP")),
                "{words}"
            );
            assert!(words.contains(advice), "{words}");
        }
    }

    #[test]
    fn unknown_bytes_and_too_many_bytes_are_refused() {
        let limits = ImageLimits { max_bytes: 16, ..ImageLimits::default() };
        let unknown = decode_image(b"hello, world", &limits).unwrap_err();
        assert!(matches!(unknown, Error::Unrecognised { what: "picture", .. }), "{unknown}");
        let long = decode_image(&[0; 17], &limits).unwrap_err();
        assert!(matches!(long, Error::TooManyBytes { came: 17, limit: 16, .. }), "{long}");
        assert_eq!(long.kind(), ErrorKind::TooLarge);
    }
}
