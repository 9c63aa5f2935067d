//! Quantised matrices in the order that the CPU's kernels multiply them in.

use candle_core::Result;
use candle_core::quantized::{GgmlDType, QTensor};
use jnana_kernels::{Format, PackedMatrix};

/// The first `keep` rows of `blocks`, which are on the CPU; `None` for formats that the kernels do not know.
pub(super) fn pack(blocks: &QTensor, keep: usize) -> Result<Option<PackedMatrix>> {
    let Some(format) = format(blocks.dtype()) else { return Ok(None) };
    let (rows, columns) = blocks.shape().dims2()?;
    let data = blocks.data()?;
    let kept = data.len() / rows.max(1) * keep;
    Ok(Some(PackedMatrix::new(format, keep, columns, &data[..kept])))
}

fn format(blocks: GgmlDType) -> Option<Format> {
    match blocks {
        GgmlDType::Q4_0 => Some(Format::Q4_0),
        GgmlDType::Q4_1 => Some(Format::Q4_1),
        GgmlDType::Q5_0 => Some(Format::Q5_0),
        GgmlDType::Q5_1 => Some(Format::Q5_1),
        GgmlDType::Q8_0 => Some(Format::Q8_0),
        GgmlDType::Q4K => Some(Format::Q4K),
        GgmlDType::Q5K => Some(Format::Q5K),
        GgmlDType::Q6K => Some(Format::Q6K),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use jnana_kernels::Additions;

    use super::*;

    const KNOWN: [GgmlDType; 8] = [
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q5_1,
        GgmlDType::Q8_0,
        GgmlDType::Q4K,
        GgmlDType::Q5K,
        GgmlDType::Q6K,
    ];

    #[test]
    fn rows_are_what_candle_dequantises_and_products_differ_by_rounding() {
        let weight = Tensor::randn(0f32, 1., (40, 512), &Device::Cpu).unwrap();
        let x = Tensor::randn(0f32, 1., (5, 512), &Device::Cpu).unwrap();
        for dtype in KNOWN {
            let blocks = QTensor::quantize(&weight, dtype).unwrap();
            let dense = blocks.dequantize(&Device::Cpu).unwrap().narrow(0, 0, 37).unwrap();
            let matrix = pack(&blocks, 37).unwrap().unwrap();
            assert_eq!(matrix.dims(), (37, 512));
            for (row, want) in dense.to_vec2::<f32>().unwrap().iter().enumerate() {
                let mut got = vec![0.; 512];
                matrix.unpack_row(row, &mut got);
                assert_eq!(got, *want, "{dtype:?}");
            }
            let numbers = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let got = matrix.product(&numbers, Additions::default());
            let want =
                x.matmul(&dense.t().unwrap()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let squares = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|x| x * x).sum::<f32>();
            let error = squares(&mut got.iter().zip(&want).map(|(got, want)| got - want))
                / squares(&mut want.iter().copied());
            assert!(error.sqrt() < 0.01, "{dtype:?}: {error}");
        }
    }

    #[test]
    fn other_formats_stay_as_they_are() {
        let weight = Tensor::randn(0f32, 1., (4, 256), &Device::Cpu).unwrap();
        assert!(pack(&QTensor::quantize(&weight, GgmlDType::Q3K).unwrap(), 4).unwrap().is_none());
    }
}
