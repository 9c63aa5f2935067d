//! The f32 values of tensors on the CPU, as slices: what kernels read.

use candle_core::{CpuStorage, Layout, Result, Storage, StorageRef, Tensor, bail};

/// The contiguous f32 values behind a storage and its layout; `op` is for messages.
pub(crate) fn contiguous<'a>(
    op: &'static str,
    storage: &'a CpuStorage,
    layout: &Layout,
) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("{op}: expected contiguous values, got strides {:?}", layout.stride()),
    }
}

/// The values of a tensor, held for reading.
pub(crate) struct Values<'a> {
    storage: StorageRef<'a>,
    layout: &'a Layout,
}

impl<'a> Values<'a> {
    pub(crate) fn of(tensor: &'a Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self { storage, layout }
    }

    /// All of them in order; `op` is for messages.
    pub(crate) fn as_slice(&self, op: &'static str) -> Result<&[f32]> {
        match &*self.storage {
            Storage::Cpu(storage) => contiguous(op, storage, self.layout),
            _ => bail!("{op}: expected a tensor on the CPU"),
        }
    }
}
