//! Quantising dense weights while they are loaded.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;

use super::source::Stored;
use crate::nf4::Nf4Matrix;
use crate::values::Values;

/// Rows that one task quantises or dequantises.
const ROWS_PER_TASK: usize = 64;

/// Formats that dense weights can be turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantization {
    /// 4 bits, one scale for 32 numbers.
    Q4_0,
    /// 4 bits, scale and minimum for 32 numbers.
    Q4_1,
    /// 5 bits, one scale for 32 numbers.
    Q5_0,
    /// 5 bits, scale and minimum for 32 numbers.
    Q5_1,
    /// 8 bits, one scale for 32 numbers.
    Q8_0,
    /// 4 bits in super-blocks of 256.
    Q4K,
    /// 5 bits in super-blocks of 256.
    Q5K,
    /// 6 bits in super-blocks of 256.
    Q6K,
    /// 4 bits as QLoRA has them; embedding table and head stay dense.
    Nf4,
}

const NAMES: [(&str, Quantization); 9] = [
    ("q4_0", Quantization::Q4_0),
    ("q4_1", Quantization::Q4_1),
    ("q5_0", Quantization::Q5_0),
    ("q5_1", Quantization::Q5_1),
    ("q8_0", Quantization::Q8_0),
    ("q4_k", Quantization::Q4K),
    ("q5_k", Quantization::Q5K),
    ("q6_k", Quantization::Q6K),
    ("nf4", Quantization::Nf4),
];

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, value)| value == self).map_or("?", |(name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for Quantization {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let known = || NAMES.map(|(name, _)| name).join(", ");
        let found = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| format!("unknown quantisation {text}; known: {}", known()))
    }
}

impl Quantization {
    /// The block format for rows of `columns` numbers: super-blocks give way to blocks of 32 of about the same size where
    /// they do not fit, as in llama.cpp; `None` when no block fits, and for NF4, which GGUF does not have.
    #[must_use]
    pub fn blocks(self, columns: usize) -> Option<GgmlDType> {
        let wanted = match self {
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Q4_1 => GgmlDType::Q4_1,
            Self::Q5_0 => GgmlDType::Q5_0,
            Self::Q5_1 => GgmlDType::Q5_1,
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q4K => GgmlDType::Q4K,
            Self::Q5K => GgmlDType::Q5K,
            Self::Q6K => GgmlDType::Q6K,
            Self::Nf4 => return None,
        };
        let smaller = match self {
            Self::Q4K => GgmlDType::Q5_0,
            Self::Q5K => GgmlDType::Q5_1,
            Self::Q6K => GgmlDType::Q8_0,
            _ => wanted,
        };
        [wanted, smaller].into_iter().find(|blocks| columns.is_multiple_of(blocks.block_size()))
    }

    /// The format for the head: 8 bits, since every sampled token depends on it; beside NF4 it stays dense, as bitsandbytes
    /// leaves it.
    #[must_use]
    pub fn for_head(self) -> Option<Self> {
        match self {
            Self::Nf4 => None,
            Self::Q6K => Some(Self::Q6K),
            _ => Some(Self::Q8_0),
        }
    }

    /// Quantises `weight` (`[rows, columns]`, any dense type) onto `device`; dense again where no block fits.
    ///
    /// # Errors
    /// When `weight` has other than two dimensions.
    pub(super) fn store(self, weight: Tensor, device: &Device) -> Result<Stored> {
        match (self, self.blocks(weight.dims2()?.1)) {
            (Self::Nf4, _) => Nf4Matrix::quantize(&weight, device).map(Stored::Nf4),
            (_, Some(blocks)) => {
                quantize_rows(&weight.to_device(&Device::Cpu)?, blocks, device).map(Stored::Quantized)
            }
            (_, None) => Ok(Stored::Dense(weight)),
        }
    }
}

