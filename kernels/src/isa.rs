//! Which instruction set kernels run with: the best that the processor has, found out at run time.

#![allow(unsafe_code)]

use std::sync::OnceLock;

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
use crate::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use crate::lanes::{Avx2, Avx512};
use crate::lanes::{Lanes, Scalar};

/// An instruction set that this processor has; there are no values of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isa {
    /// Nothing in particular.
    Scalar,
    /// AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, BW and VNNI beside them.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// NEON.
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    Neon,
}

/// Something to compute in the lanes of any instruction set.
pub(crate) trait Kernel {
    type Output;

    /// Has to be inlined, as all that it calls: it takes the instruction set of the function that it is inlined into.
    ///
    /// # Safety
    /// The processor has the instruction set of `L`.
    unsafe fn run<L: Lanes>(self) -> Self::Output;
}

impl Isa {
    /// All that the processor has, the best last.
    pub(crate) fn available() -> Vec<Self> {
        let mut sets = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni");
            sets.extend(avx2.then_some(Self::Avx2));
            sets.extend((avx2 && avx512).then_some(Self::Avx512));
        }
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        sets.push(Self::Neon);
        sets
    }

    /// The best.
    pub(crate) fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().pop().unwrap_or(Self::Scalar))
    }

    /// Runs `kernel` with it.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the processor has this instruction set, or there would be no such value.
        unsafe {
            match self {
                Self::Scalar => kernel.run::<Scalar>(),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => with_avx2(kernel),
                #[cfg(target_arch = "x86_64")]
                Self::Avx512 => with_avx512(kernel),
                #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
                Self::Neon => kernel.run::<Neon>(),
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn with_avx2<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: who calls this has the instruction set.
    unsafe { kernel.run::<Avx2>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vnni")]
fn with_avx512<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: who calls this has the instruction set.
    unsafe { kernel.run::<Avx512>() }
}
