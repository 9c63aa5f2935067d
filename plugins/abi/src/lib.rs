//! The plugin contract, ABI 1: a mirror of `include/jnana_plugin.h`.
//!
//! The header is the specification: lifetimes, threads and ownership are said there, at each function. This crate only
//! gives the same types to Rust, and checks that they have the same layout: by constants here for 64-bit targets, and in
//! `tests/layout.rs` against what a C compiler says.
//!
//! Functions that the other side fills in are `Option`s, since a careless plugin may leave them NULL.

mod layout;

use std::ffi::{c_char, c_void};

/// Major version, part of the entry's name.
pub const ABI_MAJOR: u32 = 1;
/// Minor version: what was appended since the major one.
pub const ABI_MINOR: u32 = 0;
/// Name of the exported entry, zero-terminated.
pub const ENTRY: &std::ffi::CStr = c"jnana_plugin_entry_v1";
/// Longest manifest in bytes.
pub const MAX_MANIFEST: usize = 1 << 20;

/// Success.
pub const OK: i32 = 0;
/// The input is to blame.
pub const ERROR_INVALID_INPUT: i32 = 1;
/// Memory, a file or a device is missing.
pub const ERROR_RESOURCE: i32 = 2;
/// The call ended early because it was cancelled.
pub const ERROR_CANCELLED: i32 = 3;
/// The plugin is to blame; the instance stays usable.
pub const ERROR_INTERNAL: i32 = 4;
/// The plugin is to blame and the instance must not be used again.
pub const ERROR_PANIC: i32 = 5;
/// From the host: the sink was used after its call had returned.
pub const ERROR_CLOSED: i32 = 6;
/// From the host: what was pushed breaks the contract.
pub const ERROR_REJECTED: i32 = 7;

/// Major version of DLPack.
pub const DL_MAJOR: u32 = 1;
/// Host memory.
pub const DL_CPU: i32 = 1;
/// IEEE floating point.
pub const DL_FLOAT: u8 = 2;
/// bfloat16.
pub const DL_BFLOAT: u8 = 4;

/// For developers.
pub const LOG_DEBUG: i32 = 0;
/// Worth knowing.
pub const LOG_INFO: i32 = 1;
/// Something is off; the work goes on.
pub const LOG_WARN: i32 = 2;
/// Something failed.
pub const LOG_ERROR: i32 = 3;

/// Interleaved rgb8 pixels.
pub const INPUT_IMAGE: i32 = 1;
/// Mono f32 samples.
pub const INPUT_AUDIO: i32 = 2;
/// Bytes with a MIME type.
pub const INPUT_RAW: i32 = 3;

/// Id of [`Encoder`], zero-terminated.
pub const EXT_ENCODER: &std::ffi::CStr = c"jnana.encoder/1";
/// Id of [`Features`], zero-terminated.
pub const EXT_FEATURES: &std::ffi::CStr = c"jnana.features/1";
/// Id of [`Transcriber`], zero-terminated.
pub const EXT_TRANSCRIBER: &std::ffi::CStr = c"jnana.transcriber/1";
/// Id of [`Jobs`], zero-terminated.
pub const EXT_JOBS: &std::ffi::CStr = c"jnana.jobs/1";

/// `jnana_dl_device`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct DlDevice {
    /// [`DL_CPU`].
    pub device_type: i32,
    /// 0.
    pub device_id: i32,
}

/// `jnana_dl_data_type`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct DlDataType {
    /// [`DL_FLOAT`] or [`DL_BFLOAT`].
    pub code: u8,
    /// Bits of an element.
    pub bits: u8,
    /// 1.
    pub lanes: u16,
}

/// `jnana_dl_tensor`, DLPack's `DLTensor`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct DlTensor {
    /// Start of the memory.
    pub data: *mut c_void,
    /// Where the memory is.
    pub device: DlDevice,
    /// Number of dimensions.
    pub ndim: i32,
    /// Element type.
    pub dtype: DlDataType,
    /// `ndim` sizes in elements.
    pub shape: *mut i64,
    /// `ndim` steps in elements, or NULL for row-major without gaps.
    pub strides: *mut i64,
    /// Bytes from `data` to the first element.
    pub byte_offset: u64,
}

/// Frees a tensor and all it points to.
pub type DlDeleter = unsafe extern "C" fn(tensor: *mut DlManagedTensor);

/// `jnana_dl_managed_tensor`, DLPack's `DLManagedTensorVersioned`.
#[repr(C)]
#[derive(Debug)]
pub struct DlManagedTensor {
    /// [`DL_MAJOR`].
    pub version_major: u32,
    /// Any.
    pub version_minor: u32,
    /// The maker's own.
    pub manager_ctx: *mut c_void,
    /// Called exactly once by who takes the tensor; NULL when there is nothing to free.
    pub deleter: Option<DlDeleter>,
    /// DLPack's flags.
    pub flags: u64,
    /// The tensor.
    pub tensor: DlTensor,
}

/// `jnana_host`: services of the host.
#[repr(C)]
#[derive(Debug)]
pub struct Host {
    /// Bytes of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// The host's own.
    pub context: *mut c_void,
    /// Writes a log line.
    pub log: Option<unsafe extern "C" fn(host: *const Host, level: i32, message: *const c_char)>,
    /// Monotonic nanoseconds.
    pub now_ns: Option<unsafe extern "C" fn(host: *const Host) -> u64>,
    /// Most threads that the instance may keep busy.
    pub thread_budget: Option<unsafe extern "C" fn(host: *const Host) -> u32>,
}

