//! NF4 matrices in safetensors files under bitsandbytes' own names, so that its checkpoints load here and transformers
//! loads ours.
//!
//! `x.weight` holds the codes, u8 `[⌈n / 2⌉, 1]`. Beside it are `x.weight.absmax`, `.quant_map`, `.nested_absmax`,
//! `.nested_quant_map` and `.quant_state.bitsandbytes__nf4`; the last is a JSON object, byte by byte.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::writer::Entry;
use crate::nf4::{BLOCK, CODE, NESTED_BLOCK, Nf4Matrix};
use crate::{Error, Result};

const ABSMAX: &str = ".absmax";
const MAP: &str = ".quant_map";
const NESTED_ABSMAX: &str = ".nested_absmax";
const NESTED_MAP: &str = ".nested_quant_map";
const STATE: &str = ".quant_state.bitsandbytes__nf4";

/// Bytes of the JSON object that is written, filled up with blanks: lengths are announced before the numbers are known.
const STATE_BYTES: usize = 256;

/// The JSON object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    quant_type: String,
    blocksize: usize,
    /// Type before it was quantised, such as `float16`.
    dtype: String,
    shape: Vec<usize>,
    nested_blocksize: Option<usize>,
    nested_dtype: Option<String>,
    nested_offset: Option<f64>,
}

impl State {
    /// The matrix to which a tensor of this name is the state.
    pub(super) fn owner(name: &str) -> Option<&str> {
        name.strip_suffix(STATE)
    }

    /// The matrix to which a tensor of this name would be a part.
    pub(super) fn owner_of_part(name: &str) -> Option<&str> {
        let parts = [NESTED_ABSMAX, NESTED_MAP, ABSMAX, MAP, STATE];
        parts.iter().find_map(|part| name.strip_suffix(part))
    }

    /// Reads the state of `matrix`; `path` is for messages.
    pub(super) fn parse(bytes: &[u8], matrix: &str, path: &Path) -> Result<Self> {
        let state: Self = serde_json::from_slice(bytes).map_err(Error::json(path))?;
        let known = state.quant_type == "nf4"
            && state.blocksize == BLOCK
            && state.nested_blocksize == Some(NESTED_BLOCK)
            && state.nested_offset.is_some()
            && matches!(*state.shape, [rows, columns] if rows.checked_mul(columns).is_some());
        if known {
            return Ok(state);
        }
        Err(Error::Field {
            path: path.to_owned(),
            key: format!("{matrix}{STATE}"),
            expected: format!("a matrix in NF4, blocks of {BLOCK}, double quantisation in {NESTED_BLOCK}"),
            got: String::from_utf8_lossy(bytes).into_owned(),
        })
    }

    /// Rows and columns.
    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Puts `matrix` together from its parts; `path` is for messages.
    pub(super) fn read(
        &self,
        matrix: &str,
        path: &Path,
        part: impl Fn(&str) -> Result<Tensor>,
    ) -> Result<Nf4Matrix> {
        let [rows, columns] = [self.shape[0], self.shape[1]];
        let numbers = rows * columns;
        let blocks = numbers.div_ceil(BLOCK);
        let read = |suffix: &str, dtype: DType, len: usize| {
            let name = format!("{matrix}{suffix}");
            let tensor = part(&name)?.flatten_all().map_err(Error::compute(&name))?;
            if tensor.dtype() == dtype && tensor.elem_count() == len {
                return Ok(tensor);
            }
            let got = format!("{} of {:?}", tensor.elem_count(), tensor.dtype());
            let reason =
                format!("{name} of a matrix [{rows}, {columns}]: expected {len} of {dtype:?}, got {got}");
            Err(Error::Corrupt { path: path.to_owned(), reason })
        };
        Ok(Nf4Matrix {
            rows,
            columns,
            codes: read("", DType::U8, numbers.div_ceil(2))?,
            absmax: read(ABSMAX, DType::U8, blocks)?,
            nested_absmax: read(NESTED_ABSMAX, DType::F32, blocks.div_ceil(NESTED_BLOCK))?,
            nested_map: read(NESTED_MAP, DType::F32, 256)?,
            offset: self.nested_offset.unwrap_or_default() as f32,
        })
    }
}

/// What a file announces for the matrix `name` of a shape; [`parts`] gives the tensors in the same order.
pub(crate) fn entries(name: &str, rows: usize, columns: usize) -> [Entry; 6] {
    let blocks = (rows * columns).div_ceil(BLOCK);
    let entry = |suffix: &str, dtype, shape: &[usize]| (format!("{name}{suffix}"), dtype, shape.to_vec());
    [
        entry("", DType::U8, &[(rows * columns).div_ceil(2), 1]),
        entry(ABSMAX, DType::U8, &[blocks]),
        entry(MAP, DType::F32, &[CODE.len()]),
        entry(NESTED_ABSMAX, DType::F32, &[blocks.div_ceil(NESTED_BLOCK)]),
        entry(NESTED_MAP, DType::F32, &[256]),
        entry(STATE, DType::U8, &[STATE_BYTES]),
    ]
}

/// The tensors of `matrix`, whose numbers had `dtype` before it was quantised.
pub(crate) fn parts(matrix: &Nf4Matrix, dtype: DType) -> candle_core::Result<[Tensor; 6]> {
    let state = State {
        quant_type: "nf4".into(),
        blocksize: BLOCK,
        dtype: torch_name(dtype).into(),
        shape: vec![matrix.rows, matrix.columns],
        nested_blocksize: Some(NESTED_BLOCK),
        nested_dtype: Some("float32".into()),
        nested_offset: Some(f64::from(matrix.offset)),
    };
    let mut state = serde_json::to_vec(&state).map_err(candle_core::Error::wrap)?;
    state.resize(STATE_BYTES, b' ');
    Ok([
        matrix.codes.reshape(((), 1))?,
        matrix.absmax.clone(),
        Tensor::new(&CODE, &Device::Cpu)?,
        matrix.nested_absmax.clone(),
        matrix.nested_map.clone(),
        Tensor::new(state, &Device::Cpu)?,
    ])
}

fn torch_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        _ => "float32",
    }
}
