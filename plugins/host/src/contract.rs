//! The host's own checks of what a plugin is and gives, for a tool that stands in the host's place.

#![allow(unsafe_code)] // Passes on functions that read through the pointers of the contract.

use std::ffi::c_char;
use std::path::Path;

use jnana_api::jobs::{JobKind, Plan};
use jnana_api::plugins::Manifest;
use jnana_plugin_abi as abi;

use crate::call::EncodedRows;
pub use crate::collect::check_times;
use crate::error::Error;
use crate::sealed::Sealed;
pub use crate::tensor::Expected;
use crate::{elf, jobs, manifest, strings, tensor};

/// Refuses a library that was built for another machine or another ABI, without running any of it.
///
/// # Errors
/// In words; also when the file cannot be read.
pub fn check_target(library: &Path) -> Result<(), Error> {
    elf::check(&Sealed::read(library)?.bytes().map_err(Error::io("reading", library))?)
}

/// Reads and checks the JSON of a manifest.
///
/// # Errors
/// Names the field.
pub fn parse_manifest(json: &str) -> Result<Manifest, Error> {
    manifest::parse(json)
}

/// Reads and checks what `kinds` of `jnana.jobs/1` pushed.
///
/// # Errors
/// What is wrong with it.
pub fn parse_job_kinds(json: &str) -> Result<Vec<JobKind>, String> {
    jobs::read_kinds(json)
}

/// Reads and checks what `prepare` of `jnana.jobs/1` pushed.
///
/// # Errors
/// What is wrong with it.
pub fn parse_plan(json: &str) -> Result<Plan, String> {
    jobs::read_plan(json)
}

/// Copies a pushed tensor. The error says which rule it breaks.
///
/// # Errors
/// Which rule of the contract the tensor breaks.
///
/// # Safety
/// `managed` is NULL or a DLPack tensor whose pointers are NULL or good for what its shape says.
pub unsafe fn copy_tensor(
    managed: *const abi::DlManagedTensor,
    expected: Expected,
) -> Result<EncodedRows, String> {
    // SAFETY: said by the caller.
    unsafe { tensor::copy(managed, expected) }
}

/// Copies a string of a plugin, of at most `most` bytes.
///
/// # Errors
/// What is wrong with it.
///
/// # Safety
/// `raw` is NULL, or readable up to and with its zero byte, or for `most` bytes.
pub unsafe fn copy_text(raw: *const c_char, most: usize) -> Result<String, String> {
    // SAFETY: said by the caller.
    unsafe { strings::copy(raw, most) }
}
