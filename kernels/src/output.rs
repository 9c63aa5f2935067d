//! Numbers that several threads write, each at places of its own.

#![allow(unsafe_code)]

/// Where the threads write.
pub(crate) struct Output {
    at: *mut f32,
    len: usize,
}

// SAFETY: the memory is only written, and whoever calls `write` sees to it that no two threads write to one place.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

impl Output {
    /// Writes `values` from place `at` on.
    ///
    /// # Panics
    /// When they end behind the numbers.
    ///
    /// # Safety
    /// Nothing else writes to these places at the same time.
    #[inline(always)]
    pub(crate) unsafe fn write(&self, at: usize, values: &[f32]) {
        assert!(at <= self.len && values.len() <= self.len - at, "{at} and {} of {}", values.len(), self.len);
        // SAFETY: the places are inside of the numbers, which nobody else touches here.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.at.add(at), values.len()) };
    }
}

/// `len` numbers, as `fill` writes them.
///
/// # Safety
/// `fill` writes every one of them.
pub(crate) unsafe fn filled(len: usize, fill: impl FnOnce(&Output)) -> Vec<f32> {
    let mut numbers: Vec<f32> = Vec::with_capacity(len);
    fill(&Output { at: numbers.as_mut_ptr(), len });
    // SAFETY: there is room for them, and `fill` has written them.
    unsafe { numbers.set_len(len) };
    numbers
}
