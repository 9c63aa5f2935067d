//! Reader of the legacy torch checkpoint: what `torch.save` wrote before 1.6, and writes with
//! `_use_new_zipfile_serialization=False`.
//!
//! The file is a magic number, a protocol version and system information (three pickles), the pickled state dict, a pickled
//! list of storage keys, then for each key an `i64` element count and the raw little-endian elements. Source: torch
//! `torch/serialization.py`, `_legacy_save`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::pickle::{self, Cursor, Element, Pickle, StorageRef, TensorRef, Value};

/// The pickled magic number `0x1950a86a20f9469cfc6c` that starts a legacy file.
const MAGIC: [u8; 15] =
    [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
const PROTOCOL: i64 = 1001;

/// Why a legacy checkpoint could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PthError {
    /// The file could not be read at all.
    #[error("cannot read the file: {0}")]
    Io(#[from] std::io::Error),
    /// The file does not start with the legacy format's magic number.
    #[error("no legacy torch checkpoint: expected its magic number at the start")]
    Magic,
    /// The file ends too early.
    #[error("truncated at byte {at}: expected {wanted} more bytes, {left} are left")]
    Truncated {
        /// Byte offset.
        at: usize,
        /// Bytes that should follow.
        wanted: usize,
        /// Bytes that do.
        left: usize,
    },
    /// An opcode that no state dict needs.
    #[error("pickle opcode {opcode:#04x} at byte {at} does not belong into a state dict")]
    Opcode {
        /// Byte offset.
        at: usize,
        /// The opcode.
        opcode: u8,
    },
    /// A class or function other than the few that a state dict needs; nothing of the file is ever executed.
    #[error("the pickle names {name}, which does not belong into a state dict")]
    Global {
        /// Module and name.
        name: String,
    },
    /// Something else stands where a certain thing has to.
    #[error("malformed at byte {at}: expected {expected}")]
    Malformed {
        /// Byte offset.
        at: usize,
        /// What has to stand there.
        expected: &'static str,
    },
    /// A tensor's view does not fit its storage.
    #[error(
        "tensor {name}: size {size:?}, strides {stride:?} and offset {offset} do not fit a storage of {numel}"
    )]
    View {
        /// Name in the state dict.
        name: String,
        /// Dimensions.
        size: Vec<usize>,
        /// Strides in elements.
        stride: Vec<usize>,
        /// First element.
        offset: usize,
        /// Elements in the storage.
        numel: usize,
    },
    /// A tensor names a storage that the file does not hold, or holds in another length.
    #[error("tensor {name}: storage {key} of {numel} elements is not in the file")]
    Storage {
        /// Name in the state dict.
        name: String,
        /// The storage's key.
        key: String,
        /// Elements it should have.
        numel: usize,
    },
    /// candle could not make a tensor.
    #[error("tensor {name}: {source}")]
    Tensor {
        /// Name in the state dict.
        name: String,
        /// candle's words.
        source: candle_core::Error,
    },
}

impl PthError {
    pub(super) fn malformed(at: usize, expected: &'static str) -> Self {
        Self::Malformed { at, expected }
    }
}

/// True when the bytes start like a legacy checkpoint.
#[must_use]
pub fn is_legacy(start: &[u8]) -> bool {
    start.starts_with(&MAGIC)
}

/// Reads every tensor of a legacy checkpoint file into host memory, contiguous, in its own element type.
///
/// # Errors
/// When the file is not such a checkpoint, ends early, or says something else than a state dict.
pub fn read(path: &Path) -> Result<BTreeMap<String, Tensor>, PthError> {
    read_bytes(&std::fs::read(path)?)
}

