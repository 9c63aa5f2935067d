//! The arithmetic of NF4 on plain numbers, rounded where bitsandbytes' CPU code (0.50) rounds.

/// Numbers that share one absmax, the largest magnitude among them.
pub(crate) const BLOCK: usize = 64;

/// Absmaxes that share one nested absmax.
pub(crate) const NESTED_BLOCK: usize = 256;

/// The 16 values: quantiles of the normal distribution, scaled to −1..1 (Dettmers et al. 2023, appendix E).
#[rustfmt::skip]
pub(crate) const CODE: [f32; 16] = [
    -1., -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.091050036, 0.,
    0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.,
];

/// The code of zero, which fills up a last byte.
const ZERO: u8 = 7;

/// The two values of each byte; the first is in the high nibble.
pub(crate) const PAIRS: [[f32; 2]; 256] = {
    let mut pairs = [[0.; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [CODE[byte >> 4], CODE[byte & 15]];
        byte += 1;
    }
    pairs
};

/// Half-way between one value and the next.
const MIDDLES: [f32; 15] = {
    let mut middles = [0.; 15];
    let mut code = 0;
    while code < middles.len() {
        middles[code] = (CODE[code] + CODE[code + 1]) / 2.;
        code += 1;
    }
    middles
};

/// What is divided by is at least this.
const SMALLEST: f32 = 1e-38;

/// Writes the codes of one block, two a byte, and returns its absmax. A last block that is not full is divided where the
/// others are multiplied, which may differ in a last bit.
pub(super) fn quantize_block(numbers: &[f32], bytes: &mut [u8]) -> f32 {
    let mut absmax = numbers.iter().fold(0f32, |largest, number| largest.max(number.abs()));
    let mut codes = [ZERO; BLOCK];
    if numbers.len() == BLOCK {
        let scale = 1. / absmax.max(SMALLEST);
        codes.iter_mut().zip(numbers).for_each(|(code, number)| *code = nearest(number * scale));
    } else {
        absmax = absmax.max(SMALLEST);
        codes.iter_mut().zip(numbers).for_each(|(code, number)| *code = nearest(number / absmax));
    }
    for (byte, pair) in bytes.iter_mut().zip(codes.as_chunks::<2>().0) {
        *byte = pair[0] << 4 | pair[1];
    }
    absmax
}

/// The nearest code, the lower one of two that are equally near.
fn nearest(number: f32) -> u8 {
    MIDDLES.iter().map(|middle| u8::from(*middle < number)).sum()
}

/// Writes the values of the numbers from `start` on, all of one block, times `scale`.
pub(super) fn unpack(bytes: &[u8], start: usize, scale: f32, numbers: &mut [f32]) {
    let (mut bytes, mut numbers) = (&bytes[start / 2..], numbers);
    if start % 2 == 1 && !numbers.is_empty() {
        let (first, rest) = numbers.split_at_mut(1);
        first[0] = PAIRS[usize::from(bytes[0])][1] * scale;
        (bytes, numbers) = (&bytes[1..], rest);
    }
    let (pairs, last) = numbers.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        let [first, second] = PAIRS[usize::from(*byte)];
        *pair = [first * scale, second * scale];
    }
    if let [number] = last {
        *number = PAIRS[usize::from(bytes[pairs.len()])][0] * scale;
    }
}

/// Absmaxes in 8 bits.
pub(super) struct Nested {
    /// Each as an index into [`dynamic_map`].
    pub(super) indices: Vec<u8>,
    /// The largest magnitude of each [`NESTED_BLOCK`] of them, less the mean.
    pub(super) absmax: Vec<f32>,
    /// Their mean.
    pub(super) offset: f32,
}

/// Quantises absmaxes, less their mean, to about the nearest value of `map`.
pub(super) fn quantize_absmax(absmax: &[f32], map: &[f32; 256]) -> Nested {
    let offset = mean(absmax);
    let mut nested = Nested { indices: Vec::with_capacity(absmax.len()), absmax: Vec::new(), offset };
    for block in absmax.chunks(NESTED_BLOCK) {
        let largest = block.iter().fold(0f32, |largest, value| largest.max((value - offset).abs()));
        let scale = 1. / largest;
        nested.absmax.push(largest);
        nested.indices.extend(block.iter().map(|value| nearest_in(map, (value - offset) * scale)));
    }
    nested
}