/// `jnana_segment`: timed text.
#[repr(C)]
#[derive(Debug)]
pub struct Segment {
    /// Bytes of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Start in seconds.
    pub start: f64,
    /// End in seconds.
    pub end: f64,
    /// The text.
    pub text: *const c_char,
}

/// `jnana_sink`: where a call puts what it makes.
#[repr(C)]
#[derive(Debug)]
pub struct Sink {
    /// Bytes of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// The host's own.
    pub context: *mut c_void,
    /// Hands a tensor over.
    pub push_tensor:
        Option<unsafe extern "C" fn(sink: *const Sink, call: u64, tensor: *mut DlManagedTensor) -> i32>,
    /// Hands text over.
    pub push_segment:
        Option<unsafe extern "C" fn(sink: *const Sink, call: u64, segment: *const Segment) -> i32>,
    /// Says a fact about the result.
    pub set_property: Option<
        unsafe extern "C" fn(sink: *const Sink, call: u64, key: *const c_char, value: *const c_char) -> i32,
    >,
    /// Says why the call fails.
    pub fail: Option<unsafe extern "C" fn(sink: *const Sink, call: u64, code: i32, message: *const c_char)>,
    /// 1 once nobody wants the result any more.
    pub cancelled: Option<unsafe extern "C" fn(sink: *const Sink, call: u64) -> i32>,
}

/// `jnana_input`: one input.
#[repr(C)]
#[derive(Debug)]
pub struct Input {
    /// Bytes of this struct.
    pub size: u32,
    /// [`INPUT_IMAGE`], [`INPUT_AUDIO`] or [`INPUT_RAW`].
    pub form: i32,
    /// The bytes.
    pub data: *const c_void,
    /// How many bytes.
    pub length: u64,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Samples a second.
    pub sample_rate: u32,
    /// 0.
    pub reserved: u32,
    /// MIME type of raw bytes.
    pub mime: *const c_char,
}

/// `jnana_create`: what a new instance gets.
#[repr(C)]
#[derive(Debug)]
pub struct Create {
    /// Bytes of this struct.
    pub size: u32,
    /// Width of the embedding space, 0 for none.
    pub width: u32,
    /// The host's services.
    pub host: *const Host,
    /// For `fail` and `cancelled`.
    pub sink: *const Sink,
    /// The number to use with the sink.
    pub call: u64,
    /// Id of the embedding space.
    pub space: *const c_char,
    /// The plugin's own folder.
    pub cache_dir: *const c_char,
    /// A JSON object.
    pub settings: *const c_char,
}

/// `jnana_plugin`: the plugin's table.
#[repr(C)]
#[derive(Debug)]
pub struct Plugin {
    /// Bytes of this struct.
    pub size: u32,
    /// [`ABI_MAJOR`].
    pub abi_major: u32,
    /// [`ABI_MINOR`].
    pub abi_minor: u32,
    /// 0.
    pub reserved: u32,
    /// The manifest as JSON.
    pub manifest: Option<unsafe extern "C" fn() -> *const c_char>,
    /// Makes an instance.
    pub create: Option<unsafe extern "C" fn(args: *const Create, instance: *mut *mut c_void) -> i32>,
    /// Frees an instance.
    pub destroy: Option<unsafe extern "C" fn(instance: *mut c_void)>,
    /// Writes the status line.
    pub status:
        Option<unsafe extern "C" fn(instance: *mut c_void, buffer: *mut c_char, capacity: u64) -> u64>,
    /// Finds an extension.
    pub get_extension:
        Option<unsafe extern "C" fn(instance: *mut c_void, id: *const c_char) -> *const c_void>,
}

/// Type of the exported entry.
pub type EntryFn = unsafe extern "C" fn(host_minor: u32) -> *const Plugin;

/// Type of [`Encoder::encode`], [`Features::features`], [`Jobs::kinds`] and [`Jobs::prepare`].
pub type EncodeFn =
    unsafe extern "C" fn(instance: *mut c_void, input: *const Input, sink: *const Sink, call: u64) -> i32;

/// Type of [`Transcriber::transcribe`].
pub type TranscribeFn = unsafe extern "C" fn(
    instance: *mut c_void,
    input: *const Input,
    options: *const c_char,
    sink: *const Sink,
    call: u64,
) -> i32;

/// `jnana_encoder`.
#[repr(C)]
#[derive(Debug)]
pub struct Encoder {
    /// Bytes of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Input to positions.
    pub encode: Option<EncodeFn>,
}

/// `jnana_features`.
#[repr(C)]
#[derive(Debug)]
pub struct Features {
    /// Bytes of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Input to features.
    pub features: Option<EncodeFn>,
}

/// `jnana_transcriber`.
#[repr(C)]
#[derive(Debug)]
pub struct Transcriber {
    /// Bytes of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Input to text.
    pub transcribe: Option<TranscribeFn>,
}

/// `jnana_jobs`.
#[repr(C)]
#[derive(Debug)]
pub struct Jobs {
    /// Bytes of this struct.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Folders to kinds of work.
    pub kinds: Option<EncodeFn>,
    /// A filled form to a plan.
    pub prepare: Option<EncodeFn>,
}

/// Size of a struct as its `size` field holds it.
#[must_use]
pub const fn size_of<T>() -> u32 {
    std::mem::size_of::<T>() as u32
}
