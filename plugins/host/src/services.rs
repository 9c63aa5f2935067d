//! The host's services for a plugin: log, clock, thread budget.

#![allow(unsafe_code)] // Functions that plugins call through the C contract.

use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::Instant;

use jnana_plugin_abi as abi;

use crate::ear::Ear;
use crate::strings;

/// The table of services for one plugin and what stands behind it. Never freed: a plugin may keep the pointer.
pub(crate) struct Services {
    table: abi::Host,
    ear: Box<dyn Ear>,
    threads: u32,
}

// SAFETY: immutable once made; the pointer inside is to itself.
unsafe impl Send for Services {}
// SAFETY: as above.
unsafe impl Sync for Services {}

impl Services {
    /// Makes the services of a plugin, for as long as the process lives.
    pub(crate) fn leak(ear: Box<dyn Ear>, threads: u32) -> &'static Self {
        let services = Box::leak(Box::new(Self {
            table: abi::Host {
                size: abi::size_of::<abi::Host>(),
                reserved: 0,
                context: std::ptr::null_mut(),
                log: Some(log),
                now_ns: Some(now_ns),
                thread_budget: Some(thread_budget),
            },
            ear,
            threads: threads.max(1),
        }));
        services.table.context = std::ptr::from_mut(services).cast::<c_void>();
        services
    }

    pub(crate) fn table(&self) -> *const abi::Host {
        &raw const self.table
    }
}

/// # Safety
/// `host` is NULL or a table of [`Services::leak`].
unsafe fn services(host: *const abi::Host) -> Option<&'static Services> {
    // SAFETY: said by the caller; both live for as long as the process.
    unsafe { host.as_ref()?.context.cast::<Services>().as_ref() }
}

unsafe extern "C" fn log(host: *const abi::Host, level: i32, message: *const c_char) {
    let write = || {
        // SAFETY: the contract gives the table and a zero-terminated message.
        let Some(services) = (unsafe { services(host) }) else { return };
        // SAFETY: as above.
        let message = match unsafe { strings::copy(message, strings::MAX_TEXT) } {
            Ok(message) => message,
            Err(reason) => format!("the plugin logged a message that cannot be read: {reason}"),
        };
        services.ear.log(level, &message);
    };
    // A subscriber that panics must not unwind into the plugin.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(write)) {
        std::mem::forget(payload);
    }
}

unsafe extern "C" fn now_ns(_host: *const abi::Host) -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

unsafe extern "C" fn thread_budget(host: *const abi::Host) -> u32 {
    // SAFETY: the contract gives the table.
    unsafe { services(host) }.map_or(1, |services| services.threads)
}