/// The value of `map` that is nearest to the nearest of 65,536 steps from −1 to 1: bitsandbytes looks it up in a table of
/// these. What is not a number (where all absmaxes are alike) gets index 0, and any would do.
fn nearest_in(map: &[f32; 256], number: f32) -> u8 {
    const LAST: f32 = 65_535.;
    let step = ((number + 1.) * 0.5 * LAST + 0.5) as u16;
    let number = f32::from(step) / LAST * 2. - 1.;
    let below = map.partition_point(|value| *value <= number).saturating_sub(1);
    let above = (below + 1).min(map.len() - 1);
    let index = if (number - map[above]).abs() < (number - map[below]).abs() { above } else { below };
    index as u8
}

/// The 256 values of the dynamic 8-bit data type (Dettmers 2016, arXiv 1511.04561), sorted: for each of seven powers of
/// ten the middles of 1, 2, 4, … 64 equal parts of 0.1..1, both signs; zero and one.
pub(super) fn dynamic_map() -> [f32; 256] {
    let mut map = [0f32; 256];
    let mut at = 0;
    for exponent in 0..7 {
        let (parts, power) = (1usize << exponent, 10f64.powi(exponent - 6) as f32);
        for part in 0..parts {
            let middle = (boundary(part, parts) + boundary(part + 1, parts)) / 2.;
            map[at] = power * middle;
            map[at + 1] = -power * middle;
            at += 2;
        }
    }
    map[at] = 1.;
    map.sort_unstable_by(f32::total_cmp);
    map
}

/// The `i`-th of the `parts + 1` boundaries of `parts` equal parts of 0.1..1, rounded as torch's `linspace`.
fn boundary(i: usize, parts: usize) -> f32 {
    let step = (1. - 0.1f32) / parts as f32;
    if i < parts.div_ceil(2) { step.mul_add(i as f32, 0.1) } else { (-step).mul_add((parts - i) as f32, 1.) }
}

/// The mean, added up in the order of torch's CPU kernel (`SumKernel.cpp` on one thread, for 8 values or more): its last
/// bit shows in every absmax. 4 × 8 columns are summed next to each other, and 16 sums of one level make one of the next.
fn mean(values: &[f32]) -> f32 {
    const LANES: usize = 8;
    const COLUMNS: usize = 4 * LANES;
    const LEVELS: usize = 4;
    let (rows, rest) = values.as_chunks::<COLUMNS>();
    let mut levels = [[0f32; COLUMNS]; LEVELS];
    for (count, row) in (1usize..).zip(rows) {
        add(&mut levels[0], row);
        let full = (count.trailing_zeros() as usize / 4).min(LEVELS - 1);
        for level in 0..full {
            let partial = std::mem::replace(&mut levels[level], [0.; COLUMNS]);
            add(&mut levels[level + 1], &partial);
        }
    }
    let [mut sums, higher @ ..] = levels;
    higher.iter().for_each(|level| add(&mut sums, level));
    let (vectors, tail) = rest.as_chunks::<LANES>();
    let (lanes, other_lanes) = sums.split_at_mut(LANES);
    vectors.iter().for_each(|vector| add(lanes, vector));
    other_lanes.chunks_exact(LANES).for_each(|others| add(lanes, others));
    let sum = tail.iter().chain(lanes.iter()).fold(0f32, |sum, value| sum + value);
    sum / values.len() as f32
}

fn add(sums: &mut [f32], values: &[f32]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_its_own_nearest_and_ties_go_down() {
        for (code, value) in (0u8..).zip(CODE) {
            assert_eq!(nearest(value), code);
        }
        // 0.5 · 0.0795803 is exactly between codes 7 and 8.
        assert_eq!(nearest(CODE[8] / 2.), 7);
        assert_eq!(nearest(0.), ZERO);
    }

    #[test]
    fn the_dynamic_map_rises_to_one() {
        let map = dynamic_map();
        assert!(map.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((map[0], map[127], map[254], map[255]), (-0.99296874, 0., 0.99296874, 1.));
    }

    #[test]
    fn numbers_unpack_from_any_start() {
        let numbers: Vec<f32> = (0..BLOCK).map(|i| CODE[i * 7 % 16]).collect();
        let mut bytes = [0; BLOCK / 2];
        assert_eq!(quantize_block(&numbers, &mut bytes), 1.);
        for start in 0..6 {
            for len in 0..6 {
                let mut got = vec![0.; len];
                unpack(&bytes, start, 2., &mut got);
                let want: Vec<f32> = numbers[start..start + len].iter().map(|number| number * 2.).collect();
                assert_eq!(got, want, "{start}, {len}");
            }
        }
    }

    #[test]
    fn a_mean_of_many_is_a_mean() {
        let values: Vec<f32> = (0..10_007).map(|i| (i * 37 % 1000) as f32).collect();
        let exact = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
        assert!((f64::from(mean(&values)) - exact).abs() < 1e-3, "{} and {exact}", mean(&values));
    }
}
