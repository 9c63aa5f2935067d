//! Where calls put what they make.
//!
//! A plugin knows its running call by a number that is never given twice, and the table of functions is never freed. So a
//! thread of a plugin that goes on after its call touches nothing that is gone: its number is not found among the live
//! calls, and the use is written down as a fault of the plugin.

#![allow(unsafe_code)] // Functions that plugins call through the C contract.

use std::collections::HashMap;
use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jnana_api::plugins::Segment;
use jnana_plugin_abi as abi;

use crate::call::CancelFlag;
use crate::collect::{Accepts, Collected, Collecting, check_times};
use crate::ear::Ear;
use crate::faults::Faults;
use crate::{strings, tensor};

struct Live {
    cancel: CancelFlag,
    state: Mutex<State>,
}

struct State {
    open: bool,
    collecting: Collecting,
}

/// The sinks of one plugin. Never freed.
pub(crate) struct Sinks {
    table: abi::Sink,
    ear: Box<dyn Ear>,
    live: Mutex<HashMap<u64, Arc<Live>>>,
    faults: Faults,
}

// SAFETY: the table is immutable once made, its pointer is to the struct itself; the rest is synchronised.
unsafe impl Send for Sinks {}
// SAFETY: as above.
unsafe impl Sync for Sinks {}

/// A panic of ours while a lock was held leaves plain data behind that is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sinks {
    /// Makes the sinks of a plugin, for as long as the process lives.
    pub(crate) fn leak(ear: Box<dyn Ear>) -> &'static Self {
        let sinks = Box::leak(Box::new(Self {
            table: abi::Sink {
                size: abi::size_of::<abi::Sink>(),
                reserved: 0,
                context: std::ptr::null_mut(),
                push_tensor: Some(push_tensor),
                push_segment: Some(push_segment),
                set_property: Some(set_property),
                fail: Some(fail),
                cancelled: Some(cancelled),
            },
            ear,
            live: Mutex::default(),
            faults: Faults::default(),
        }));
        sinks.table.context = std::ptr::from_mut(sinks).cast::<c_void>();
        sinks
    }

    pub(crate) fn table(&self) -> *const abi::Sink {
        &raw const self.table
    }

    /// Opens the sink of a new call.
    pub(crate) fn open(&'static self, accepts: Accepts, cancel: &CancelFlag) -> OpenSink {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let call = NEXT.fetch_add(1, Ordering::Relaxed);
        let state = Mutex::new(State { open: true, collecting: Collecting::new(accepts) });
        let live = Arc::new(Live { cancel: cancel.clone(), state });
        lock(&self.live).insert(call, Arc::clone(&live));
        OpenSink { sinks: self, call, live }
    }

    /// Uses of a sink after its call.
    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    fn late(&self, call: u64, function: &str) -> i32 {
        let fault = format!("{function} was called with call {call}, which is not running");
        self.ear.fault(&fault);
        self.faults.note(&fault);
        abi::ERROR_CLOSED
    }

    /// Runs `body` on the state of a live call; a call that is over is a fault.
    fn with(&self, call: u64, function: &str, body: impl FnOnce(&mut Collecting) -> i32) -> i32 {
        let found = lock(&self.live).get(&call).map(Arc::clone);
        let Some(live) = found else { return self.late(call, function) };
        let mut state = lock(&live.state);
        // The call may have ended between the two locks.
        if state.open {
            body(&mut state.collecting)
        } else {
            drop(state);
            self.late(call, function)
        }
    }
}

/// The sink of a running call; closes when dropped.
pub(crate) struct OpenSink {
    sinks: &'static Sinks,
    call: u64,
    live: Arc<Live>,
}

impl OpenSink {
    pub(crate) fn table(&self) -> *const abi::Sink {
        self.sinks.table()
    }

    pub(crate) fn call(&self) -> u64 {
        self.call
    }

    /// Closes the sink, waiting for a push that is under way, and takes what it holds.
    pub(crate) fn close(self) -> Collected {
        let mut state = lock(&self.live.state);
        state.open = false;
        state.collecting.finish()
    }
}

impl Drop for OpenSink {
    fn drop(&mut self) {
        lock(&self.live.state).open = false;
        lock(&self.sinks.live).remove(&self.call);
    }
}

/// # Safety
/// `sink` is NULL or a table of [`Sinks::leak`].
unsafe fn sinks(sink: *const abi::Sink) -> Option<&'static Sinks> {
    // SAFETY: said by the caller; both live for as long as the process.
    unsafe { sink.as_ref()?.context.cast::<Sinks>().as_ref() }
}

/// Runs what a plugin asked for; a panic in it (a reader's, a log subscriber's) must not unwind into the plugin.
fn guard(body: impl FnOnce() -> i32) -> i32 {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        std::mem::forget(payload);
        abi::ERROR_INTERNAL
    })
}

