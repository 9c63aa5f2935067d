//! NF4 with double quantisation (QLoRA, Dettmers et al. 2023, <https://arxiv.org/abs/2305.14314>): the same codes and
//! absmaxes as bitsandbytes', bit for bit.
//!
//! The flattened matrix is cut into blocks of 64 numbers. Each number becomes the nearest of 16 values after division by
//! the largest magnitude of its block, the absmax; the absmaxes, less their mean, become 8-bit indices in blocks of 256.
//! That is 4.13 bits a number.

mod codes;

use candle_core::{DType, Device, Result, Storage, StorageRef, Tensor, WithDType, bail};
use rayon::prelude::*;

pub(crate) use self::codes::{BLOCK, CODE, NESTED_BLOCK};
use self::codes::{PAIRS, dynamic_map, quantize_absmax, quantize_block, unpack};

/// Blocks that one task quantises or dequantises: about ten microseconds of work.
const BLOCKS_PER_TASK: usize = 256;

/// A matrix `[rows, columns]` in 4 bits.
#[derive(Debug, Clone)]
pub struct Nf4Matrix {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Two codes a byte, the first in the high nibble: u8 `[⌈rows · columns / 2⌉]`.
    pub(crate) codes: Tensor,
    /// An index into `nested_map` for each block: u8 `[blocks]`.
    pub(crate) absmax: Tensor,
    /// f32 `[⌈blocks / 256⌉]`.
    pub(crate) nested_absmax: Tensor,
    /// What an 8-bit index stands for: f32 `[256]`.
    pub(crate) nested_map: Tensor,
    /// Mean of the absmaxes.
    pub(crate) offset: f32,
}

impl Nf4Matrix {
    /// Quantises `weight` (`[rows, columns]`, any float type) on all cores and puts the result on `device`.
    ///
    /// # Errors
    /// When `weight` has other than two dimensions.
    pub fn quantize(weight: &Tensor, device: &Device) -> Result<Self> {
        let (rows, columns) = weight.dims2()?;
        let numbers =
            weight.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let mut codes = vec![0u8; numbers.len().div_ceil(2)];
        let mut absmax = vec![0f32; numbers.len().div_ceil(BLOCK)];
        let blocks = codes.par_chunks_mut(BLOCK / 2).zip(numbers.par_chunks(BLOCK));
        let blocks = absmax.par_iter_mut().zip(blocks).with_min_len(BLOCKS_PER_TASK);
        blocks.for_each(|(absmax, (codes, numbers))| *absmax = quantize_block(numbers, codes));
        let map = dynamic_map();
        let nested = quantize_absmax(&absmax, &map);
        Ok(Self {
            rows,
            columns,
            codes: Tensor::new(codes, device)?,
            absmax: Tensor::new(nested.indices, device)?,
            nested_absmax: Tensor::new(nested.absmax, device)?,
            nested_map: Tensor::new(&map, device)?,
            offset: nested.offset,
        })
    }

    /// The same matrix on `device`.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        Ok(Self {
            codes: self.codes.to_device(device)?,
            absmax: self.absmax.to_device(device)?,
            nested_absmax: self.nested_absmax.to_device(device)?,
            nested_map: self.nested_map.to_device(device)?,
            ..*self
        })
    }

    /// Rows and columns.
    #[must_use]
    pub fn dims(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let parts = [&self.codes, &self.absmax, &self.nested_absmax, &self.nested_map];
        parts.iter().map(|part| part.elem_count() * part.dtype().size_in_bytes()).sum()
    }

    /// Dequantises row `first` and those behind it into `out`, a whole number of rows, on all cores. The matrix has to be
    /// on the CPU.
    ///
    /// # Errors
    /// When `out` reaches beyond the last row.
    pub fn dequantize_rows(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let start = first * self.columns;
        if start + out.len() > self.rows * self.columns {
            bail!("dequantise {} numbers from row {first} of {:?}", out.len(), self.dims());
        }
        let storages = [&self.codes, &self.absmax, &self.nested_absmax, &self.nested_map]
            .map(|part| part.storage_and_layout().0);
        let [codes, absmax, nested_absmax, nested_map] = &storages;
        let codes = host::<u8>(codes)?;
        let (absmax, nested_absmax) = (host::<u8>(absmax)?, host::<f32>(nested_absmax)?);
        let nested_map = host::<f32>(nested_map)?;
        let scale = |block: usize| {
            nested_map[usize::from(absmax[block])] * nested_absmax[block / NESTED_BLOCK] + self.offset
        };
        out.par_chunks_mut(BLOCKS_PER_TASK * BLOCK).enumerate().for_each(|(task, mut numbers)| {
            let mut at = start + task * BLOCKS_PER_TASK * BLOCK;
            while !numbers.is_empty() {
                let within = (BLOCK - at % BLOCK).min(numbers.len());
                let (of_block, rest) = numbers.split_at_mut(within);
                unpack(codes, at, scale(at / BLOCK), of_block);
                (numbers, at) = (rest, at + within);
            }
        });
        Ok(())
    }

    /// Rows `start..start + len` in f32, `[len, columns]`, of a matrix on the CPU.
    pub(crate) fn dense_rows(&self, start: usize, len: usize) -> Result<Tensor> {
        let mut numbers = vec![0f32; len * self.columns];
        self.dequantize_rows(start, &mut numbers)?;
        Tensor::from_vec(numbers, (len, self.columns), &Device::Cpu)
    }

    /// The whole matrix in `dtype` where it is: computed in f32, then rounded.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn to_dense(&self, dtype: DType) -> Result<Tensor> {
        let dense = if self.codes.device().is_cpu() {
            self.dense_rows(0, self.rows)?
        } else {
            self.to_dense_by_tensors()?
        };
        dense.to_dtype(dtype)
    }

    /// The whole matrix in f32 by tensor operations, which work on any device.
    fn to_dense_by_tensors(&self) -> Result<Tensor> {
        // As u32, since candle's index_select takes the highest index of a type for "none".
        let look_up =
            |table: &Tensor, indices: &Tensor| table.index_select(&indices.to_dtype(DType::U32)?, 0);
        let scaled = |numbers: &Tensor, scales: &Tensor, block: usize| {
            let (len, blocks) = (numbers.elem_count(), scales.elem_count());
            let whole = numbers.pad_with_zeros(0, 0, blocks * block - len)?.reshape((blocks, block))?;
            whole.broadcast_mul(&scales.reshape((blocks, 1))?)?.flatten_all()?.narrow(0, 0, len)
        };
        let absmax = look_up(&self.nested_map, &self.absmax)?;
        let absmax = (scaled(&absmax, &self.nested_absmax, NESTED_BLOCK)? + f64::from(self.offset))?;
        let pairs = Tensor::new(&PAIRS, self.codes.device())?;
        let numbers = look_up(&pairs, &self.codes)?.flatten_all()?.narrow(0, 0, self.rows * self.columns)?;
        scaled(&numbers, &absmax, BLOCK)?.reshape((self.rows, self.columns))
    }
}

