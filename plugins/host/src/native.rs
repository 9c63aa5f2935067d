//! An instance as the C contract knows it: made, asked, called, destroyed.

#![allow(unsafe_code)] // Calls the plugin's functions.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::PathBuf;

use jnana_api::plugins::Manifest;
use jnana_plugin_abi as abi;
use serde_json::{Map, Value};

use crate::call::CancelFlag;
use crate::collect::Accepts;
use crate::library::Functions;
use crate::manifest::{ENCODER, FEATURES, TRANSCRIBER};
use crate::services::Services;
use crate::sink::{OpenSink, Sinks};
use crate::strings::c_string;

/// Longest status line that is shown.
const MAX_STATUS: usize = 1024;

/// What every instance of a plugin in this process is made with.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) functions: Functions,
    pub(crate) services: &'static Services,
    pub(crate) sinks: &'static Sinks,
    pub(crate) space: String,
    pub(crate) width: u32,
    pub(crate) cache_dir: PathBuf,
    pub(crate) settings: Map<String, Value>,
}

/// Which function of an instance to call.
pub(crate) enum Function<'a> {
    Encode,
    Features,
    Transcribe { options: &'a CStr },
}

/// A live instance. Dropping it destroys it, so nothing may run on it then: calls hold it in an `Arc`.
pub(crate) struct Native {
    instance: *mut c_void,
    functions: Functions,
    encode: Option<abi::EncodeFn>,
    features: Option<abi::EncodeFn>,
    transcribe: Option<abi::TranscribeFn>,
}

// SAFETY: the contract allows calls from any thread of the host, and `destroy` from any with nothing else running.
unsafe impl Send for Native {}
// SAFETY: the contract allows as many calls at the same time as the manifest says; `Instance` counts them.
unsafe impl Sync for Native {}

impl Drop for Native {
    fn drop(&mut self) {
        // SAFETY: made by `create`, destroyed here only, and nobody else has it.
        unsafe { (self.functions.destroy)(self.instance) };
    }
}

impl Native {
    /// Makes an instance. The error is in the plugin's words.
    pub(crate) fn create(recipe: &Recipe, manifest: &Manifest) -> Result<Self, String> {
        let cache_dir = recipe.cache_dir.to_str().ok_or("the cache folder's path is not UTF-8")?;
        std::fs::create_dir_all(cache_dir).map_err(|error| format!("making {cache_dir}: {error}"))?;
        let (space, cache_dir) = (c_string(&recipe.space), c_string(cache_dir));
        let settings = c_string(&Value::from(recipe.settings.clone()).to_string());
        let sink = recipe.sinks.open(Accepts::Nothing, &CancelFlag::new());
        let args = abi::Create {
            size: abi::size_of::<abi::Create>(),
            width: recipe.width,
            host: recipe.services.table(),
            sink: sink.table(),
            call: sink.call(),
            space: space.as_ptr(),
            cache_dir: cache_dir.as_ptr(),
            settings: settings.as_ptr(),
        };
        let mut instance = std::ptr::null_mut();
        // SAFETY: the arguments are whole and live through the call.
        let status = unsafe { (recipe.functions.create)(&raw const args, &raw mut instance) };
        let failure = sink.close().failure;
        if status != abi::OK {
            let words = failure.map_or_else(|| format!("status {status}, without words"), |(_, words)| words);
            return Err(if status == abi::ERROR_PANIC { format!("it panicked: {words}") } else { words });
        }
        if instance.is_null() {
            return Err("create said OK but gave no instance".to_owned());
        }
        let mut native =
            Self { instance, functions: recipe.functions, encode: None, features: None, transcribe: None };
        native.find_extensions(manifest)?;
        Ok(native)
    }

    fn find_extensions(&mut self, manifest: &Manifest) -> Result<(), String> {
        for kind in &manifest.kinds {
            // SAFETY: the first table of each id is of the type that the contract gives to it.
            unsafe {
                match kind.as_str() {
                    ENCODER => {
                        let table = self.extension::<abi::Encoder>(abi::EXT_ENCODER)?;
                        self.encode = Some(table.encode.ok_or("its table of jnana.encoder/1 has no encode")?);
                    }
                    FEATURES => {
                        let table = self.extension::<abi::Features>(abi::EXT_FEATURES)?;
                        self.features =
                            Some(table.features.ok_or("its table of jnana.features/1 has no features")?);
                    }
                    TRANSCRIBER => {
                        let table = self.extension::<abi::Transcriber>(abi::EXT_TRANSCRIBER)?;
                        self.transcribe = Some(
                            table.transcribe.ok_or("its table of jnana.transcriber/1 has no transcribe")?,
                        );
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// # Safety
    /// `T` is the table that the contract gives to `id`.
    unsafe fn extension<T>(&self, id: &CStr) -> Result<&T, String> {
        let name = id.to_string_lossy();
        // SAFETY: a live instance and a zero-terminated id.
        let table = unsafe { (self.functions.get_extension)(self.instance, id.as_ptr()) };
        // SAFETY: the contract: NULL or a table valid until `destroy`; `size` is read alone first.
        let size = unsafe { table.cast::<u32>().as_ref() }
            .ok_or_else(|| format!("the manifest promises {name}, but the instance does not offer it"))?;
        if *size < abi::size_of::<T>() {
            return Err(format!("{name}: expected a table of {} bytes, got {size}", abi::size_of::<T>()));
        }
        // SAFETY: of this type (said by the caller) and as large as it should be.
        Ok(unsafe { &*table.cast::<T>() })
    }

    /// Calls a function and returns its status; `None` when the instance has no such function.
    pub(crate) fn call(&self, function: &Function<'_>, input: &abi::Input, sink: &OpenSink) -> Option<i32> {
        let (instance, table, call) = (self.instance, sink.table(), sink.call());
        // SAFETY: a live instance, a whole input that lives through the call, an open sink.
        unsafe {
            match function {
                Function::Encode => Some(self.encode?(instance, input, table, call)),
                Function::Features => Some(self.features?(instance, input, table, call)),
                Function::Transcribe { options } => {
                    Some(self.transcribe?(instance, input, options.as_ptr(), table, call))
                }
            }
        }
    }

    /// The status line.
    pub(crate) fn status(&self) -> String {
        let mut buffer = vec![0_u8; MAX_STATUS];
        // SAFETY: a live instance and `MAX_STATUS` bytes.
        unsafe {
            (self.functions.status)(self.instance, buffer.as_mut_ptr().cast::<c_char>(), MAX_STATUS as u64)
        };
        buffer.truncate(MAX_STATUS - 1);
        let end = buffer.iter().position(|byte| *byte == 0).unwrap_or(buffer.len());
        String::from_utf8_lossy(&buffer[..end]).into_owned()
    }
}

/// The options of a transcription as the contract wants them.
pub(crate) fn options_text(options: &Map<String, Value>) -> CString {
    c_string(&Value::from(options.clone()).to_string())
}
