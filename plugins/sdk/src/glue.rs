//! The C functions of a plugin, made from its traits. Every one catches panics: a panic that left `extern "C"` would end
//! the server. After a panic the instance counts as poisoned and answers nothing but that, until the host replaces it.

#![allow(unsafe_code)] // This file is the boundary between the C contract and safe Rust.

mod jobs;

use std::any::Any;
use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use jnana_api::plugins::Segment;
use jnana_plugin_abi as abi;
use serde_json::{Map, Value};

use crate::host::c_string;
use crate::sized::whole;
use crate::{Call, Code, Create, Error, Host, Input, Plugin, input, tensor};

/// The table of a plugin.
#[must_use]
pub fn table<P: Plugin>() -> *const abi::Plugin {
    Table::<P>::PLUGIN
}

struct Table<P>(std::marker::PhantomData<P>);

impl<P: Plugin> Table<P> {
    const PLUGIN: &'static abi::Plugin = &abi::Plugin {
        size: abi::size_of::<abi::Plugin>(),
        abi_major: abi::ABI_MAJOR,
        abi_minor: abi::ABI_MINOR,
        reserved: 0,
        manifest: Some(manifest::<P>),
        create: Some(create::<P>),
        destroy: Some(destroy::<P>),
        status: Some(status::<P>),
        get_extension: Some(get_extension::<P>),
    };
    const ENCODER: &'static abi::Encoder =
        &abi::Encoder { size: abi::size_of::<abi::Encoder>(), reserved: 0, encode: Some(encode::<P>) };
    const FEATURES: &'static abi::Features =
        &abi::Features { size: abi::size_of::<abi::Features>(), reserved: 0, features: Some(features::<P>) };
    const TRANSCRIBER: &'static abi::Transcriber = &abi::Transcriber {
        size: abi::size_of::<abi::Transcriber>(),
        reserved: 0,
        transcribe: Some(transcribe::<P>),
    };
    const JOBS: &'static abi::Jobs = &abi::Jobs {
        size: abi::size_of::<abi::Jobs>(),
        reserved: 0,
        kinds: Some(jobs::kinds::<P>),
        prepare: Some(jobs::prepare::<P>),
    };
}

/// What `*instance` points to.
struct Instance<P> {
    plugin: P,
    host: Host,
    poisoned: AtomicBool,
}

/// The sink of one call.
#[derive(Clone, Copy)]
struct SinkRef {
    raw: *const abi::Sink,
    call: u64,
}

// SAFETY: the contract makes the table immutable and its functions [any-thread].
unsafe impl Send for SinkRef {}
// SAFETY: as above.
unsafe impl Sync for SinkRef {}

impl SinkRef {
    /// The table, when it is as large as this crate knows it.
    fn table(&self) -> Option<&abi::Sink> {
        // SAFETY: the contract keeps the table valid for as long as the process lives.
        unsafe { whole(self.raw) }
    }

    fn fail(&self, code: i32, message: &str) -> i32 {
        let message = c_string(message);
        if let Some(fail) = self.table().and_then(|sink| sink.fail) {
            // SAFETY: a function of the live table; the message lives through the call.
            unsafe { fail(self.raw, self.call, code, message.as_ptr()) };
        }
        code
    }

    fn cancelled(&self) -> bool {
        // SAFETY: a function of the live table.
        self.table().and_then(|sink| sink.cancelled).is_some_and(|f| unsafe { f(self.raw, self.call) } != 0)
    }

    fn push_tensor(&self, rows: crate::Embeddings) -> Result<(), Failure> {
        let tensor = tensor::export(rows)?;
        let Some(push) = self.table().and_then(|sink| sink.push_tensor) else {
            // SAFETY: nobody took the tensor.
            unsafe { tensor::delete(tensor) };
            return Err(Error::internal("the host takes no tensors").into());
        };
        // SAFETY: a function of the live table; it takes the tensor over.
        check(unsafe { push(self.raw, self.call, tensor) })
    }

