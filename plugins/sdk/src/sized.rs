//! Structs of the contract say how large they are; what lies beyond that is not theirs.

#![allow(unsafe_code)] // Turns the contract's pointers into references.

/// Borrows a struct that is at least as large as this crate knows it. Its size is read alone first: a reference to more
/// than there is would be wrong even if nobody used it.
///
/// # Safety
/// `raw` is NULL, or a struct of the contract, which starts with its `size`, and lives for `'a`.
pub(crate) unsafe fn whole<'a, T>(raw: *const T) -> Option<&'a T> {
    // SAFETY: said by the caller.
    let size = unsafe { raw.cast::<u32>().as_ref() }?;
    if (*size as usize) < size_of::<T>() {
        return None;
    }
    // SAFETY: as large as it should be.
    Some(unsafe { &*raw })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    struct Two {
        size: u32,
        more: u32,
    }

    #[test]
    fn a_struct_that_ends_early_is_not_borrowed() {
        let borrow = |size| {
            let two = Two { size, more: 7 };
            // SAFETY: alive, and starts with a size.
            unsafe { whole(&raw const two) }.map(|two| two.more)
        };
        assert_eq!((borrow(4), borrow(8), borrow(100)), (None, Some(7), Some(7)));
        // SAFETY: NULL is allowed.
        assert!(unsafe { whole(std::ptr::null::<Two>()) }.is_none());
    }
}
