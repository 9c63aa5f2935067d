//! What a plugin has done so far, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts since the host opened the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Calls that reached the plugin.
    pub calls: u64,
    /// Calls of those that failed for another reason than being cancelled.
    pub errors: u64,
    /// Calls of those that panicked, or ended with their worker.
    pub panics: u64,
    /// Time spent inside the plugin, in milliseconds, summed over calls.
    pub total_ms: u64,
    /// Uses of a sink after its call had returned.
    pub late_sink_uses: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: AtomicU64,
    errors: AtomicU64,
    panics: AtomicU64,
    total_us: AtomicU64,
}

impl Counters {
    pub(crate) fn record(&self, took: Duration, failed: bool, panicked: bool) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.errors.fetch_add(failed.into(), Ordering::Relaxed);
        self.panics.fetch_add(panicked.into(), Ordering::Relaxed);
        self.total_us.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self, late_sink_uses: u64) -> Statistics {
        Statistics {
            calls: self.calls.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            panics: self.panics.load(Ordering::Relaxed),
            total_ms: self.total_us.load(Ordering::Relaxed) / 1000,
            late_sink_uses,
        }
    }
}