    fn push_segment(&self, segment: &Segment) -> bool {
        let text = c_string(&segment.text);
        let raw = abi::Segment {
            size: abi::size_of::<abi::Segment>(),
            reserved: 0,
            start: segment.start,
            end: segment.end,
            text: text.as_ptr(),
        };
        let push = self.table().and_then(|sink| sink.push_segment);
        // SAFETY: a function of the live table; the segment lives through the call.
        push.is_some_and(|push| unsafe { push(self.raw, self.call, &raw) } == abi::OK)
    }

    fn set_property(&self, key: &CStr, value: &str) -> Result<(), Failure> {
        let value = c_string(value);
        // SAFETY: a function of the live table; the strings live through the call.
        let set = |f: unsafe extern "C" fn(_, _, _, _) -> i32| unsafe {
            f(self.raw, self.call, key.as_ptr(), value.as_ptr())
        };
        check(self.table().and_then(|sink| sink.set_property).map_or(abi::OK, set))
    }
}

/// Why an entry returns something else than OK.
enum Failure {
    /// The plugin says so; the sink has to be told.
    Error(Error),
    /// The host said so and knows.
    Status(i32),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

fn check(status: i32) -> Result<(), Failure> {
    if status == abi::OK { Ok(()) } else { Err(Failure::Status(status)) }
}

fn status_of(code: Code) -> i32 {
    match code {
        Code::InvalidInput => abi::ERROR_INVALID_INPUT,
        Code::Resource => abi::ERROR_RESOURCE,
        Code::Cancelled => abi::ERROR_CANCELLED,
        Code::Internal => abi::ERROR_INTERNAL,
    }
}

fn report(sink: SinkRef, result: Result<(), Failure>) -> i32 {
    match result {
        Ok(()) => abi::OK,
        Err(Failure::Status(status)) => status,
        Err(Failure::Error(error)) => sink.fail(status_of(error.code), &error.message),
    }
}

/// The words of a panic. The payload itself is forgotten: its own drop might panic, outside of any guard.
fn words_of(payload: Box<dyn Any + Send>) -> String {
    let words = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned());
    std::mem::forget(payload);
    words
}

extern "C" fn manifest<P: Plugin>() -> *const c_char {
    // A static in a generic function would be shared by all types, but a library has one plugin.
    static TEXT: OnceLock<Option<CString>> = OnceLock::new();
    let make = || {
        let manifest = catch_unwind(P::manifest)
            .map_err(|payload| eprintln!("the plugin's manifest() panicked: {}", words_of(payload)));
        serde_json::to_string(&manifest.ok()?).ok().map(|json| c_string(&json))
    };
    TEXT.get_or_init(make).as_ref().map_or(std::ptr::null(), |text| text.as_ptr())
}

unsafe extern "C" fn create<P: Plugin>(args: *const abi::Create, instance: *mut *mut c_void) -> i32 {
    // SAFETY: the contract lends the arguments for the call.
    let Some(args) = (unsafe { whole(args) }) else { return abi::ERROR_INTERNAL };
    let sink = SinkRef { raw: args.sink, call: args.call };
    if instance.is_null() {
        return sink.fail(abi::ERROR_INTERNAL, "the host gave no place for the instance");
    }
    // SAFETY: the contract keeps the host's table valid for as long as the process lives.
    if unsafe { whole(args.host) }.is_none() {
        return sink.fail(abi::ERROR_INTERNAL, "the host offers fewer services than ABI 1.0 has");
    }
    // SAFETY: checked above.
    let host = unsafe { Host::new(args.host) };
    let make = || {
        host.enter(|| {
            // SAFETY: `args` is the struct of the contract, alive for this call.
            P::create(unsafe { arguments(args, host) }?)
        })
    };
    match catch_unwind(make) {
        Ok(Ok(plugin)) => {
            let made = Box::new(Instance { plugin, host, poisoned: AtomicBool::new(false) });
            // SAFETY: not NULL, and the contract's place for the result.
            unsafe { *instance = Box::into_raw(made).cast::<c_void>() };
            abi::OK
        }
        Ok(Err(error)) => sink.fail(status_of(error.code), &error.message),
        Err(payload) => sink.fail(abi::ERROR_PANIC, &words_of(payload)),
    }
}

