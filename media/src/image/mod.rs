//! Pictures: from bytes to the floats that vision encoders take.

mod bicubic;
mod decode;
mod fit;
mod normalize;

pub use decode::{ImageLimits, MAX_SIDE, decode_image};
pub use fit::{Fit, fit};
pub use normalize::{CLIP_MEAN, CLIP_STD, EFFICIENTNET_LITE_MEAN, EFFICIENTNET_LITE_STD, normalize_chw};

use crate::Error;

/// A decoded picture, upright, opaque, 8-bit RGB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `[height, width, 3]`, red first; `3·width·height` bytes.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// A picture from pixels that came from elsewhere.
    ///
    /// # Errors
    /// [`Error::PixelCount`] unless `pixels` holds exactly `3·width·height` bytes.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self, Error> {
        let expected = 3 * u64::from(width) * u64::from(height);
        if pixels.len() as u64 != expected {
            return Err(Error::PixelCount { width, height, expected, came: pixels.len() });
        }
        Ok(Self { width, height, pixels })
    }
}
