//! Hands rows over as a DLPack tensor.

#![allow(unsafe_code)] // Makes and frees the contract's tensors.

use std::ffi::c_void;

use jnana_plugin_abi as abi;

use crate::{Embeddings, Error};

/// A tensor and what it points to, freed as one by its deleter.
struct Owned {
    managed: abi::DlManagedTensor,
    shape: [i64; 2],
    strides: [i64; 2],
    values: Vec<f32>,
}

/// Puts rows on the heap as `[positions, width]` f32. The receiver frees them with the deleter.
pub(crate) fn export(rows: Embeddings) -> Result<*mut abi::DlManagedTensor, Error> {
    let Embeddings { values, width } = rows;
    if width == 0 || values.is_empty() || !values.len().is_multiple_of(width) {
        return Err(Error::internal(format!(
            "the plugin made {} values, which are no rows of width {width}",
            values.len()
        )));
    }
    let too_large = |_| Error::internal("the plugin made more values than a tensor can count");
    let positions = i64::try_from(values.len() / width).map_err(too_large)?;
    let width = i64::try_from(width).map_err(too_large)?;
    let owned = Box::into_raw(Box::new(Owned {
        managed: abi::DlManagedTensor {
            version_major: abi::DL_MAJOR,
            version_minor: 0,
            manager_ctx: std::ptr::null_mut(),
            deleter: Some(delete),
            flags: 0,
            tensor: abi::DlTensor {
                data: std::ptr::null_mut(),
                device: abi::DlDevice { device_type: abi::DL_CPU, device_id: 0 },
                ndim: 2,
                dtype: abi::DlDataType { code: abi::DL_FLOAT, bits: 32, lanes: 1 },
                shape: std::ptr::null_mut(),
                strides: std::ptr::null_mut(),
                byte_offset: 0,
            },
        },
        shape: [positions, width],
        strides: [width, 1],
        values,
    }));
    // SAFETY: `owned` was made above and nobody else has it; the pointers stay good since the box does not move.
    unsafe {
        (*owned).managed.manager_ctx = owned.cast::<c_void>();
        (*owned).managed.tensor.data = (*owned).values.as_mut_ptr().cast::<c_void>();
        (*owned).managed.tensor.shape = (&raw mut (*owned).shape).cast::<i64>();
        (*owned).managed.tensor.strides = (&raw mut (*owned).strides).cast::<i64>();
        Ok(&raw mut (*owned).managed)
    }
}

/// Frees what [`export`] made.
pub(crate) unsafe extern "C" fn delete(tensor: *mut abi::DlManagedTensor) {
    // SAFETY: the contract gives back the pointer of `export`, once; its context is the box.
    drop(unsafe { Box::from_raw((*tensor).manager_ctx.cast::<Owned>()) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exported_rows_can_be_read_and_freed() {
        let values = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let tensor = export(Embeddings { values: values.clone(), width: 3 }).unwrap();
        // SAFETY: just made; freed once at the end.
        unsafe {
            let inner = &(*tensor).tensor;
            assert_eq!(std::slice::from_raw_parts(inner.shape, 2), [2, 3]);
            assert_eq!(std::slice::from_raw_parts(inner.strides, 2), [3, 1]);
            assert_eq!(std::slice::from_raw_parts(inner.data.cast::<f32>(), 6), values);
            (*tensor).deleter.unwrap()(tensor);
        }
    }

    #[test]
    fn ragged_rows_are_refused_with_their_numbers() {
        let error = export(Embeddings { values: vec![0.0; 5], width: 2 }).unwrap_err();
        assert!(error.message.contains('5') && error.message.contains('2'), "{error}");
        assert!(export(Embeddings { values: vec![], width: 2 }).is_err());
        assert!(export(Embeddings { values: vec![1.0], width: 0 }).is_err());
    }
}