/// # Safety
/// `args` is the struct of the contract with live strings.
unsafe fn arguments(args: &abi::Create, host: Host) -> Result<Create, Error> {
    // SAFETY: said by the caller, here and below.
    let settings = unsafe { input::text(args.settings) }?;
    Ok(Create {
        // SAFETY: as above.
        space: unsafe { input::text(args.space) }?.to_owned(),
        width: args.width as usize,
        threads: host.threads(),
        // SAFETY: as above.
        cache_dir: PathBuf::from(unsafe { input::text(args.cache_dir) }?),
        settings: object(settings)?,
    })
}

/// A JSON object; empty text is an empty one.
fn object(text: &str) -> Result<Map<String, Value>, Error> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text)
        .map_err(|error| Error::internal(format!("the host gave no JSON object: {error}")))
}

unsafe extern "C" fn destroy<P: Plugin>(instance: *mut c_void) {
    if instance.is_null() {
        return;
    }
    // SAFETY: made by `create`, and the contract gives it back once, with nothing else running on it.
    let instance = unsafe { Box::from_raw(instance.cast::<Instance<P>>()) };
    let host = instance.host;
    let ended = catch_unwind(AssertUnwindSafe(|| host.enter(|| drop(instance))));
    if let Err(payload) = ended {
        host.log(crate::Level::Error, &format!("dropping the instance panicked: {}", words_of(payload)));
    }
}

unsafe extern "C" fn status<P: Plugin>(instance: *mut c_void, buffer: *mut c_char, capacity: u64) -> u64 {
    // SAFETY: an instance of `create` that the contract keeps alive for the call.
    let Some(instance) = (unsafe { instance.cast::<Instance<P>>().as_ref() }) else { return 0 };
    let ask = || instance.host.enter(|| instance.plugin.status());
    let line = catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|payload| {
        instance.poisoned.store(true, Ordering::Release);
        format!("status() panicked: {}", words_of(payload))
    });
    let line = line.replace('\0', "\u{fffd}");
    let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
    if !buffer.is_null() && capacity > 0 {
        let cut = line.floor_char_boundary(capacity - 1);
        // SAFETY: the contract gives `capacity` bytes at `buffer`; `cut + 1` are written.
        unsafe {
            std::ptr::copy_nonoverlapping(line.as_ptr(), buffer.cast::<u8>(), cut);
            buffer.add(cut).write(0);
        }
    }
    line.len() as u64
}

unsafe extern "C" fn get_extension<P: Plugin>(instance: *mut c_void, id: *const c_char) -> *const c_void {
    // SAFETY: an instance of `create` that the contract keeps alive for the call.
    let Some(instance) = (unsafe { instance.cast::<Instance<P>>().as_ref() }) else {
        return std::ptr::null();
    };
    if id.is_null() {
        return std::ptr::null();
    }
    // SAFETY: the contract gives a zero-terminated id, borrowed for the call.
    let id = unsafe { CStr::from_ptr(id) };
    let plugin = &instance.plugin;
    let find = || {
        instance.host.enter(|| {
            if id == abi::EXT_ENCODER && plugin.encoder().is_some() {
                std::ptr::from_ref(Table::<P>::ENCODER).cast::<c_void>()
            } else if id == abi::EXT_FEATURES && plugin.features().is_some() {
                std::ptr::from_ref(Table::<P>::FEATURES).cast::<c_void>()
            } else if id == abi::EXT_TRANSCRIBER && plugin.transcriber().is_some() {
                std::ptr::from_ref(Table::<P>::TRANSCRIBER).cast::<c_void>()
            } else if id == abi::EXT_JOBS && plugin.jobs().is_some() {
                std::ptr::from_ref(Table::<P>::JOBS).cast::<c_void>()
            } else {
                std::ptr::null()
            }
        })
    };
    catch_unwind(AssertUnwindSafe(find)).unwrap_or_else(|payload| {
        instance.poisoned.store(true, Ordering::Release);
        instance
            .host
            .log(crate::Level::Error, &format!("finding an extension panicked: {}", words_of(payload)));
        std::ptr::null()
    })
}

