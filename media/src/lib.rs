//! One definition of pixels and samples, for serving and for training.
//!
//! Uploads enter as bytes and leave as what networks eat: [`decode_image`] → [`fit`] → [`normalize_chw`] for
//! pictures, [`decode_audio`] → [`resample`] → [`speech_spans`] for sound. Bytes are never trusted: types are
//! recognised by content, sizes are checked before memory is taken, and no input makes this crate panic.

pub mod audio;
mod error;
pub mod image;
mod sniff;

pub use audio::{
    AudioLimits, Sound, VOICE_RATE, decode_audio, decode_pcm, decode_wav, encode_wav, resample, speech_spans,
};
pub use error::{Error, ErrorKind};
pub use image::{
    CLIP_MEAN, CLIP_STD, EFFICIENTNET_LITE_MEAN, EFFICIENTNET_LITE_STD, Fit, ImageLimits, MAX_SIDE, Picture,
    decode_image, fit, normalize_chw,
};
pub use sniff::sniff;