/// [`read`] from bytes.
///
/// # Errors
/// As [`read`].
pub fn read_bytes(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, PthError> {
    if !is_legacy(bytes) {
        return Err(PthError::Magic);
    }
    let mut cursor = Cursor::new(bytes);
    cursor.take(MAGIC.len())?;
    check_protocol(&mut cursor)?;
    let at = cursor.at;
    let state = pickle::read(&mut cursor)?;
    let named = named_tensors(&state).ok_or_else(|| PthError::malformed(at, "a dict of named tensors"))?;
    let elements = element_types(&state);
    let storages = read_storages(&mut cursor, &elements)?;
    named.into_iter().map(|(name, tensor)| Ok((name.to_owned(), make(name, tensor, &storages)?))).collect()
}

fn check_protocol(cursor: &mut Cursor<'_>) -> Result<(), PthError> {
    let at = cursor.at;
    if pickle::read(cursor)?.root != Value::Int(PROTOCOL) {
        return Err(PthError::malformed(at, "protocol version 1001"));
    }
    let at = cursor.at;
    let system = pickle::read(cursor)?;
    let little_endian = (Value::Text("little_endian"), Value::Bool(true));
    let entries = system.dict(system.root);
    if entries.is_some_and(|mut entries| entries.any(|entry| entry == little_endian)) {
        return Ok(());
    }
    Err(PthError::malformed(at, "a little-endian system"))
}

/// Name and view of each tensor of the state dict; entries that are no tensors are left out.
fn named_tensors<'p, 'a>(state: &'p Pickle<'a>) -> Option<Vec<(&'a str, &'p TensorRef<'a>)>> {
    let entries = state.dict(state.root)?;
    let named = entries.filter_map(|entry| match entry {
        (Value::Text(name), Value::Tensor(id)) => Some((name, &state.tensors[id])),
        _ => None,
    });
    Some(named.collect())
}

fn element_types<'a>(state: &Pickle<'a>) -> HashMap<&'a str, Element> {
    state.tensors.iter().map(|tensor| (tensor.storage.key, tensor.storage.element)).collect()
}

fn read_storages<'a>(
    cursor: &mut Cursor<'a>,
    elements: &HashMap<&'a str, Element>,
) -> Result<HashMap<&'a str, &'a [u8]>, PthError> {
    let at = cursor.at;
    let keys = pickle::read(cursor)?;
    let keys = keys.list(keys.root).ok_or_else(|| PthError::malformed(at, "a list of storage keys"))?;
    let mut storages = HashMap::new();
    for key in keys {
        let &Value::Text(key) = key else {
            return Err(PthError::malformed(at, "a list of storage keys"));
        };
        let element = elements.get(key).ok_or_else(|| PthError::malformed(at, "keys of used storages"))?;
        let at = cursor.at;
        let bytes =
            usize::try_from(cursor.i64()?).ok().and_then(|n| n.checked_mul(dtype(*element).size_in_bytes()));
        let bytes = bytes.ok_or_else(|| PthError::malformed(at, "an element count"))?;
        storages.insert(key, cursor.take(bytes)?);
    }
    Ok(storages)
}

fn dtype(element: Element) -> DType {
    match element {
        Element::F64 => DType::F64,
        Element::F32 => DType::F32,
        Element::F16 => DType::F16,
        Element::BF16 => DType::BF16,
        Element::I64 => DType::I64,
        Element::U8 => DType::U8,
    }
}

fn make(name: &str, view: &TensorRef<'_>, storages: &HashMap<&str, &[u8]>) -> Result<Tensor, PthError> {
    let StorageRef { element, key, numel } = view.storage;
    let dtype = dtype(element);
    let wide = dtype.size_in_bytes();
    let storage = storages.get(key).filter(|bytes| numel.checked_mul(wide) == Some(bytes.len()));
    let storage = storage.ok_or_else(|| PthError::Storage { name: name.into(), key: key.into(), numel })?;
    let count = elements_in_view(view).ok_or_else(|| PthError::View {
        name: name.into(),
        size: view.size.clone(),
        stride: view.stride.clone(),
        offset: view.offset,
        numel,
    })?;
    let bytes = gather(storage, view, count, wide);
    Tensor::from_raw_buffer(&bytes, dtype, &view.size, &Device::Cpu)
        .map_err(|source| PthError::Tensor { name: name.into(), source })
}

