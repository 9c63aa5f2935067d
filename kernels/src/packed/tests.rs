use super::*;
use crate::lanes::BLOCK;
use crate::math::half;

const FORMATS: [Format; 8] = Format::ALL;

/// Random bits (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn byte(&mut self) -> u8 {
        (self.next() >> 24) as u8
    }

    /// The bytes of an f16 of either sign between 2^-7 and 1.
    fn half(&mut self) -> [u8; 2] {
        let bits = (self.next() >> 20) as u16;
        (bits & 0x83ff | (8 + bits % 7) << 10).to_le_bytes()
    }

    fn numbers(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.next() >> 40) as f32 / (1u32 << 23) as f32 - 1.).collect()
    }

    /// Random codes and scales.
    fn blocks(&mut self, format: Format, rows: usize, columns: usize) -> Vec<u8> {
        let mut blocks = Vec::new();
        for _ in 0..rows * columns / format.block_columns() {
            let mut block: Vec<u8> = (0..format.block_bytes()).map(|_| self.byte()).collect();
            let halves: &[usize] = match format {
                Format::Q4_0 | Format::Q5_0 | Format::Q8_0 => &[0],
                Format::Q4_1 | Format::Q5_1 | Format::Q4K | Format::Q5K => &[0, 2],
                Format::Q6K => &[208],
            };
            for at in halves {
                block[*at..at + 2].copy_from_slice(&self.half());
            }
            blocks.extend(block);
        }
        blocks
    }
}

