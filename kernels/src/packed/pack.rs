//! From the blocks of a file to panels and back. Codes and scales stay what they are; only their places change.

use std::array::from_fn;

use super::format::{Format, HALVES, NIBBLES};
use crate::lanes::{BLOCK, PANEL, VECTOR};
use crate::math::half;

/// The codes of 32 columns, in their order.
type Codes = [u8; BLOCK];

/// Fills a panel, zeros so far, with the blocks of up to sixteen rows of so many columns.
pub(super) fn pack(format: Format, panel: &mut [u8], blocks: &[u8], columns: usize) {
    let (wide, size) = (format.block_columns(), format.block_bytes());
    let (codes, scales) = panel.split_at_mut(columns / BLOCK * format.code_bytes());
    for (row, blocks) in blocks.chunks_exact(columns / wide * size).enumerate() {
        let codes = codes.chunks_exact_mut(wide / BLOCK * format.code_bytes());
        let scales = scales.chunks_exact_mut(format.scale_bytes());
        for (block, (codes, scales)) in blocks.chunks_exact(size).zip(codes.zip(scales)) {
            let place = Place { codes, scales, row };
            match format {
                Format::Q4_0 => q4_0(block, place),
                Format::Q4_1 => q4_1(block, place),
                Format::Q5_0 => q5_0(block, place),
                Format::Q5_1 => q5_1(block, place),
                Format::Q8_0 => q8_0(block, place),
                Format::Q4K => q4_k(block, place),
                Format::Q5K => q5_k(block, place),
                Format::Q6K => q6_k(block, place),
            }
        }
    }
}

/// Where a block of one row goes.
struct Place<'a> {
    codes: &'a mut [u8],
    scales: &'a mut [u8],
    row: usize,
}

impl Place<'_> {
    /// A word to each vector from byte `start` on.
    fn words(&mut self, start: usize, bytes: &[u8]) {
        for (word, bytes) in bytes.as_chunks::<4>().0.iter().enumerate() {
            self.codes[start + word * VECTOR + 4 * self.row..][..4].copy_from_slice(bytes);
        }
    }

    fn nibbles(&mut self, start: usize, codes: &Codes) {
        let pairs: [u8; BLOCK / 2] = from_fn(|i| codes[i] & 15 | codes[i + BLOCK / 2] << 4);
        self.words(start, &pairs);
    }

    fn fives(&mut self, start: usize, codes: &Codes) {
        self.nibbles(start, codes);
        let upper: [u8; 4] =
            from_fn(|byte| (0..BLOCK / 4).fold(0, |bits, word| bits | (codes[4 * word + byte] >> 4) << word));
        self.words(start + NIBBLES, &upper);
    }

    fn sixes(&mut self, start: usize, codes: &Codes) {
        self.nibbles(start, codes);
        let upper: [u8; BLOCK / 4] = from_fn(|at| {
            let bits = |i: usize| (codes[at / 4 * 16 + 4 * i + at % 4] >> 4) << (2 * i);
            bits(0) | bits(1) | bits(2) | bits(3)
        });
        self.words(start + NIBBLES, &upper);
    }

    /// A scale in f16, to those from byte `at` on.
    fn half(&mut self, at: usize, bytes: [u8; 2]) {
        self.scales[at + 2 * self.row..][..2].copy_from_slice(&bytes);
    }

    /// A multiple of a scale, to those from byte `at` on.
    fn multiple(&mut self, at: usize, multiple: u8) {
        self.scales[at + self.row] = multiple;
    }
}

/// Scale, 16 pairs of codes.
fn q4_0(block: &[u8], mut place: Place<'_>) {
    place.half(0, [block[0], block[1]]);
    place.words(0, &block[2..]);
}

/// Scale, minimum, 16 pairs of codes.
fn q4_1(block: &[u8], mut place: Place<'_>) {
    place.half(0, [block[0], block[1]]);
    place.half(HALVES, [block[2], block[3]]);
    place.words(0, &block[4..]);
}

/// Scale, 32 upper bits, 16 pairs of lower bits.
fn q5_0(block: &[u8], mut place: Place<'_>) {
    place.half(0, [block[0], block[1]]);
    place.fives(0, &with_upper_bits(&block[2..]));
}

/// Scale, minimum, 32 upper bits, 16 pairs of lower bits.
fn q5_1(block: &[u8], mut place: Place<'_>) {
    place.half(0, [block[0], block[1]]);
    place.half(HALVES, [block[2], block[3]]);
    place.fives(0, &with_upper_bits(&block[4..]));
}

fn with_upper_bits(bytes: &[u8]) -> Codes {
    let (upper, pairs) = bytes.split_at(4);
    from_fn(|i| pairs[i % 16] >> (i / 16 * 4) & 15 | (upper[i / 8] >> (i % 8) & 1) << 4)
}

/// Scale, 32 codes.
fn q8_0(block: &[u8], mut place: Place<'_>) {
    place.half(0, [block[0], block[1]]);
    place.words(0, &block[2..]);
}

/// Scales, 128 bytes of codes: in each 32 of these, the codes of 32 columns in low and those of the next 32 in high halves.
fn q4_k(block: &[u8], mut place: Place<'_>) {
    let bytes = scales_of_super(block, &mut place);
    for index in 0..8 {
        place.nibbles(index * NIBBLES, &from_fn(|i| half_byte(bytes, index, i)));
    }
}

/// Scales, 32 bytes of upper bits, where bit i belongs to the i-th 32 columns, and the lower bits as those of 4.
fn q5_k(block: &[u8], mut place: Place<'_>) {
    let (upper, bytes) = scales_of_super(block, &mut place).split_at(BLOCK);
    for index in 0..8 {
        let codes = from_fn(|i| half_byte(bytes, index, i) | (upper[i] >> index & 1) << 4);
        place.fives(index * Format::Q5K.code_bytes(), &codes);
    }
}