unsafe extern "C" fn push_tensor(
    sink: *const abi::Sink,
    call: u64,
    managed: *mut abi::DlManagedTensor,
) -> i32 {
    let status = guard(|| {
        // SAFETY: the contract gives the table.
        let Some(sinks) = (unsafe { sinks(sink) }) else { return abi::ERROR_CLOSED };
        sinks.with(call, "push_tensor", |state| {
            let expected = match state.expected() {
                Ok(expected) => expected,
                Err(reason) => return state.reject(reason.to_owned()),
            };
            // SAFETY: the contract gives a DLPack tensor that is good until its deleter runs, below.
            match unsafe { tensor::copy(managed, expected) } {
                Ok(rows) => {
                    state.collected.rows = Some(rows);
                    abi::OK
                }
                Err(reason) => state.reject(format!("a pushed tensor is wrong: {reason}")),
            }
        })
    });
    // Outside of the guard: whatever happened above, the tensor goes back exactly once.
    // SAFETY: the contract hands the tensor over with the push; nothing of it is used afterwards.
    unsafe {
        if let Some(deleter) = managed.as_ref().and_then(|managed| managed.deleter) {
            deleter(managed);
        }
    }
    status
}

unsafe extern "C" fn push_segment(sink: *const abi::Sink, call: u64, segment: *const abi::Segment) -> i32 {
    guard(|| {
        // SAFETY: the contract gives the table.
        let Some(sinks) = (unsafe { sinks(sink) }) else { return abi::ERROR_CLOSED };
        sinks.with(call, "push_segment", |state| {
            // SAFETY: the contract lends the segment for the call.
            match unsafe { read_segment(segment) } {
                Ok(segment) => state.segment(segment),
                Err(reason) => state.reject(format!("a pushed segment is wrong: {reason}")),
            }
        })
    })
}

/// # Safety
/// `raw` is NULL or a segment of the contract.
unsafe fn read_segment(raw: *const abi::Segment) -> Result<Segment, String> {
    // SAFETY: said by the caller; `size` is read alone first, for the rest may be missing.
    let Some(size) = (unsafe { raw.cast::<u32>().as_ref() }) else { return Err("it is NULL".to_owned()) };
    if *size < abi::size_of::<abi::Segment>() {
        return Err(format!("expected size {}, got {size}", abi::size_of::<abi::Segment>()));
    }
    // SAFETY: the struct is as large as it should be.
    let raw = unsafe { &*raw };
    check_times(raw.start, raw.end)?;
    // SAFETY: the contract gives a zero-terminated text.
    let text =
        unsafe { strings::copy(raw.text, strings::MAX_TEXT) }.map_err(|reason| format!("text: {reason}"))?;
    Ok(Segment { start: raw.start, end: raw.end, text })
}

unsafe extern "C" fn set_property(
    sink: *const abi::Sink,
    call: u64,
    key: *const c_char,
    value: *const c_char,
) -> i32 {
    guard(|| {
        // SAFETY: the contract gives the table.
        let Some(sinks) = (unsafe { sinks(sink) }) else { return abi::ERROR_CLOSED };
        sinks.with(call, "set_property", |state| {
            if !state.takes_properties() {
                return state.reject("this call takes no properties".to_owned());
            }
            // SAFETY: the contract lends zero-terminated strings for the call.
            let pair = unsafe {
                strings::copy(key, strings::MAX_TEXT)
                    .and_then(|key| Ok((key, strings::copy(value, strings::MAX_TEXT)?)))
            };
            match pair {
                Ok((key, value)) => state.property(&key, value),
                Err(reason) => state.reject(format!("a property cannot be read: {reason}")),
            }
        })
    })
}

unsafe extern "C" fn fail(sink: *const abi::Sink, call: u64, code: i32, message: *const c_char) {
    guard(|| {
        // SAFETY: the contract gives the table.
        let Some(sinks) = (unsafe { sinks(sink) }) else { return abi::ERROR_CLOSED };
        sinks.with(call, "fail", |state| {
            // SAFETY: the contract lends a zero-terminated string for the call.
            let message = unsafe { strings::copy(message, strings::MAX_TEXT) }
                .unwrap_or_else(|reason| format!("the plugin's message cannot be read: {reason}"));
            state.collected.failure.get_or_insert((code, message));
            abi::OK
        })
    });
}

unsafe extern "C" fn cancelled(sink: *const abi::Sink, call: u64) -> i32 {
    let asked = guard(|| {
        // SAFETY: the contract gives the table.
        let Some(sinks) = (unsafe { sinks(sink) }) else { return 1 };
        // Not through `with`: a slow reader holds the state, and this has to answer meanwhile.
        let live = lock(&sinks.live).get(&call).map(Arc::clone);
        match live {
            Some(live) => i32::from(live.cancel.is_cancelled()),
            None => sinks.late(call, "cancelled"),
        }
    });
    i32::from(asked != 0)
}
