//! The host's side of the contract as a test wants it: notes everything, says no when asked to, never forgets a late use.

#![allow(unsafe_code)] // Functions that plugins call through the C contract.

use std::collections::HashMap;
use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jnana_api::plugins::Segment;
use jnana_plugin_abi as abi;
use jnana_plugin_host::EncodedRows;
use jnana_plugin_host::contract::{Expected, check_times, copy_tensor, copy_text};

/// Longest text that is read from a plugin.
const MAX_TEXT: usize = 1 << 20;

/// Threads that instances are allowed.
pub(crate) const THREADS: u32 = 2;

/// What a call may push.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Takes {
    Nothing,
    Tensor(Expected),
    Text,
    /// A tensor, which is sent back as rejected.
    Rejects,
}

/// What a call did.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Record {
    pub(crate) rows: Option<EncodedRows>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) language: Option<String>,
    pub(crate) failure: Option<(i32, String)>,
    /// Pushes that broke the contract.
    pub(crate) breaches: Vec<String>,
    /// Tensors that came, good or not.
    pub(crate) tensors: usize,
}

/// A call that runs.
pub(crate) struct Live {
    takes: Takes,
    cancelled: AtomicBool,
    record: Mutex<Record>,
}

impl Live {
    /// From now on the call is told that nobody wants its result.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }
}

/// Host and sink. Never freed.
pub(crate) struct Probe {
    host: abi::Host,
    sink: abi::Sink,
    live: Mutex<HashMap<u64, Arc<Live>>>,
    late: Mutex<Vec<String>>,
    next: AtomicU64,
}

// SAFETY: the tables are immutable once made, their pointers are to the struct itself; the rest is synchronised.
unsafe impl Send for Probe {}
// SAFETY: as above.
unsafe impl Sync for Probe {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Probe {
    pub(crate) fn leak() -> &'static Self {
        let probe = Box::leak(Box::new(Self {
            host: abi::Host {
                size: abi::size_of::<abi::Host>(),
                reserved: 0,
                context: std::ptr::null_mut(),
                log: Some(log),
                now_ns: Some(now_ns),
                thread_budget: Some(thread_budget),
            },
            sink: abi::Sink {
                size: abi::size_of::<abi::Sink>(),
                reserved: 0,
                context: std::ptr::null_mut(),
                push_tensor: Some(push_tensor),
                push_segment: Some(push_segment),
                set_property: Some(set_property),
                fail: Some(fail),
                cancelled: Some(cancelled),
            },
            live: Mutex::default(),
            late: Mutex::default(),
            next: AtomicU64::new(1),
        }));
        let context = std::ptr::from_mut(probe).cast::<c_void>();
        probe.host.context = context;
        probe.sink.context = context;
        probe
    }

    pub(crate) fn host(&self) -> *const abi::Host {
        &raw const self.host
    }

    pub(crate) fn sink(&self) -> *const abi::Sink {
        &raw const self.sink
    }

    /// Opens the sink of a call.
    pub(crate) fn open(&self, takes: Takes) -> (u64, Arc<Live>) {
        let call = self.next.fetch_add(1, Ordering::Relaxed);
        let live = Arc::new(Live { takes, cancelled: AtomicBool::new(false), record: Mutex::default() });
        lock(&self.live).insert(call, Arc::clone(&live));
        (call, live)
    }

    /// Closes it, and takes what came.
    pub(crate) fn close(&self, call: u64) -> Record {
        let live = lock(&self.live).remove(&call);
        live.map(|live| std::mem::take(&mut *lock(&live.record))).unwrap_or_default()
    }

    /// Uses of the sink of a call that was over.
    pub(crate) fn late(&self) -> Vec<String> {
        lock(&self.late).clone()
    }

    fn note_late(&self, call: u64, function: &str) -> i32 {
        lock(&self.late).push(format!("{function} was called with call {call}, which is not running"));
        abi::ERROR_CLOSED
    }

    fn with(&self, call: u64, function: &str, body: impl FnOnce(Takes, &mut Record) -> i32) -> i32 {
        let live = lock(&self.live).get(&call).map(Arc::clone);
        match live {
            Some(live) => body(live.takes, &mut lock(&live.record)),
            None => self.note_late(call, function),
        }
    }
}

impl Record {
    fn breach(&mut self, what: String) -> i32 {
        self.breaches.push(what);
        abi::ERROR_REJECTED
    }
}

/// # Safety
/// `context` is that of a table of [`Probe::leak`].
unsafe fn probe(context: *mut c_void) -> Option<&'static Probe> {
    // SAFETY: said by the caller; it lives for as long as the process.
    unsafe { context.cast::<Probe>().as_ref() }
}

/// # Safety
/// `sink` is NULL or a table of [`Probe::leak`].
unsafe fn of_sink(sink: *const abi::Sink) -> Option<&'static Probe> {
    // SAFETY: said by the caller.
    unsafe { probe(sink.as_ref()?.context) }
}

unsafe extern "C" fn log(_host: *const abi::Host, _level: i32, message: *const c_char) {
    // SAFETY: the contract gives a zero-terminated message.
    if let Err(reason) = unsafe { copy_text(message, MAX_TEXT) } {
        eprintln!("a message for the log cannot be read: {reason}");
    }
}

