//! Reads the C structs that a host hands in.

#![allow(unsafe_code)] // Turns the contract's pointers into slices.

use std::ffi::{CStr, c_char};

use jnana_plugin_abi as abi;

use crate::sized::whole;
use crate::{Error, Input};

/// Borrows an input for the call.
///
/// # Safety
/// `raw` is NULL or an input of the contract that lives for `'a`.
pub(crate) unsafe fn read<'a>(raw: *const abi::Input) -> Result<Input<'a>, Error> {
    // SAFETY: said by the caller.
    let input = unsafe { whole(raw) }
        .filter(|input| !input.data.is_null())
        .ok_or_else(|| Error::internal("the host gave no input, or less of one than ABI 1.0 says"))?;
    let length = usize::try_from(input.length).map_err(|_| Error::invalid("the input is too large"))?;
    let disagrees = || Error::internal("the host's input is not as long as its form says");
    match input.form {
        abi::INPUT_IMAGE => {
            // More than can be is not what came, either.
            let expected = (u64::from(input.width) * u64::from(input.height)).saturating_mul(3);
            if input.length != expected {
                return Err(disagrees());
            }
            // SAFETY: the contract gives `length` bytes at `data`, borrowed for the call.
            let pixels = unsafe { std::slice::from_raw_parts(input.data.cast::<u8>(), length) };
            Ok(Input::Image { width: input.width, height: input.height, pixels })
        }
        abi::INPUT_AUDIO => {
            let samples = input.data.cast::<f32>();
            if !length.is_multiple_of(4) || !samples.is_aligned() {
                return Err(disagrees());
            }
            // SAFETY: as above, and aligned.
            let samples = unsafe { std::slice::from_raw_parts(samples, length / 4) };
            Ok(Input::Audio { sample_rate: input.sample_rate, samples })
        }
        abi::INPUT_RAW => {
            // SAFETY: the contract gives a zero-terminated string, borrowed for the call.
            let mime = unsafe { text(input.mime) }?;
            // SAFETY: as above.
            let bytes = unsafe { std::slice::from_raw_parts(input.data.cast::<u8>(), length) };
            Ok(Input::Raw { mime, bytes })
        }
        other => Err(Error::internal(format!("the host gave an input of unknown form {other}"))),
    }
}

/// Borrows a string of the contract; NULL is empty.
///
/// # Safety
/// `raw` is NULL or zero-terminated and lives for `'a`.
pub(crate) unsafe fn text<'a>(raw: *const c_char) -> Result<&'a str, Error> {
    if raw.is_null() {
        return Ok("");
    }
    // SAFETY: said by the caller.
    unsafe { CStr::from_ptr(raw) }
        .to_str()
        .map_err(|_| Error::internal("the host gave text that is not UTF-8"))
}
