//! Memory that ends at a page which cannot be touched: who reads past its end crashes, there and then.

#![allow(unsafe_code)] // mmap and mprotect have no counterpart in the standard library.

use std::ffi::c_void;

/// Bytes right before a page without access.
pub(crate) struct Guarded {
    base: *mut c_void,
    mapped: usize,
    start: *mut u8,
    length: usize,
}

// SAFETY: plain memory that nobody changes once it is made.
unsafe impl Sync for Guarded {}

impl Guarded {
    /// A copy of `bytes`.
    pub(crate) fn new(bytes: &[u8]) -> Result<Self, String> {
        let failed = || format!("mapping memory: {}", std::io::Error::last_os_error());
        // SAFETY: asks for a number.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        let usable = bytes.len().div_ceil(page) * page;
        let mapped = usable + page;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new memory at a place of the kernel's choice.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), mapped, access, kind, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(failed());
        }
        // SAFETY: inside of the mapping: `usable` bytes and one page more.
        let (start, guard) =
            unsafe { (base.cast::<u8>().add(usable - bytes.len()), base.cast::<u8>().add(usable)) };
        let memory = Self { base, mapped, start, length: bytes.len() };
        // SAFETY: `length` bytes of the mapping, which nobody else knows yet; the last page becomes untouchable.
        let done = unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len());
            libc::mprotect(guard.cast(), page, libc::PROT_NONE)
        };
        if done != 0 {
            return Err(failed());
        }
        Ok(memory)
    }

    /// Its first byte; when there is none, one that cannot be touched. Never NULL.
    pub(crate) fn start(&self) -> *const u8 {
        self.start
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`; nothing borrowed from it is left.
        unsafe { libc::munmap(self.base, self.mapped) };
    }
}