unsafe extern "C" fn now_ns(_host: *const abi::Host) -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

unsafe extern "C" fn thread_budget(_host: *const abi::Host) -> u32 {
    THREADS
}

unsafe extern "C" fn push_tensor(
    sink: *const abi::Sink,
    call: u64,
    managed: *mut abi::DlManagedTensor,
) -> i32 {
    // SAFETY: the contract gives the table.
    let Some(probe) = (unsafe { of_sink(sink) }) else { return abi::ERROR_CLOSED };
    let status = probe.with(call, "push_tensor", |takes, record| {
        record.tensors += 1;
        match takes {
            Takes::Rejects => abi::ERROR_REJECTED,
            Takes::Nothing | Takes::Text => record.breach("a tensor was pushed where none may be".to_owned()),
            Takes::Tensor(_) if record.tensors > 1 => record.breach("a second tensor was pushed".to_owned()),
            // SAFETY: the contract gives a DLPack tensor that is good until its deleter runs, below.
            Takes::Tensor(expected) => match unsafe { copy_tensor(managed, expected) } {
                Ok(rows) => {
                    record.rows = Some(rows);
                    abi::OK
                }
                Err(reason) => record.breach(format!("a pushed tensor is wrong: {reason}")),
            },
        }
    });
    // SAFETY: the contract hands the tensor over with the push; nothing of it is used afterwards.
    unsafe {
        if let Some(deleter) = managed.as_ref().and_then(|managed| managed.deleter) {
            deleter(managed);
        }
    }
    status
}

unsafe extern "C" fn push_segment(sink: *const abi::Sink, call: u64, segment: *const abi::Segment) -> i32 {
    // SAFETY: the contract gives the table.
    let Some(probe) = (unsafe { of_sink(sink) }) else { return abi::ERROR_CLOSED };
    probe.with(call, "push_segment", |takes, record| {
        if !matches!(takes, Takes::Text) {
            return record.breach("a segment was pushed where none may be".to_owned());
        }
        // SAFETY: the contract lends the segment for the call.
        match unsafe { read_segment(segment) } {
            Ok(segment) if record.segments.last().is_some_and(|last| segment.start < last.start) => {
                record.breach(format!("a segment at {} s came after a later one", segment.start))
            }
            Ok(segment) => {
                record.segments.push(segment);
                abi::OK
            }
            Err(reason) => record.breach(format!("a pushed segment is wrong: {reason}")),
        }
    })
}

/// # Safety
/// `raw` is NULL or a segment of the contract.
unsafe fn read_segment(raw: *const abi::Segment) -> Result<Segment, String> {
    // SAFETY: said by the caller; `size` is read alone first, for the rest may be missing.
    let size = unsafe { raw.cast::<u32>().as_ref() }.ok_or("it is NULL")?;
    if *size < abi::size_of::<abi::Segment>() {
        return Err(format!("expected size {}, got {size}", abi::size_of::<abi::Segment>()));
    }
    // SAFETY: as large as it should be.
    let raw = unsafe { &*raw };
    check_times(raw.start, raw.end)?;
    // SAFETY: the contract gives a zero-terminated text.
    let text = unsafe { copy_text(raw.text, MAX_TEXT) }?;
    Ok(Segment { start: raw.start, end: raw.end, text })
}

unsafe extern "C" fn set_property(
    sink: *const abi::Sink,
    call: u64,
    key: *const c_char,
    value: *const c_char,
) -> i32 {
    // SAFETY: the contract gives the table.
    let Some(probe) = (unsafe { of_sink(sink) }) else { return abi::ERROR_CLOSED };
    probe.with(call, "set_property", |_, record| {
        // SAFETY: the contract lends zero-terminated strings for the call.
        let pair = unsafe { copy_text(key, MAX_TEXT).and_then(|key| Ok((key, copy_text(value, MAX_TEXT)?))) };
        match pair {
            Ok((key, value)) => {
                if key == "language" {
                    record.language = Some(value);
                }
                abi::OK
            }
            Err(reason) => record.breach(format!("a property cannot be read: {reason}")),
        }
    })
}

unsafe extern "C" fn fail(sink: *const abi::Sink, call: u64, code: i32, message: *const c_char) {
    // SAFETY: the contract gives the table.
    let Some(probe) = (unsafe { of_sink(sink) }) else { return };
    probe.with(call, "fail", |_, record| {
        // SAFETY: the contract lends a zero-terminated string for the call.
        match unsafe { copy_text(message, MAX_TEXT) } {
            Ok(words) => {
                record.failure.get_or_insert((code, words));
                abi::OK
            }
            Err(reason) => record.breach(format!("the words of a failure cannot be read: {reason}")),
        }
    });
}

unsafe extern "C" fn cancelled(sink: *const abi::Sink, call: u64) -> i32 {
    // SAFETY: the contract gives the table.
    let Some(probe) = (unsafe { of_sink(sink) }) else { return 1 };
    let live = lock(&probe.live).get(&call).map(Arc::clone);
    match live {
        Some(live) => i32::from(live.cancelled.load(Ordering::Acquire)),
        None => {
            probe.note_late(call, "cancelled");
            1
        }
    }
}
