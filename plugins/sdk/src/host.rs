//! The host's services, for code that runs inside a plugin.

#![allow(unsafe_code)] // Calls the function pointers of the C contract.

use std::cell::Cell;
use std::ffi::CString;
use std::time::Duration;

use jnana_plugin_abi as abi;

/// The host's services: its log, its clock, the thread budget. Copies may be kept and used from any thread.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    raw: *const abi::Host,
}

// SAFETY: the contract makes the table immutable, valid for as long as the process lives, and its functions [any-thread].
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

/// Severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For developers.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is off; the work goes on.
    Warn,
    /// Something failed.
    Error,
}

thread_local! {
    static CURRENT: Cell<Option<Host>> = const { Cell::new(None) };
}

impl Host {
    /// The host whose call runs on this thread: inside every method of [`crate::Plugin`] and its extensions, but for
    /// `manifest`. `None` elsewhere; a thread of the plugin's own gets a copy from who starts it.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.get()
    }

    /// Writes a line to the server's log, under the plugin's name.
    pub fn log(&self, level: Level, message: &str) {
        let level = match level {
            Level::Debug => abi::LOG_DEBUG,
            Level::Info => abi::LOG_INFO,
            Level::Warn => abi::LOG_WARN,
            Level::Error => abi::LOG_ERROR,
        };
        let message = c_string(message);
        // SAFETY: `raw` is a live table (see `new`), `message` lives through the call.
        if let Some(log) = unsafe { (*self.raw).log } {
            // SAFETY: as above.
            unsafe { log(self.raw, level, message.as_ptr()) };
        }
    }

    /// Time on the host's monotonic clock; only differences mean something.
    #[must_use]
    pub fn now(&self) -> Duration {
        // SAFETY: `raw` is a live table (see `new`).
        unsafe { (*self.raw).now_ns }.map_or(Duration::ZERO, |now| {
            // SAFETY: as above.
            Duration::from_nanos(unsafe { now(self.raw) })
        })
    }

    /// Most threads that the instance may keep busy at once, the caller's included.
    #[must_use]
    pub fn threads(&self) -> usize {
        // SAFETY: `raw` is a live table (see `new`).
        unsafe { (*self.raw).thread_budget }.map_or(1, |budget| {
            // SAFETY: as above.
            (unsafe { budget(self.raw) } as usize).max(1)
        })
    }

    /// Wraps the table of a host.
    ///
    /// # Safety
    /// `raw` is the table that the host gave to `create`, at least as large as this crate's mirror.
    pub(crate) unsafe fn new(raw: *const abi::Host) -> Self {
        Self { raw }
    }

    /// Runs `body` with this host as the thread's current one.
    pub(crate) fn enter<R>(self, body: impl FnOnce() -> R) -> R {
        struct Restore(Option<Host>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }
        let _restore = Restore(CURRENT.replace(Some(self)));
        body()
    }
}

/// A C string of a text: a zero inside would cut it, so zeros become U+FFFD.
pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}
