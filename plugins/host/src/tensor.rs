//! Copies what a plugin pushes out of its DLPack tensor, after checking all that can be checked.

#![allow(unsafe_code)] // Reads tensors through the pointers of the contract.

use half::{bf16, f16};
use jnana_plugin_abi as abi;
use serde::{Deserialize, Serialize};

use crate::call::EncodedRows;

/// Most values that a tensor without a stated limit may have: 1 GiB of f32.
const MAX_VALUES: usize = 1 << 28;

/// What a call may push.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Expected {
    /// Width of the rows; `None`: the plugin's own.
    pub width: Option<usize>,
    /// Most rows.
    pub max_positions: usize,
}

impl Expected {
    /// Positions and width of a shape that may be pushed.
    pub(crate) fn check(self, shape: [i64; 2]) -> Result<(usize, usize), String> {
        let sizes = shape.map(|size| usize::try_from(size).ok().filter(|size| *size > 0));
        let [Some(positions), Some(width)] = sizes else {
            return Err(format!("expected a shape of positive sizes, got {shape:?}"));
        };
        if let Some(wanted) = self.width
            && width != wanted
        {
            return Err(format!("expected rows of width {wanted}, got shape {shape:?}"));
        }
        if positions > self.max_positions {
            return Err(format!("expected at most {} positions, got shape {shape:?}", self.max_positions));
        }
        if positions.checked_mul(width).is_none_or(|count| count > MAX_VALUES) {
            return Err(format!("expected at most {MAX_VALUES} values, got shape {shape:?}"));
        }
        Ok((positions, width))
    }
}

#[derive(Clone, Copy)]
enum Element {
    F32,
    F16,
    Bf16,
}

impl Element {
    fn of(dtype: abi::DlDataType) -> Result<Self, String> {
        match (dtype.code, dtype.bits, dtype.lanes) {
            (abi::DL_FLOAT, 32, 1) => Ok(Self::F32),
            (abi::DL_FLOAT, 16, 1) => Ok(Self::F16),
            (abi::DL_BFLOAT, 16, 1) => Ok(Self::Bf16),
            (code, bits, lanes) => Err(format!(
                "expected elements of f32, f16 or bf16, got DLPack code {code} with {bits} bits and {lanes} lanes"
            )),
        }
    }

    fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// # Safety
    /// `at` can be read for [`Self::size`] bytes; any alignment will do.
    unsafe fn read(self, at: *const u8) -> f32 {
        // SAFETY: said by the caller, for each arm.
        unsafe {
            match self {
                Self::F32 => at.cast::<f32>().read_unaligned(),
                Self::F16 => f16::from_bits(at.cast::<u16>().read_unaligned()).to_f32(),
                Self::Bf16 => bf16::from_bits(at.cast::<u16>().read_unaligned()).to_f32(),
            }
        }
    }
}

/// Shape and steps of a tensor that passed the checks.
struct Layout {
    positions: usize,
    width: usize,
    row_step: usize,
}

/// Copies a tensor. The error says which rule it breaks.
///
/// # Safety
/// `managed` is NULL or a DLPack tensor whose pointers are NULL or good for what its shape says.
pub(crate) unsafe fn copy(
    managed: *const abi::DlManagedTensor,
    expected: Expected,
) -> Result<EncodedRows, String> {
    // SAFETY: said by the caller.
    let managed = unsafe { managed.as_ref() }.ok_or("the tensor is NULL")?;
    if managed.version_major != abi::DL_MAJOR {
        return Err(format!("expected DLPack {}, got {}", abi::DL_MAJOR, managed.version_major));
    }
    let tensor = &managed.tensor;
    if tensor.device.device_type != abi::DL_CPU {
        let got = tensor.device.device_type;
        return Err(format!("expected a tensor in host memory (DLPack device 1), got device {got}"));
    }
    let element = Element::of(tensor.dtype)?;
    // SAFETY: said by the caller.
    let layout = unsafe { layout(tensor, expected) }?;
    if tensor.data.is_null() {
        return Err("the tensor's data is NULL".to_owned());
    }
    let offset = usize::try_from(tensor.byte_offset).map_err(|_| "byte_offset does not fit in memory")?;
    let row_bytes = layout.row_step.checked_mul(element.size());
    let span =
        row_bytes.and_then(|bytes| bytes.checked_mul(layout.positions)).and_then(|n| n.checked_add(offset));
    if span.is_none_or(|span| span > isize::MAX as usize) {
        return Err("strides and byte_offset do not fit in memory".to_owned());
    }
    // SAFETY: the tensor's memory is good for its shape and strides (said by the caller), whose extent fits (checked).
    Ok(unsafe { copy_rows(tensor.data.cast::<u8>().add(offset), element, &layout) })
        .and_then(|values| finite(values, layout.positions, layout.width))
}

