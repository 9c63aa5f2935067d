//! The lanes of a panel from memory and back.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use crate::lanes::{Lanes, MAX_PARTS, PANEL, Wide};

/// Sixteen numbers as lanes.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn load<L: Lanes>(numbers: &[f32; PANEL]) -> Wide<L> {
    load_from::<L>(numbers.as_ptr())
}

/// The sixteen numbers from `at` on as lanes.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn load_from<L: Lanes>(at: *const f32) -> Wide<L> {
    let mut lanes = [L::splat(0.); MAX_PARTS];
    for (part, lanes) in lanes.iter_mut().enumerate().take(L::PARTS) {
        *lanes = L::load(at.add(part * L::LANES));
    }
    lanes
}

/// Up to sixteen numbers as lanes, with zeros behind them.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn load_some<L: Lanes>(numbers: &[f32]) -> Wide<L> {
    if let Ok(whole) = <&[f32; PANEL]>::try_from(numbers) {
        return load::<L>(whole);
    }
    let mut padded = [0.; PANEL];
    padded[..numbers.len()].copy_from_slice(numbers);
    load::<L>(&padded)
}

/// Lanes as sixteen numbers.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn numbers<L: Lanes>(lanes: &Wide<L>) -> [f32; PANEL] {
    let mut numbers = [0.; PANEL];
    for (part, lanes) in lanes.iter().enumerate().take(L::PARTS) {
        L::store(numbers.as_mut_ptr().add(part * L::LANES), *lanes);
    }
    numbers
}

/// Several times the same. Whatever comes after takes numbers by their place in memory, so that the lanes themselves may stay
/// in registers as long as they are summed up.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn all_numbers<L: Lanes, const COUNT: usize>(
    lanes: &[Wide<L>; COUNT],
) -> [[f32; PANEL]; COUNT] {
    let mut all = [[0.; PANEL]; COUNT];
    for (numbers, lanes) in all.iter_mut().zip(lanes) {
        for (part, lanes) in lanes.iter().enumerate().take(L::PARTS) {
            L::store(numbers.as_mut_ptr().add(part * L::LANES), *lanes);
        }
    }
    all
}

/// Lane by lane `a + b`.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn sum<L: Lanes>(a: &Wide<L>, b: &Wide<L>) -> Wide<L> {
    let mut sums = *a;
    for (sum, b) in sums.iter_mut().zip(b).take(L::PARTS) {
        *sum = L::add(*sum, *b);
    }
    sums
}