/// Quantises `weight` (`[rows, columns]`, any dense type, on the CPU) on all cores.
///
/// # Errors
/// When a row is no whole number of blocks.
pub fn quantize_rows(weight: &Tensor, blocks: GgmlDType, device: &Device) -> Result<QTensor> {
    let (rows, columns) = weight.dims2()?;
    let row_words = (columns / blocks.block_size() * blocks.type_size()).div_ceil(2);
    let mut words = vec![0u16; rows * row_words];
    words.par_chunks_mut(ROWS_PER_TASK * row_words).enumerate().try_for_each(|(task, out)| {
        let start = task * ROWS_PER_TASK;
        // A copy: candle quantises the whole storage behind a view.
        let part = weight.narrow(0, start, ROWS_PER_TASK.min(rows - start))?;
        let quantized = QTensor::quantize(&part.force_contiguous()?, blocks)?;
        bytemuck::cast_slice_mut(out).copy_from_slice(&quantized.data()?);
        Ok::<_, candle_core::Error>(())
    })?;
    let storage = QStorage::from_data(Cow::Borrowed(bytemuck::cast_slice(&words)), device, blocks)?;
    QTensor::new(storage, (rows, columns))
}

/// Dequantises rows `start..start + len` of `blocks`, which is on the CPU, on all cores: f32 `[len, columns]`.
pub(crate) fn dequantize_rows(blocks: &QTensor, start: usize, len: usize) -> Result<Tensor> {
    let (rows, columns) = blocks.shape().dims2()?;
    if start + len > rows {
        bail!("dequantise rows {start}..{} of {rows}", start + len);
    }
    let data = blocks.data()?;
    let row_bytes = columns / blocks.dtype().block_size() * blocks.dtype().type_size();
    let mut numbers = vec![0f32; len * columns];
    let tasks = numbers.par_chunks_mut((ROWS_PER_TASK * columns).max(1)).enumerate();
    tasks.try_for_each(|(task, numbers)| {
        let (first, rows) = (start + task * ROWS_PER_TASK, numbers.len() / columns);
        let bytes = &data[first * row_bytes..(first + rows) * row_bytes];
        let storage = QStorage::from_data(Cow::Borrowed(bytes), &Device::Cpu, blocks.dtype())?;
        let dense = QTensor::new(storage, (rows, columns))?.dequantize(&Device::Cpu)?;
        numbers.copy_from_slice(Values::of(&dense).as_slice("dequantize")?);
        Ok::<_, candle_core::Error>(())
    })?;
    Tensor::from_vec(numbers, (len, columns), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantising_in_parts_equals_quantising_at_once() {
        let weight = Tensor::randn(0f32, 1., (150, 256), &Device::Cpu).unwrap();
        for blocks in [GgmlDType::Q4_0, GgmlDType::Q8_0, GgmlDType::Q4K, GgmlDType::Q6K] {
            let whole = QTensor::quantize(&weight, blocks).unwrap();
            let parts = quantize_rows(&weight, blocks, &Device::Cpu).unwrap();
            assert_eq!(whole.data().unwrap(), parts.data().unwrap(), "{blocks:?}");
        }
    }

    #[test]
    fn rows_dequantise_as_the_whole_does() {
        let weight = Tensor::randn(0f32, 1., (150, 256), &Device::Cpu).unwrap();
        for blocks in [GgmlDType::Q4_0, GgmlDType::Q8_0, GgmlDType::Q4K, GgmlDType::Q6K] {
            let quantized = QTensor::quantize(&weight, blocks).unwrap();
            let whole = quantized.dequantize(&Device::Cpu).unwrap();
            for (start, len) in [(0, 150), (3, 100), (149, 1)] {
                let rows = dequantize_rows(&quantized, start, len).unwrap();
                let want = whole.narrow(0, start, len).unwrap().to_vec2::<f32>().unwrap();
                assert_eq!(rows.to_vec2::<f32>().unwrap(), want, "{blocks:?}");
            }
            assert!(dequantize_rows(&quantized, 100, 51).is_err());
        }
    }

    #[test]
    fn super_blocks_give_way_where_rows_are_too_short() {
        assert_eq!(Quantization::Q4K.blocks(576), Some(GgmlDType::Q5_0));
        assert_eq!(Quantization::Q6K.blocks(2560), Some(GgmlDType::Q6K));
        assert_eq!(Quantization::Q4_0.blocks(30), None);
    }

    #[test]
    fn names_are_read_back() {
        for (name, value) in NAMES {
            assert_eq!(name.parse::<Quantization>().unwrap(), value);
            assert_eq!(value.to_string(), name);
        }
        assert!("q3_k".parse::<Quantization>().unwrap_err().contains("q4_k"));
    }
}
