//! Breaches of the contract that cost no call: uses of a sink after its call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Most faults that are kept in words; all are counted.
const KEPT: usize = 16;

/// What is known of a plugin's faults, over all of its instances.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    count: AtomicU64,
    words: Mutex<Vec<String>>,
}

impl Faults {
    pub(crate) fn note(&self, fault: &str) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.len() < KEPT {
            words.push(fault.to_owned());
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// In words, the oldest first.
    pub(crate) fn words(&self) -> Vec<String> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
