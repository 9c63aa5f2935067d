//! Text across the C boundary.

#![allow(unsafe_code)] // Reads zero-terminated strings that a plugin hands over.

use std::ffi::{CString, c_char};

/// Longest text that is read from a plugin, other than a manifest.
pub(crate) const MAX_TEXT: usize = 1 << 20;

/// Copies a string of a plugin. An error names what is wrong with it.
///
/// # Safety
/// `raw` is NULL, or readable up to and with its zero byte, or for `max` bytes.
pub(crate) unsafe fn copy(raw: *const c_char, max: usize) -> Result<String, String> {
    if raw.is_null() {
        return Err("it is NULL".to_owned());
    }
    // SAFETY: said by the caller.
    let length = unsafe { libc::strnlen(raw, max) };
    if length == max {
        return Err(format!("it is {max} bytes or longer"));
    }
    // SAFETY: `length` bytes were just read.
    let bytes = unsafe { std::slice::from_raw_parts(raw.cast::<u8>(), length) };
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| format!("it is not UTF-8: {error}"))
}

/// A C string of a text; a zero inside would cut it, so zeros become U+FFFD.
pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}