/// # Safety
/// `first` is the first element of memory that is good for the layout.
unsafe fn copy_rows(first: *const u8, element: Element, layout: &Layout) -> Vec<f32> {
    let mut values = Vec::with_capacity(layout.positions * layout.width);
    for row in 0..layout.positions {
        for column in 0..layout.width {
            // SAFETY: inside of the layout's extent, said by the caller.
            values
                .push(unsafe { element.read(first.add((row * layout.row_step + column) * element.size())) });
        }
    }
    values
}

/// Rows of these values, if all are numbers.
pub(crate) fn finite(values: Vec<f32>, positions: usize, width: usize) -> Result<EncodedRows, String> {
    // Without an early end in a chunk, which the compiler would check one value at a time.
    let all = |chunk: &[f32]| chunk.iter().fold(true, |all, value| all & value.is_finite());
    if values.chunks(1024).all(all) {
        return Ok(EncodedRows { values, positions, width });
    }
    let at = values.iter().position(|value| !value.is_finite()).unwrap_or_default();
    let (row, column) = (at / width, at % width);
    Err(format!("expected finite values, got {} in row {row}, column {column}", values[at]))
}

/// # Safety
/// `shape` and `strides` are NULL or hold `ndim` numbers.
unsafe fn layout(tensor: &abi::DlTensor, expected: Expected) -> Result<Layout, String> {
    if tensor.ndim != 2 {
        return Err(format!("expected the 2 dimensions [positions, width], got {}", tensor.ndim));
    }
    if tensor.shape.is_null() {
        return Err("the tensor's shape is NULL".to_owned());
    }
    // SAFETY: not NULL and of two numbers; any alignment will do.
    let shape = unsafe { tensor.shape.cast::<[i64; 2]>().read_unaligned() };
    let (positions, width) = expected.check(shape)?;
    if tensor.strides.is_null() {
        return Ok(Layout { positions, width, row_step: width });
    }
    // SAFETY: as for the shape.
    let strides = unsafe { tensor.strides.cast::<[i64; 2]>().read_unaligned() };
    let row_step = usize::try_from(strides[0]).ok().filter(|step| *step >= width || positions == 1);
    match row_step {
        Some(row_step) if strides[1] == 1 || width == 1 => Ok(Layout { positions, width, row_step }),
        _ => Err(format!("expected strides [at least {width}, 1], got {strides:?}")),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::c_void;

    use super::*;

    const ANY: Expected = Expected { width: None, max_positions: 8 };

    fn managed(data: *const c_void, shape: &mut [i64; 2], code: u8, bits: u8) -> abi::DlManagedTensor {
        abi::DlManagedTensor {
            version_major: abi::DL_MAJOR,
            version_minor: 0,
            manager_ctx: std::ptr::null_mut(),
            deleter: None,
            flags: 0,
            tensor: abi::DlTensor {
                data: data.cast_mut(),
                device: abi::DlDevice { device_type: abi::DL_CPU, device_id: 0 },
                ndim: 2,
                dtype: abi::DlDataType { code, bits, lanes: 1 },
                shape: shape.as_mut_ptr(),
                strides: std::ptr::null_mut(),
                byte_offset: 0,
            },
        }
    }

    fn read(tensor: &abi::DlManagedTensor, expected: Expected) -> Result<EncodedRows, String> {
        // SAFETY: the tests' tensors are good for their shapes.
        unsafe { copy(tensor, expected) }
    }

    #[test]
    fn the_three_element_types_become_f32() {
        let numbers = [1.0_f32, -2.0, 0.5, 4.0];
        let halves = numbers.map(f16::from_f32);
        let brains = numbers.map(bf16::from_f32);
        let mut shape = [2, 2];
        for (data, code, bits) in [
            (numbers.as_ptr().cast::<c_void>(), abi::DL_FLOAT, 32),
            (halves.as_ptr().cast(), abi::DL_FLOAT, 16),
            (brains.as_ptr().cast(), abi::DL_BFLOAT, 16),
        ] {
            let rows = read(&managed(data, &mut shape, code, bits), ANY).unwrap();
            assert_eq!(rows, EncodedRows { values: numbers.to_vec(), positions: 2, width: 2 });
        }
    }

    #[test]
    fn padded_rows_and_offsets_are_followed() {
        let numbers = [9.0_f32, 1.0, 2.0, 9.0, 3.0, 4.0, 9.0];
        let (mut shape, mut strides) = ([2, 2], [3, 1]);
        let mut tensor = managed(numbers.as_ptr().cast(), &mut shape, abi::DL_FLOAT, 32);
        tensor.tensor.strides = strides.as_mut_ptr();
        tensor.tensor.byte_offset = 4;
        assert_eq!(read(&tensor, ANY).unwrap().values, [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn each_broken_rule_is_named() {
        let numbers = [0.0_f32; 64];
        let data = numbers.as_ptr().cast::<c_void>();
        let refused = |shape: [i64; 2], change: &dyn Fn(&mut abi::DlManagedTensor), expected: Expected| {
            let mut shape = shape;
            let mut tensor = managed(data, &mut shape, abi::DL_FLOAT, 32);
            change(&mut tensor);
            read(&tensor, expected).unwrap_err()
        };
        let as_is = |_: &mut abi::DlManagedTensor| ();
        let wide = Expected { width: Some(4), max_positions: 8 };
        assert!(refused([2, 3], &as_is, wide).contains("width 4"));
        assert!(refused([9, 4], &as_is, wide).contains("at most 8 positions"));
        assert!(refused([0, 4], &as_is, ANY).contains("positive"));
        assert!(refused([-1, 4], &as_is, ANY).contains("positive"));
        assert!(refused([8, i64::MAX], &as_is, ANY).contains("values"));
        assert!(refused([1, 4], &|t| t.version_major = 0, ANY).contains("DLPack 1"));
        assert!(refused([1, 4], &|t| t.tensor.device.device_type = 2, ANY).contains("host memory"));
        assert!(refused([1, 4], &|t| t.tensor.ndim = 3, ANY).contains("2 dimensions"));
        assert!(refused([1, 4], &|t| t.tensor.dtype.code = 0, ANY).contains("f32, f16 or bf16"));
        assert!(refused([1, 4], &|t| t.tensor.dtype.lanes = 4, ANY).contains("4 lanes"));
        assert!(refused([1, 4], &|t| t.tensor.data = std::ptr::null_mut(), ANY).contains("data is NULL"));
        assert!(refused([1, 4], &|t| t.tensor.shape = std::ptr::null_mut(), ANY).contains("shape is NULL"));
        assert!(refused([1, 4], &|t| t.tensor.byte_offset = u64::MAX, ANY).contains("byte_offset"));
        let mut overlapping = [2_i64, 1];
        let strides = overlapping.as_mut_ptr();
        assert!(refused([2, 4], &|t| t.tensor.strides = strides, ANY).contains("strides"));
        // SAFETY: NULL is allowed.
        assert!(unsafe { copy(std::ptr::null(), ANY) }.unwrap_err().contains("NULL"));
    }

    #[test]
    fn values_that_are_no_numbers_are_found() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let numbers = [0.0, 1.0, bad, 3.0];
            let mut shape = [2, 2];
            let tensor = managed(numbers.as_ptr().cast(), &mut shape, abi::DL_FLOAT, 32);
            assert!(read(&tensor, ANY).unwrap_err().contains("row 1, column 0"));
        }
    }
}
