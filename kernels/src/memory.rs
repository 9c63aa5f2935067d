//! Memory for weights: pieces of a few large blocks that begin and end with a huge page, which the system is asked for. A
//! product reads each weight once, so without huge pages every fourth kilobyte begins with a walk through page tables.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Pieces begin at multiples of this: a cache line, and a vector of codes.
const ALIGNMENT: usize = 64;

/// A huge page.
const PAGE: usize = 2 << 20;

/// Bytes of a block, unless one piece is larger. What no piece has taken yet is not in use.
const BLOCK: usize = 32 << 20;

/// The block that the next pieces come from, and how much of it is taken.
static OPEN: Mutex<(Weak<Block>, usize)> = Mutex::new((Weak::new(), 0));

struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a block is memory and nothing else; its pieces are borrowed as slices by the rules of their own.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    fn new(bytes: usize) -> Self {
        let rounded = bytes.max(BLOCK).checked_next_multiple_of(PAGE);
        let layout = rounded.and_then(|size| Layout::from_size_align(size, PAGE).ok());
        let Some(layout) = layout else { panic!("a piece of memory of {bytes} bytes") };
        // SAFETY: the size is not zero.
        let start = unsafe { alloc(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        ask_for_huge_pages(start, layout.size());
        Self { start, layout }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout, and its last piece is gone.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// A system without huge pages says no, which changes nothing.
fn ask_for_huge_pages(start: NonNull<u8>, bytes: usize) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: whole pages that belong to the caller; the advice does not change what they hold.
    unsafe {
        libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE);
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = (start, bytes);
}

/// A piece: bytes of its own, from a multiple of 64 on.
pub(crate) struct Memory {
    block: Arc<Block>,
    start: usize,
    len: usize,
}

impl Memory {
    /// `len` zeros.
    pub(crate) fn zeroed(len: usize) -> Self {
        let mut memory = Self::take(len);
        // SAFETY: the piece lies in its block, and nobody else has it.
        unsafe { memory.as_mut_ptr().write_bytes(0, len) };
        memory
    }

    /// Bytes that were not written yet.
    fn take(len: usize) -> Self {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let (weak, taken) = &mut *open;
        let room = weak.upgrade().filter(|block| len <= block.layout.size() - *taken);
        let block = room.unwrap_or_else(|| {
            let block = Arc::new(Block::new(len));
            (*weak, *taken) = (Arc::downgrade(&block), 0);
            block
        });
        let start = *taken;
        *taken = (start + len).next_multiple_of(ALIGNMENT);
        Self { block, start, len }
    }

    /// The first byte.
    pub(crate) fn as_ptr(&self) -> *const u8 {
        // SAFETY: the piece lies in its block.
        unsafe { self.block.start.as_ptr().add(self.start) }
    }

    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.as_ptr().cast_mut()
    }

    /// The bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        // SAFETY: they were written when the piece was made, and are borrowed with it.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len) }
    }

    /// The bytes, to be changed.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the piece is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_zero_aligned_and_apart() {
        let mut pieces: Vec<Memory> = [1, 64, 65, 0, 1 << 20, BLOCK + 1, 100].map(Memory::zeroed).into();
        for (number, piece) in (1..).zip(&mut pieces) {
            assert_eq!(piece.as_ptr() as usize % ALIGNMENT, 0);
            assert!(piece.as_slice().iter().all(|byte| *byte == 0));
            piece.as_mut_slice().fill(number);
        }
        for (number, piece) in (1..).zip(&pieces) {
            assert!(piece.as_slice().iter().all(|byte| *byte == number));
        }
    }
}