fn half_byte(bytes: &[u8], index: usize, i: usize) -> u8 {
    bytes[index / 2 * BLOCK + i] >> (index % 2 * 4) & 15
}

/// Places what formats with a minimum for 256 columns begin with, and returns what follows: scale, minimum, and 12 bytes of
/// their multiples, six bits each. The first four of both kinds have bytes of their own, whose upper bits are those of the
/// last four.
fn scales_of_super<'a>(block: &'a [u8], place: &mut Place<'_>) -> &'a [u8] {
    place.half(0, [block[0], block[1]]);
    place.half(HALVES, [block[2], block[3] ^ 0x80]);
    let (bytes, rest) = block[4..].split_at(12);
    for index in 0..8 {
        let (scale, minimum) = match index {
            0..4 => (bytes[index] & 63, bytes[index + 4] & 63),
            _ => {
                let low = bytes[index + 4];
                (low & 15 | bytes[index - 4] >> 6 << 4, low >> 4 | bytes[index] >> 6 << 4)
            }
        };
        let at = 2 * HALVES + index * 2 * PANEL;
        place.multiple(at, scale);
        place.multiple(at + PANEL, minimum);
    }
    rest
}

/// 128 bytes of the lower 4 bits, 64 of the upper 2, 16 multiples, scale. Of each 128 columns, the lower bits of the first
/// 64 are in low and those of the others in high halves; the upper bits of columns 32 apart share a byte.
fn q6_k(block: &[u8], mut place: Place<'_>) {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    for index in 0..8 {
        let (half, part) = (index / 4, index % 4);
        let low = &low[64 * half + part % 2 * BLOCK..][..BLOCK];
        let high = &high[half * BLOCK..][..BLOCK];
        let codes: Codes = from_fn(|i| low[i] >> (part / 2 * 4) & 15 | (high[i] >> (2 * part) & 3) << 4);
        place.sixes(index * Format::Q6K.code_bytes(), &codes);
    }
    for (index, multiple) in rest[..16].iter().enumerate() {
        place.multiple(HALVES + index * PANEL, *multiple);
    }
    place.half(0, [rest[16], rest[17]]);
}

/// One row of a panel as plain numbers.
pub(super) fn unpack(format: Format, panel: &[u8], row: usize, numbers: &mut [f32]) {
    let (size, wide) = (format.code_bytes(), format.block_columns() / BLOCK);
    let (codes, scales) = panel.split_at(numbers.len() / BLOCK * size);
    for (block, numbers) in numbers.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        let source = Source {
            codes: &codes[block * size..][..size],
            scales: &scales[block / wide * format.scale_bytes()..][..format.scale_bytes()],
            row,
        };
        *numbers = source.numbers(format, block % wide);
    }
}

/// Where 32 columns of one row come from.
struct Source<'a> {
    codes: &'a [u8],
    scales: &'a [u8],
    row: usize,
}

impl Source<'_> {
    /// The block number `index` of those that share their scales.
    fn numbers(&self, format: Format, index: usize) -> [f32; BLOCK] {
        let scale = self.half(0);
        let minimum = || self.half(HALVES);
        let multiples = |at: usize| [at, at + PANEL].map(|at| self.scales[at + index * 2 * PANEL + self.row]);
        match format {
            Format::Q4_0 => self.nibbles().map(|code| (f32::from(code) - 8.) * scale),
            Format::Q4_1 => self.nibbles().map(|code| f32::from(code) * scale + minimum()),
            Format::Q5_0 => self.fives().map(|code| (f32::from(code) - 16.) * scale),
            Format::Q5_1 => self.fives().map(|code| f32::from(code) * scale + minimum()),
            Format::Q8_0 => self.words::<BLOCK>(0).map(|code| f32::from(code as i8) * scale),
            Format::Q4K | Format::Q5K => {
                let [first, second] = multiples(2 * HALVES).map(f32::from);
                let (scale, minimum) = (scale * first, minimum() * second);
                let codes = if format == Format::Q4K { self.nibbles() } else { self.fives() };
                codes.map(|code| f32::from(code) * scale + minimum)
            }
            Format::Q6K => {
                let scales = multiples(HALVES).map(|multiple| scale * f32::from(multiple as i8));
                let codes = self.sixes();
                from_fn(|i| scales[i / (BLOCK / 2)] * (f32::from(codes[i]) - 32.))
            }
        }
    }

    /// A word from each vector from byte `start` on.
    fn words<const N: usize>(&self, start: usize) -> [u8; N] {
        from_fn(|i| self.codes[start + i / 4 * VECTOR + 4 * self.row + i % 4])
    }

    fn nibbles(&self) -> Codes {
        let pairs = self.words::<{ BLOCK / 2 }>(0);
        from_fn(|i| pairs[i % pairs.len()] >> (i / pairs.len() * 4) & 15)
    }

    fn fives(&self) -> Codes {
        let (low, upper) = (self.nibbles(), self.words::<4>(NIBBLES));
        from_fn(|i| low[i] | (upper[i % 4] >> (i / 4) & 1) << 4)
    }

    fn sixes(&self) -> Codes {
        let (low, upper) = (self.nibbles(), self.words::<{ BLOCK / 4 }>(NIBBLES));
        from_fn(|i| low[i] | (upper[i / 16 * 4 + i % 4] >> (i % 16 / 4 * 2) & 3) << 4)
    }

    fn half(&self, at: usize) -> f32 {
        let at = at + 2 * self.row;
        half(u16::from_le_bytes([self.scales[at], self.scales[at + 1]]))
    }
}