/// What ggml says a block stands for (`dequantize_row_*` of ggml-quants.c), written down once more.
fn dequantise(format: Format, block: &[u8]) -> Vec<f32> {
    let f16 = |at: usize| half(u16::from_le_bytes([block[at], block[at + 1]]));
    let nibble = |start: usize, i: usize| f32::from(block[start + i % 16] >> (i / 16 * 4) & 15);
    let bit = |start: usize, i: usize| f32::from(block[start + i / 8] >> (i % 8) & 1);
    match format {
        Format::Q4_0 => (0..BLOCK).map(|i| (nibble(2, i) - 8.) * f16(0)).collect(),
        Format::Q4_1 => (0..BLOCK).map(|i| nibble(4, i) * f16(0) + f16(2)).collect(),
        Format::Q5_0 => (0..BLOCK).map(|i| (nibble(6, i) + 16. * bit(2, i) - 16.) * f16(0)).collect(),
        Format::Q5_1 => (0..BLOCK).map(|i| (nibble(8, i) + 16. * bit(4, i)) * f16(0) + f16(2)).collect(),
        Format::Q8_0 => block[2..].iter().map(|code| f32::from(*code as i8) * f16(0)).collect(),
        Format::Q4K | Format::Q5K => {
            let scales = &block[4..16];
            let pair = |j: usize| match j {
                0..4 => (scales[j] & 63, scales[j + 4] & 63),
                _ => {
                    let (scale, minimum) = (scales[j + 4] & 0xf, scales[j + 4] >> 4);
                    (scale | (scales[j - 4] >> 6) << 4, minimum | (scales[j] >> 6) << 4)
                }
            };
            let five = format == Format::Q5K;
            let number = |i: usize| {
                let (scale, minimum) = pair(i / 32);
                let low = block[if five { 48 } else { 16 } + i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
                let high = if five { block[16 + i % 32] >> (i / 32) & 1 } else { 0 };
                f16(0) * f32::from(scale) * f32::from(low | high << 4) - f16(2) * f32::from(minimum)
            };
            (0..256).map(number).collect()
        }
        Format::Q6K => {
            let number = |i: usize| {
                let (n, l, part) = (i / 128, i % 32, i % 128 / 32);
                let low = block[64 * n + l + part % 2 * 32] >> (part / 2 * 4) & 15;
                let high = block[128 + 32 * n + l] >> (2 * part) & 3;
                let code = (low | high << 4) as i8 - 32;
                f16(208) * f32::from(block[192 + i / 16] as i8) * f32::from(code)
            };
            (0..256).map(number).collect()
        }
    }
}

struct Case {
    format: Format,
    matrix: PackedMatrix,
    plain: Vec<f32>,
    x: Vec<f32>,
}

impl Case {
    fn new(format: Format, (m, rows, blocks): (usize, usize, usize), random: &mut Random) -> Self {
        let columns = blocks * format.block_columns();
        let bytes = random.blocks(format, rows, columns);
        Self::of(format, (rows, columns), &bytes, random.numbers(m * columns))
    }

    fn of(format: Format, (rows, columns): (usize, usize), bytes: &[u8], x: Vec<f32>) -> Self {
        let plain = bytes.chunks(format.block_bytes()).flat_map(|block| dequantise(format, block)).collect();
        Self { format, matrix: PackedMatrix::new(format, rows, columns, bytes), plain, x }
    }

    fn check(&self, isa: Isa) {
        let got = self.matrix.product_with(isa, &self.x, Additions::default());
        for (got, (want, size)) in got.iter().zip(self.exact()) {
            let error = (f64::from(*got) - want).abs();
            assert!(
                error <= 2e-6 * size,
                "{:?} {:?} {isa:?}: {got}, {want}",
                self.format,
                self.matrix.dims()
            );
        }
    }

    /// `[m, rows]` in f64 from rounded activations, and for each the sum of the products' magnitudes.
    fn exact(&self) -> Vec<(f64, f64)> {
        let (rows, columns) = self.matrix.dims();
        let rounded: Vec<f64> = self.x.chunks(BLOCK).flat_map(round).collect();
        let product = |x: &[f64], row: usize| {
            let weights = &self.plain[row * columns..][..columns];
            let products = x.iter().zip(weights).map(|(x, weight)| x * f64::from(*weight));
            products.fold((0., 0.), |(sum, size), product| (sum + product, size + product.abs()))
        };
        rounded.chunks(columns).flat_map(|x| (0..rows).map(move |row| product(x, row))).collect()
    }
}

fn round(block: &[f32]) -> Vec<f64> {
    let largest = block.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    let inverse = 127. / largest;
    block.iter().map(|x| f64::from((x * inverse).round_ties_even()) * f64::from(largest / 127.)).collect()
}

/// Shapes with whole and broken panels and tiles, in blocks of the format.
const SHAPES: [(usize, usize, usize); 5] = [(1, 1, 1), (1, 40, 3), (2, 16, 2), (8, 33, 1), (21, 50, 4)];

#[test]
fn rows_unpack_to_what_their_blocks_stand_for() {
    let mut random = Random(1);
    for format in FORMATS {
        let case = Case::new(format, (1, 37, 3), &mut random);
        let mut row = vec![0.; case.matrix.dims().1];
        for (index, want) in case.plain.chunks(row.len()).enumerate() {
            case.matrix.unpack_row(index, &mut row);
            assert_eq!(row, want, "{format:?}");
        }
    }
}

#[test]
fn panels_that_were_kept_are_the_matrix() {
    let mut random = Random(7);
    for format in FORMATS {
        let case = Case::new(format, (3, 37, 2), &mut random);
        let (rows, columns) = case.matrix.dims();
        let restored = PackedMatrix::restore(case.matrix.format(), rows, columns, |panels| {
            panels.copy_from_slice(case.matrix.panels());
            Ok::<_, ()>(())
        });
        let want = case.matrix.product(&case.x, Additions::default());
        assert_eq!(restored.unwrap().product(&case.x, Additions::default()), want, "{format:?}");
    }
    let failed = PackedMatrix::restore(Format::Q8_0, 1, 32, |_| Err("no such file"));
    assert_eq!(failed.unwrap_err(), "no such file");
}

#[test]
fn products_are_those_of_rounded_activations() {
    let mut random = Random(2);
    for format in FORMATS {
        for shape in SHAPES {
            let case = Case::new(format, shape, &mut random);
            for isa in Isa::available() {
                case.check(isa);
            }
        }
    }
}

#[test]
fn instruction_sets_agree_to_the_bit() {
    let mut random = Random(3);
    for format in FORMATS {
        for shape in SHAPES {
            let Case { matrix, x, .. } = Case::new(format, shape, &mut random);
            let bias = random.numbers(shape.1);
            let additions = Additions { bias: Some(&bias), update: None };
            let all: Vec<Vec<f32>> =
                Isa::available().into_iter().map(|isa| matrix.product_with(isa, &x, additions)).collect();
            assert!(all.iter().all(|other| *other == all[0]), "{format:?} {shape:?}");
        }
    }
}

#[test]
fn a_row_alone_gets_the_same_bits_as_among_others() {
    let mut random = Random(4);
    for format in FORMATS {
        let Case { matrix, x, .. } = Case::new(format, (21, 50, 4), &mut random);
        let (rows, columns) = matrix.dims();
        for isa in Isa::available() {
            let together = matrix.product_with(isa, &x, Additions::default());
            for count in [1, 2, 3, 7, 8, 9] {
                let parts = x.chunks(count * columns);
                let apart: Vec<f32> =
                    parts.flat_map(|x| matrix.product_with(isa, x, Additions::default())).collect();
                assert_eq!(apart, together, "{format:?} {isa:?} in parts of {count} of {rows}");
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    let mut random = Random(5);
    let Case { matrix, x, .. } = Case::new(Format::Q4_1, (9, 700, 20), &mut random);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| matrix.product(&x, Additions::default()))
    };
    assert!(with(1) == with(4) && with(1) == with(3));
}

/// The largest codes of both signs with the largest activations: 16 bits hold what is summed in them.
#[test]
fn the_largest_numbers_do_not_saturate() {
    let signs: [fn(usize) -> f32; 3] = [|_| 1., |_| -1., |i| if i % 4 < 2 { 1. } else { -1. }];
    for format in FORMATS {
        let codes = match format {
            Format::Q4_0 | Format::Q5_0 | Format::Q8_0 => 2..format.block_bytes(),
            Format::Q4_1 | Format::Q5_1 => 4..format.block_bytes(),
            Format::Q4K | Format::Q5K => 16..format.block_bytes(),
            Format::Q6K => 0..192,
        };
        for fill in [0x00, 0x7f, 0x80, 0xff] {
            let mut bytes = Random(6).blocks(format, 17, 256);
            bytes.chunks_mut(format.block_bytes()).for_each(|block| block[codes.clone()].fill(fill));
            for sign in signs {
                let case = Case::of(format, (17, 256), &bytes, (0..2 * 256).map(sign).collect());
                for isa in Isa::available() {
                    case.check(isa);
                }
            }
        }
    }
}

#[test]
fn what_is_no_number_is_not_lost() {
    let mut random = Random(7);
    for format in FORMATS {
        let Case { matrix, mut x, .. } = Case::new(format, (2, 20, 2), &mut random);
        let columns = matrix.dims().1;
        x[columns + 3] = f32::NAN;
        let y = matrix.product(&x, Additions::default());
        assert!(y[..20].iter().all(|y| y.is_finite()) && y[20..].iter().all(|y| y.is_nan()), "{format:?}");
    }
}

#[test]
fn no_rows_have_no_products() {
    let matrix = PackedMatrix::new(Format::Q8_0, 3, 32, &[0; 3 * 34]);
    assert!(matrix.product(&[], Additions::default()).is_empty());
    assert!(PackedMatrix::new(Format::Q8_0, 0, 32, &[]).product(&[1.; 32], Additions::default()).is_empty());
}

#[test]
#[should_panic(expected = "numbers in rows of 32")]
fn rows_must_have_as_many_numbers_as_columns() {
    let _ = PackedMatrix::new(Format::Q8_0, 1, 32, &[0; 34]).product(&[0.; 33], Additions::default());
}

#[test]
#[should_panic(expected = "rows of 48 numbers in blocks of 32")]
fn rows_must_be_whole_blocks() {
    let _ = PackedMatrix::new(Format::Q4_0, 1, 48, &[0; 27]);
}