/// How many elements the view has, if each of them is inside the storage. A view that repeats elements (stride 0) would
/// let a small file ask for any amount of memory, so it may not have more elements than its storage.
fn elements_in_view(view: &TensorRef<'_>) -> Option<usize> {
    let numel = view.storage.numel;
    let count = view.size.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    if count == 0 {
        return Some(0);
    }
    let last = view
        .size
        .iter()
        .zip(&view.stride)
        .try_fold(view.offset, |at, (&size, &stride)| at.checked_add((size - 1).checked_mul(stride)?))?;
    (last < numel && count <= numel).then_some(count)
}

/// Copies a checked view into row-major order, `wide` bytes an element.
fn gather(storage: &[u8], view: &TensorRef<'_>, count: usize, wide: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(count * wide);
    let mut index = vec![0; view.size.len()];
    let mut at = view.offset;
    for _ in 0..count {
        out.extend_from_slice(&storage[at * wide..(at + 1) * wide]);
        // Count the index up, the last dimension first, and move `at` along.
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            at += view.stride[axis];
            if index[axis] < view.size[axis] {
                break;
            }
            at -= view.stride[axis] * view.size[axis];
            index[axis] = 0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.save({"a": tensor}, …)` by hand: a 2×3 float tensor, stored transposed.
    fn checkpoint(numel: i64, size: [u8; 2], stride: [u8; 2]) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.extend(b"\x80\x02M\xe9\x03.");
        file.extend(b"\x80\x02}X\x0d\0\0\0little_endian\x88s.");
        file.extend(b"\x80\x02}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n(");
        file.extend(b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuJ");
        file.extend((numel as i32).to_le_bytes());
        file.extend(b"NtQK\0");
        file.extend([b'K', size[0], b'K', size[1], 0x86, b'K', stride[0], b'K', stride[1], 0x86]);
        file.extend(b"\x89ccollections\nOrderedDict\n)RtRs.");
        file.extend(b"\x80\x02]X\x01\0\0\x000a.");
        file.extend(numel.to_le_bytes());
        (0..numel).for_each(|i| file.extend((i as f32).to_le_bytes()));
        file
    }

    #[test]
    fn strides_are_honoured() {
        let tensors = read_bytes(&checkpoint(6, [2, 3], [1, 2])).unwrap();
        assert_eq!(tensors["a"].to_vec2::<f32>().unwrap(), [[0., 2., 4.], [1., 3., 5.]]);
    }

    #[test]
    fn views_outside_their_storage_are_refused() {
        for (size, stride) in [([2, 4], [1, 2]), ([200, 200], [0, 0]), ([7, 1], [1, 1])] {
            let error = read_bytes(&checkpoint(6, size, stride)).unwrap_err();
            assert!(matches!(error, PthError::View { .. }), "{size:?} {stride:?}: {error}");
        }
    }

    #[test]
    fn foreign_globals_are_refused_by_name() {
        let mut file = MAGIC.to_vec();
        file.extend(b"\x80\x02cposix\nsystem\n.");
        let error = read_bytes(&file).unwrap_err();
        assert!(matches!(&error, PthError::Global { name } if name == "posix.system"), "{error}");
    }

    #[test]
    fn every_truncation_is_an_error() {
        let whole = checkpoint(6, [2, 3], [3, 1]);
        assert!(read_bytes(&whole).is_ok());
        for n in 0..whole.len() {
            assert!(read_bytes(&whole[..n]).is_err(), "cut at {n}");
        }
    }

    #[test]
    fn damaged_bytes_never_panic() {
        let whole = checkpoint(6, [2, 3], [3, 1]);
        for at in 0..whole.len() {
            for damage in [0, 0x28, 0x2e, 0x52, 0x7f, 0x80, 0xff] {
                let mut file = whole.clone();
                file[at] = damage;
                // Some damage is harmless (a value, a name); the point is that it returns.
                let _ = read_bytes(&file);
            }
        }
    }

    #[test]
    fn deep_nesting_does_not_exhaust_the_stack() {
        let mut file = MAGIC.to_vec();
        file.extend(b"\x80\x02N");
        file.extend(std::iter::repeat_n(0x85, 2_000_000));
        file.push(b'.');
        assert!(matches!(read_bytes(&file).unwrap_err(), PthError::Malformed { .. }));
    }
}
