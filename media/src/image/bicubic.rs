//! Antialiased bicubic resampling that equals Pillow's bit for bit.
//!
//! Vision models are trained on pictures that Pillow resized (`Image.resize(…, BICUBIC)`, which Hugging Face's
//! processors call), so its arithmetic is part of the model: kernels widened by the scale, weights rounded to
//! 22-bit fixed point, a horizontal pass rounded to bytes, then a vertical one. Libraries that take 16-bit weights
//! for speed differ from it by a level here and there.
//!
//! Source of the arithmetic: Pillow, `src/libImaging/Resample.c`.

use std::ops::Range;

use super::Picture;

/// Fractional bits of a weight: 32, less 8 for the pixel and 2 for the sum's overshoot.
const PRECISION: u32 = 32 - 8 - 2;
/// Half of one, so that the final shift rounds.
const HALF: i32 = 1 << (PRECISION - 1);
/// Reach of the kernel to either side, in pixels of the coarser grid.
const SUPPORT: f64 = 2.0;

/// The part of a resized picture that is wanted: `width`×`height` pixels from (`left`, `top`) of what resizing
/// to `full_width`×`full_height` would give.
pub(super) struct Window {
    pub full_width: u64,
    pub full_height: u64,
    pub left: u64,
    pub top: u64,
    pub width: u32,
    pub height: u32,
}

/// The pixels of `window`; neither source nor result may be empty. Only what the window shows is computed, so a
/// very long picture costs no more than its crop.
pub(super) fn resize(picture: &Picture, window: &Window) -> Picture {
    let columns = kernels(picture.width, window.full_width, window.left, window.width);
    let rows = kernels(picture.height, window.full_height, window.top, window.height);
    // Rows of the source that the vertical pass reaches; kernels are in order, so the ends tell.
    let first = rows.first().map_or(0, |kernel| kernel.start);
    let last = rows.last().map_or(0, |kernel| kernel.start + kernel.weights.len());
    let narrowed = horizontal(picture, first..last, &columns);
    let pixels = vertical(&narrowed, first, 3 * window.width as usize, &rows);
    Picture { width: window.width, height: window.height, pixels }
}

/// The weights that make one output pixel along one axis, for source pixels from `start` on.
struct Kernel {
    start: usize,
    weights: Vec<i32>,
}

/// The kernels of output positions `offset..offset + count` when `source` pixels become `full`.
fn kernels(source: u32, full: u64, offset: u64, count: u32) -> Vec<Kernel> {
    let scale = f64::from(source) / full as f64;
    let widening = scale.max(1.0);
    let support = SUPPORT * widening;
    let kernel = |position: u64| {
        let center = (position as f64 + 0.5) * scale;
        // Truncation after adding a half, as C's cast does; the source's ends bound it.
        let start = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(source as usize);
        let raw = (start..end).map(|x| bicubic((x as f64 - center + 0.5) * (1.0 / widening)));
        let raw: Vec<f64> = raw.collect();
        let sum: f64 = raw.iter().sum();
        let sum = if sum == 0.0 { 1.0 } else { sum };
        Kernel { start, weights: raw.into_iter().map(|weight| fixed_point(weight / sum)).collect() }
    };
    (offset..offset + u64::from(count)).map(kernel).collect()
}

/// Keys' cubic convolution kernel with a = -1/2 (Catmull-Rom).
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Rounds half away from zero to a multiple of 2⁻²².
fn fixed_point(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION);
    (scaled + 0.5f64.copysign(scaled)) as i32
}

/// A sum of weighted pixels as a byte.
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Resamples the columns of `rows`: `[rows, columns.len(), 3]`.
fn horizontal(picture: &Picture, rows: Range<usize>, columns: &[Kernel]) -> Vec<u8> {
    let stride = 3 * picture.width as usize;
    let mut out = vec![0; rows.len() * columns.len() * 3];
    let sources = picture.pixels[rows.start * stride..rows.end * stride].chunks_exact(stride);
    for (source, target) in sources.zip(out.chunks_exact_mut(3 * columns.len())) {
        for (kernel, pixel) in columns.iter().zip(target.as_chunks_mut::<3>().0) {
            let taps = source[3 * kernel.start..].as_chunks::<3>().0;
            let mut sums = [HALF; 3];
            for (&[r, g, b], &weight) in taps.iter().zip(&kernel.weights) {
                sums[0] += i32::from(r) * weight;
                sums[1] += i32::from(g) * weight;
                sums[2] += i32::from(b) * weight;
            }
            *pixel = sums.map(to_byte);
        }
    }
    out
}

/// Resamples the rows of `source`, whose first row is row `first` of the picture: `[rows.len(), stride]`.
fn vertical(source: &[u8], first: usize, stride: usize, rows: &[Kernel]) -> Vec<u8> {
    let mut out = vec![0; rows.len() * stride];
    let mut sums = vec![HALF; stride];
    for (kernel, target) in rows.iter().zip(out.chunks_exact_mut(stride)) {
        sums.fill(HALF);
        let taps = source[(kernel.start - first) * stride..].chunks_exact(stride);
        for (row, &weight) in taps.zip(&kernel.weights) {
            for (sum, &byte) in sums.iter_mut().zip(row) {
                *sum += i32::from(byte) * weight;
            }
        }
        for (byte, &sum) in target.iter_mut().zip(&sums) {
            *byte = to_byte(sum);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_size_changes_nothing() {
        let pixels: Vec<u8> = (0..5 * 4 * 3).map(|i| (i * 37 % 256) as u8).collect();
        let picture = Picture { width: 5, height: 4, pixels };
        let window = Window { full_width: 5, full_height: 4, left: 0, top: 0, width: 5, height: 4 };
        assert_eq!(resize(&picture, &window), picture);
    }

    #[test]
    fn weights_sum_to_one_within_rounding() {
        for (source, full) in [(1024, 224), (13, 224), (7, 3), (1, 50)] {
            for kernel in kernels(source, full, 0, full as u32) {
                let sum: i32 = kernel.weights.iter().sum();
                assert!(
                    (sum - (1 << PRECISION)).unsigned_abs() as usize <= kernel.weights.len(),
                    "{source}→{full}"
                );
            }
        }
    }

    #[test]
    fn a_window_is_a_cut_of_the_whole() {
        let (width, height) = (31, 17);
        let pixels = (0..width * height * 3).map(|i| (i * i % 251) as u8).collect();
        let picture = Picture { width, height, pixels };
        let whole = Window { full_width: 40, full_height: 12, left: 0, top: 0, width: 40, height: 12 };
        let part = Window { left: 9, top: 5, width: 20, height: 6, ..whole };
        let (whole, part) = (resize(&picture, &whole), resize(&picture, &part));
        for y in 0..6 {
            let from = 3 * ((y + 5) * 40 + 9);
            assert_eq!(part.pixels[3 * y * 20..3 * (y + 1) * 20], whole.pixels[from..from + 60], "row {y}");
        }
    }
}
