//! A loaded library, its instances, and calls of them.

#![allow(unsafe_code)] // Loads code and calls what it exports.

use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jnana_api::plugins::{InputForm, Manifest};
use jnana_plugin_abi as abi;
use jnana_plugin_host::contract::{Expected, copy_text, parse_manifest};
use jnana_plugin_host::{ENCODER, FEATURES, JOBS, TRANSCRIBER};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::guarded::Guarded;
use crate::probe::{Live, Probe, Record, Takes};
use crate::suite::Trouble;
use crate::task::Task;

/// Most rows of features.
const MAX_FEATURES: usize = 65_536;

/// The functions of a plugin.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    pub(crate) manifest: unsafe extern "C" fn() -> *const c_char,
    pub(crate) create: unsafe extern "C" fn(*const abi::Create, *mut *mut c_void) -> i32,
    pub(crate) destroy: unsafe extern "C" fn(*mut c_void),
    pub(crate) status: unsafe extern "C" fn(*mut c_void, *mut c_char, u64) -> u64,
    pub(crate) get_extension: unsafe extern "C" fn(*mut c_void, *const c_char) -> *const c_void,
}

/// A library and what it says of itself.
pub(crate) struct Subject<'a> {
    pub(crate) task: &'a Task,
    pub(crate) entry: abi::EntryFn,
    pub(crate) table: Table,
    pub(crate) json: String,
    pub(crate) manifest: Manifest,
    pub(crate) probe: &'static Probe,
}

impl<'a> Subject<'a> {
    /// Loads the library, never to unload it.
    pub(crate) fn load(task: &'a Task) -> Result<Self, String> {
        // SAFETY: runs the constructors of a library that its author wants to see run.
        let library = unsafe { Library::open(Some(&task.library), RTLD_NOW | RTLD_LOCAL) };
        let library =
            std::mem::ManuallyDrop::new(library.map_err(|error| format!("loading it failed: {error}"))?);
        // SAFETY: the contract fixes the type of the symbol of this name.
        let entry = unsafe { library.get::<abi::EntryFn>(abi::ENTRY.to_bytes_with_nul()) };
        let entry = *entry.map_err(|error| format!("it has no entry: {error}"))?;
        let table = read_table(entry, abi::ABI_MINOR)?;
        // SAFETY: the contract: [any-thread], a static string or NULL.
        let json = unsafe { copy_text((table.manifest)(), abi::MAX_MANIFEST) }
            .map_err(|reason| format!("the manifest cannot be read: {reason}"))?;
        let manifest = parse_manifest(&json).map_err(|error| error.to_string())?;
        Ok(Self { task, entry, table, json, manifest, probe: Probe::leak() })
    }

    /// Makes an instance as the task says.
    pub(crate) fn create(&self) -> Result<Instance<'_>, String> {
        self.create_with(&self.task.space, self.task.width, &self.settings())
    }

    pub(crate) fn settings(&self) -> String {
        serde_json::Value::from(self.task.settings.clone()).to_string()
    }

    /// Makes an instance with other arguments.
    pub(crate) fn create_with(
        &self,
        space: &str,
        width: u32,
        settings: &str,
    ) -> Result<Instance<'_>, String> {
        let (space, settings) = (c_string(space), c_string(settings));
        let cache_dir = c_string(&self.task.cache_dir.display().to_string());
        let (call, _live) = self.probe.open(Takes::Nothing);
        let args = abi::Create {
            size: abi::size_of::<abi::Create>(),
            width,
            host: self.probe.host(),
            sink: self.probe.sink(),
            call,
            space: space.as_ptr(),
            cache_dir: cache_dir.as_ptr(),
            settings: settings.as_ptr(),
        };
        let mut instance = std::ptr::null_mut();
        // SAFETY: the arguments are whole and live through the call.
        let status = unsafe { (self.table.create)(&raw const args, &raw mut instance) };
        let record = self.probe.close(call);
        created(status, instance, record)?;
        Ok(Instance { subject: self, raw: instance })
    }

    /// Kinds of calls that the manifest promises.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let all = [
            (ENCODER, Kind::Encode),
            (FEATURES, Kind::Features),
            (TRANSCRIBER, Kind::Transcribe),
            (JOBS, Kind::JobKinds),
            (JOBS, Kind::PrepareJob),
        ];
        let offered = |id: &str| self.manifest.kinds.iter().any(|kind| kind == id);
        all.into_iter().filter(|(id, _)| offered(id)).map(|(_, kind)| kind).collect()
    }

    /// Forms of its inputs: those of the manifest, or the JSON that jobs are asked for with.
    pub(crate) fn forms(&self) -> Vec<InputForm> {
        match self.kinds().iter().all(|kind| kind.is_of_jobs()) {
            true => vec![InputForm::Raw { mime: "application/json".to_owned() }],
            false => self.manifest.accepts.clone(),
        }
    }

    /// What a call of this kind may push.
    pub(crate) fn takes(&self, kind: Kind) -> Takes {
        let promised =
            self.manifest.emits.as_ref().map_or(MAX_FEATURES, |emits| emits.max_positions as usize);
        match kind {
            Kind::Encode => {
                let width = Some(self.task.width as usize);
                Takes::Tensor(Expected { width, max_positions: promised })
            }
            Kind::Features => Takes::Tensor(Expected { width: None, max_positions: MAX_FEATURES }),
            Kind::Transcribe | Kind::JobKinds | Kind::PrepareJob => Takes::Text,
        }
    }
}

