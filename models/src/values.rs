//! The f32 values of tensors on the CPU, as slices: what kernels read.

use candle_core::{CpuStorage, Layout, Result, Storage, StorageRef, Tensor, bail};
use jnana_kernels::Matrix;

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

/// The f32 matrix behind a storage and its layout, whatever its strides; `op` is for messages.
pub(crate) fn matrix<'a>(op: &'static str, storage: &'a CpuStorage, layout: &Layout) -> Result<Matrix<'a>> {
    let (dims, strides) = (layout.dims(), layout.stride());
    let (&[rows, columns], &[row_stride, column_stride]) = (dims, strides) else {
        bail!("{op}: expected a matrix, got {dims:?}");
    };
    let values = &storage.as_slice::<f32>()?[layout.start_offset()..];
    Ok(Matrix::strided(values, (rows, columns), (row_stride, column_stride)))
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

    /// As a matrix, whatever its strides; `op` is for messages.
    pub(crate) fn as_matrix(&self, op: &'static str) -> Result<Matrix<'_>> {
        match &*self.storage {
            Storage::Cpu(storage) => matrix(op, storage, self.layout),
            _ => bail!("{op}: expected a tensor on the CPU"),
        }
    }
}