/// The numbers of a contiguous tensor on the CPU that is no view.
fn host<'a, T: WithDType>(storage: &'a StorageRef<'_>) -> Result<&'a [T]> {
    match &**storage {
        Storage::Cpu(storage) => storage.as_slice::<T>(),
        _ => bail!("dequantise rows: the matrix is not on the CPU"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(rows: usize, columns: usize) -> Nf4Matrix {
        let weight = Tensor::randn(0f32, 0.3, (rows, columns), &Device::Cpu).unwrap();
        Nf4Matrix::quantize(&weight, &Device::Cpu).unwrap()
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// `tests/fixtures/make_qlora.py` made them.
    #[test]
    fn matrices_equal_those_of_bitsandbytes_bit_for_bit() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/qlora/nf4.safetensors");
        let all = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        for name in ["wide", "fine", "narrow", "odd"] {
            let part = |part: &str| &all[&format!("{name}.{part}")];
            let matrix = Nf4Matrix::quantize(part("weight"), &Device::Cpu).unwrap();
            let bytes = |tensor: &Tensor| tensor.to_vec1::<u8>().unwrap();
            let bits =
                |tensor: &Tensor| values(tensor).iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&matrix.nested_map), bits(part("nested_map")), "{name}");
            assert_eq!([matrix.offset], part("offset").to_vec1::<f32>().unwrap()[..], "{name}");
            assert_eq!(bits(&matrix.nested_absmax), bits(part("nested_absmax")), "{name}");
            assert_eq!(bytes(&matrix.absmax), bytes(part("absmax")), "{name}");
            assert_eq!(bytes(&matrix.codes), bytes(part("codes")), "{name}");
            if let Some(dense) = all.get(&format!("{name}.dense")) {
                assert_eq!(bits(&matrix.to_dense(DType::F32).unwrap()), bits(dense), "{name}");
            }
        }
    }

    #[test]
    fn any_rows_are_those_of_the_whole() {
        for (rows, columns) in [(37, 96), (5, 7), (700, 129)] {
            let matrix = random(rows, columns);
            let whole = values(&matrix.to_dense(DType::F32).unwrap());
            for (first, count) in [(0, 1), (1, 3), (rows - 2, 2), (rows, 0)] {
                let mut some = vec![0.; count * columns];
                matrix.dequantize_rows(first, &mut some).unwrap();
                assert_eq!(some, whole[first * columns..(first + count) * columns]);
            }
            assert!(matrix.dequantize_rows(rows - 1, &mut vec![0.; columns + 1]).is_err());
        }
    }

    #[test]
    fn both_ways_to_dequantise_agree() {
        for (rows, columns) in [(96, 128), (5, 7), (300, 129)] {
            let matrix = random(rows, columns);
            let by_tensors = matrix.to_dense_by_tensors().unwrap();
            assert_eq!(by_tensors.dims(), [rows, columns]);
            assert_eq!(values(&by_tensors), values(&matrix.to_dense(DType::F32).unwrap()));
        }
    }

    #[test]
    fn errors_are_bounded_by_half_the_widest_gap() {
        let weight = Tensor::randn(0f32, 1., (64, 64), &Device::Cpu).unwrap();
        let dense = Nf4Matrix::quantize(&weight, &Device::Cpu).unwrap().to_dense(DType::F32).unwrap();
        for (numbers, got) in values(&weight).chunks(BLOCK).zip(values(&dense).chunks(BLOCK)) {
            let absmax = numbers.iter().fold(0f32, |largest, number| largest.max(number.abs()));
            let bound = absmax * 0.16 + 0.02;
            assert!(numbers.iter().zip(got).all(|(number, got)| (number - got).abs() <= bound));
        }
    }
}