/// Whether `create` kept its word.
fn created(status: i32, instance: *mut c_void, record: Record) -> Result<(), String> {
    if let Some(breach) = record.breaches.first() {
        return Err(format!("create: {breach}"));
    }
    match (status, instance.is_null(), record.failure) {
        (abi::OK, false, None) => Ok(()),
        (abi::OK, false, Some((_, words))) => Err(format!("create said OK and that it failed: {words}")),
        (abi::OK, true, _) => Err("create said OK but gave no instance".to_owned()),
        (abi::ERROR_PANIC, _, failure) => {
            Err(format!("create panicked: {}", failure.map_or_else(String::new, |(_, words)| words)))
        }
        (_, _, Some((_, words))) => Err(format!("create failed: {words}")),
        (status, _, None) => Err(format!("create failed with status {status} and said no word")),
    }
}

/// Asks the entry for the table and reads it.
pub(crate) fn read_table(entry: abi::EntryFn, minor: u32) -> Result<Table, String> {
    // SAFETY: the contract: [any-thread], a static table or NULL.
    let table = unsafe { entry(minor) };
    // SAFETY: as above; `size` and the version come first, for the rest may be missing.
    let head = unsafe { table.cast::<[u32; 2]>().as_ref() };
    let [size, major] =
        *head.ok_or_else(|| format!("the entry gave no table for a host of ABI 1.{minor}"))?;
    if major != abi::ABI_MAJOR || size < abi::size_of::<abi::Plugin>() {
        return Err(format!("its table says ABI {major} and {size} bytes"));
    }
    // SAFETY: as large as it should be, and static.
    let table = unsafe { &*table };
    let missing = |name: &str| format!("its table has no function {name}");
    Ok(Table {
        manifest: table.manifest.ok_or_else(|| missing("manifest"))?,
        create: table.create.ok_or_else(|| missing("create"))?,
        destroy: table.destroy.ok_or_else(|| missing("destroy"))?,
        status: table.status.ok_or_else(|| missing("status"))?,
        get_extension: table.get_extension.ok_or_else(|| missing("get_extension"))?,
    })
}

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Encode,
    Features,
    Transcribe,
    JobKinds,
    PrepareJob,
}

impl Kind {
    /// Whether it gives segments in place of a tensor.
    pub(crate) fn gives_text(self) -> bool {
        self == Self::Transcribe || self.is_of_jobs()
    }

    /// Whether it is a function of `jnana.jobs/1`.
    pub(crate) fn is_of_jobs(self) -> bool {
        matches!(self, Self::JobKinds | Self::PrepareJob)
    }
}

/// An input, in memory that ends with it.
pub(crate) struct Input {
    pub(crate) form: i32,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) sample_rate: u32,
    pub(crate) mime: CString,
    pub(crate) data: Guarded,
}

/// A live instance; dropping it destroys it.
pub(crate) struct Instance<'a> {
    subject: &'a Subject<'a>,
    raw: *mut c_void,
}

// SAFETY: the contract allows calls from several threads; the tests count them.
unsafe impl Sync for Instance<'_> {}

impl Drop for Instance<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `create`, destroyed here only, with nothing running on it.
        unsafe { (self.subject.table.destroy)(self.raw) };
    }
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) record: Record,
    pub(crate) took: Duration,
}

impl Ended {
    /// Whether the call ended as the contract lets it, well or not; the record of one that said OK.
    pub(crate) fn properly(self, kind: Kind) -> Result<Option<Record>, String> {
        let Self { status, record, .. } = self;
        if let Some(breach) = record.breaches.first() {
            return Err(format!("it broke the contract: {breach}"));
        }
        let failure = record.failure.clone();
        match (status, failure) {
            (abi::OK, Some((_, words))) => Err(format!("it said OK and that it failed: {words}")),
            (abi::OK, None) if !kind.gives_text() && record.rows.is_none() => {
                Err("it said OK but pushed no tensor".to_owned())
            }
            (abi::OK, None) => Ok(Some(record)),
            (abi::ERROR_PANIC, failure) => {
                let words = failure.map_or_else(|| "without words".to_owned(), |(_, words)| words);
                Err(format!("it panicked: {words}"))
            }
            (abi::ERROR_CLOSED | abi::ERROR_REJECTED, None) => {
                Err(format!("it failed with status {status}, which is the host's to say"))
            }
            _ => Ok(None),
        }
    }