/// What the functions of all extensions have in common: the poison, the input, the panic guard, the report.
///
/// # Safety
/// The pointers are those of a call of the contract.
unsafe fn run<P: Plugin>(
    instance: *mut c_void,
    input: *const abi::Input,
    sink: SinkRef,
    work: impl FnOnce(&P, &Input<'_>, &Call<'_>) -> Result<(), Failure>,
) -> i32 {
    // SAFETY: an instance of `create` that the contract keeps alive for the call.
    let Some(instance) = (unsafe { instance.cast::<Instance<P>>().as_ref() }) else {
        return sink.fail(abi::ERROR_INTERNAL, "the host gave no instance");
    };
    if instance.poisoned.load(Ordering::Acquire) {
        return sink.fail(abi::ERROR_PANIC, "an earlier call on this instance panicked");
    }
    // SAFETY: the contract lends the input for the call.
    let input = match unsafe { input::read(input) } {
        Ok(input) => input,
        Err(error) => return sink.fail(status_of(error.code), &error.message),
    };
    let cancelled = || sink.cancelled();
    let segment = |segment: &Segment| sink.push_segment(segment);
    let call = Call::new(&cancelled, &segment);
    let guarded = || instance.host.enter(|| work(&instance.plugin, &input, &call));
    match catch_unwind(AssertUnwindSafe(guarded)) {
        Ok(result) => report(sink, result),
        Err(payload) => {
            instance.poisoned.store(true, Ordering::Release);
            sink.fail(abi::ERROR_PANIC, &words_of(payload))
        }
    }
}

fn lacks(extension: &CStr) -> Error {
    Error::internal(format!("the instance no longer offers {}", extension.to_string_lossy()))
}

unsafe extern "C" fn encode<P: Plugin>(
    instance: *mut c_void,
    input: *const abi::Input,
    sink: *const abi::Sink,
    call: u64,
) -> i32 {
    let sink = SinkRef { raw: sink, call };
    let work = |plugin: &P, input: &Input<'_>, call: &Call<'_>| {
        let encoder = plugin.encoder().ok_or_else(|| lacks(abi::EXT_ENCODER))?;
        sink.push_tensor(encoder.encode(input, call)?)
    };
    // SAFETY: the pointers are those of this call.
    unsafe { run(instance, input, sink, work) }
}

unsafe extern "C" fn features<P: Plugin>(
    instance: *mut c_void,
    input: *const abi::Input,
    sink: *const abi::Sink,
    call: u64,
) -> i32 {
    let sink = SinkRef { raw: sink, call };
    let work = |plugin: &P, input: &Input<'_>, call: &Call<'_>| {
        let features = plugin.features().ok_or_else(|| lacks(abi::EXT_FEATURES))?;
        sink.push_tensor(features.features(input, call)?)
    };
    // SAFETY: the pointers are those of this call.
    unsafe { run(instance, input, sink, work) }
}

unsafe extern "C" fn transcribe<P: Plugin>(
    instance: *mut c_void,
    input: *const abi::Input,
    options: *const c_char,
    sink: *const abi::Sink,
    call: u64,
) -> i32 {
    let sink = SinkRef { raw: sink, call };
    let work = |plugin: &P, input: &Input<'_>, call: &Call<'_>| {
        let transcriber = plugin.transcriber().ok_or_else(|| lacks(abi::EXT_TRANSCRIBER))?;
        // SAFETY: the contract gives a zero-terminated string, borrowed for the call.
        let options = object(unsafe { input::text(options) }?)?;
        match transcriber.transcribe(input, &options, call)? {
            Some(language) => sink.set_property(c"language", &language),
            None => Ok(()),
        }
    };
    // SAFETY: the pointers are those of this call.
    unsafe { run(instance, input, sink, work) }
}
