//! The values of tensors on the CPU, in f32 unless it says otherwise, as slices: what kernels read.

use candle_core::{CpuStorage, Layout, Result, Storage, StorageRef, Tensor, WithDType, bail};
use half::f16;
use jnana_kernels::Matrix;

/// The contiguous f32 values behind a storage and its layout; `op` is for messages.
pub(crate) fn contiguous<'a>(
    op: &'static str,
    storage: &'a CpuStorage,
    layout: &Layout,
) -> Result<&'a [f32]> {
    contiguous_as(op, storage, layout)
}

fn contiguous_as<'a, T: WithDType>(
    op: &'static str,
    storage: &'a CpuStorage,
    layout: &Layout,
) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<T>()?[start..end]),
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
        contiguous(op, self.on_cpu(op)?, self.layout)
    }

    /// All of them in order where they are in f16; `op` is for messages.
    pub(crate) fn as_halves(&self, op: &'static str) -> Result<&[f16]> {
        contiguous_as(op, self.on_cpu(op)?, self.layout)
    }

    /// As a matrix, whatever its strides; `op` is for messages.
    pub(crate) fn as_matrix(&self, op: &'static str) -> Result<Matrix<'_>> {
        matrix(op, self.on_cpu(op)?, self.layout)
    }

    fn on_cpu(&self, op: &'static str) -> Result<&CpuStorage> {
        match &*self.storage {
            Storage::Cpu(storage) => Ok(storage),
            _ => bail!("{op}: expected a tensor on the CPU"),
        }
    }
}