    /// The record of a call that has to be a good one.
    pub(crate) fn well(self, kind: Kind) -> Result<Record, String> {
        let words = self.record.failure.as_ref().map_or_else(String::new, |(_, words)| words.clone());
        let status = self.status;
        self.properly(kind)?.ok_or_else(|| format!("a good input was refused with status {status}: {words}"))
    }
}

impl Instance<'_> {
    /// An extension's table, or NULL.
    pub(crate) fn extension(&self, id: &CStr) -> *const c_void {
        // SAFETY: a live instance and a zero-terminated id.
        unsafe { (self.subject.table.get_extension)(self.raw, id.as_ptr()) }
    }

    /// The status line into a buffer.
    pub(crate) fn status(&self, buffer: &mut [u8], capacity: u64) -> u64 {
        // SAFETY: a live instance; the callers give a buffer of at least `capacity` bytes.
        unsafe { (self.subject.table.status)(self.raw, buffer.as_mut_ptr().cast::<c_char>(), capacity) }
    }

    /// Makes a call that may push what its kind may.
    pub(crate) fn call(&self, kind: Kind, input: &Input) -> Result<Ended, Trouble> {
        self.call_with(kind, input, self.subject.takes(kind), |_| ())
    }

    /// Makes a call; `begun` gets hold of it before it starts.
    pub(crate) fn call_with(
        &self,
        kind: Kind,
        input: &Input,
        takes: Takes,
        begun: impl FnOnce(Arc<Live>),
    ) -> Result<Ended, Trouble> {
        let raw = input.raw();
        let (call, live) = self.subject.probe.open(takes);
        begun(live);
        let start = Instant::now();
        let status = self.raw_call(kind, &raw const raw, call);
        let took = start.elapsed();
        let record = self.subject.probe.close(call);
        Ok(Ended { status: status?, record, took })
    }

    /// Calls with any pointer to an input.
    pub(crate) fn raw_call(&self, kind: Kind, input: *const abi::Input, call: u64) -> Result<i32, Trouble> {
        let (instance, sink) = (self.raw, self.subject.probe.sink());
        let lacks = |id: &CStr| {
            let id = id.to_string_lossy();
            Trouble::Broken(format!("the manifest promises {id}, but the instance does not offer it"))
        };
        // SAFETY: tables of the types that the contract gives to the ids, of a live instance; the input is what the test
        // wants it to be, and in memory that may be read as far as it says.
        unsafe {
            match kind {
                Kind::Encode => {
                    let table = self.extension(abi::EXT_ENCODER).cast::<abi::Encoder>().as_ref();
                    let encode =
                        table.and_then(|table| table.encode).ok_or_else(|| lacks(abi::EXT_ENCODER))?;
                    Ok(encode(instance, input, sink, call))
                }
                Kind::Features => {
                    let table = self.extension(abi::EXT_FEATURES).cast::<abi::Features>().as_ref();
                    let features =
                        table.and_then(|table| table.features).ok_or_else(|| lacks(abi::EXT_FEATURES))?;
                    Ok(features(instance, input, sink, call))
                }
                Kind::Transcribe => {
                    let table = self.extension(abi::EXT_TRANSCRIBER).cast::<abi::Transcriber>().as_ref();
                    let transcribe = table
                        .and_then(|table| table.transcribe)
                        .ok_or_else(|| lacks(abi::EXT_TRANSCRIBER))?;
                    Ok(transcribe(instance, input, c"{}".as_ptr(), sink, call))
                }
                Kind::JobKinds | Kind::PrepareJob => {
                    let table = self.extension(abi::EXT_JOBS).cast::<abi::Jobs>().as_ref();
                    let function = table
                        .and_then(|table| if kind == Kind::JobKinds { table.kinds } else { table.prepare })
                        .ok_or_else(|| lacks(abi::EXT_JOBS))?;
                    Ok(function(instance, input, sink, call))
                }
            }
        }
    }
}

impl Input {
    /// The struct of the contract.
    pub(crate) fn raw(&self) -> abi::Input {
        abi::Input {
            size: abi::size_of::<abi::Input>(),
            form: self.form,
            data: self.data.start().cast(),
            length: self.data.len() as u64,
            width: self.width,
            height: self.height,
            sample_rate: self.sample_rate,
            reserved: 0,
            mime: self.mime.as_ptr(),
        }
    }
}

/// A C string of a text without zeros.
pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}
