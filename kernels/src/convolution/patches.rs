//! What a kernel sees, as rows of numbers: the other half of a convolution is then a product.

use rayon::prelude::*;

use super::{Grid, Kernel, Same};

/// The patches that a kernel sees of pictures whose channels lie apart, `[images, channels, height, width]`: a row for each
/// output of `kernel² · channels` numbers, tap after tap, zeros where a tap meets nothing.
///
/// # Panics
/// When `x` are no such pictures.
#[must_use]
pub fn patches(x: &[f32], grid: Grid, channels: usize, kernel: Kernel) -> Vec<f32> {
    assert_eq!(x.len(), grid.positions() * channels, "numbers of {grid:?} with {channels} channels");
    let (down, across) = (Same::new(grid.height, kernel), Same::new(grid.width, kernel));
    let plane = grid.height * grid.width;
    let patch = kernel.taps() * channels;
    let mut out = vec![0.; grid.after(kernel).positions() * patch];
    out.par_chunks_mut((across.outputs * patch).max(1)).enumerate().for_each(|(row, out)| {
        let (image, row) = (row / down.outputs, row % down.outputs);
        let x = &x[image * channels * plane..][..channels * plane];
        let (taps_down, top) = down.taps(row);
        for (column, out) in out.chunks_exact_mut(patch).enumerate() {
            let (taps, left) = across.taps(column);
            for (y, tap_down) in (top..).zip(taps_down.clone()) {
                for (at, tap) in (y * grid.width + left..).zip(taps.clone()) {
                    let out = &mut out[(tap_down * kernel.size + tap) * channels..][..channels];
                    for (out, plane) in out.iter_mut().zip(x.chunks_exact(plane)) {
                        *out = plane[at];
                    }
                }
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_what_a_kernel_sees() {
        // Two channels of 3 × 3, the second 100 above the first; outputs at every second input.
        let x: Vec<f32> = (0..18).map(|i| (i % 9 + i / 9 * 100) as f32).collect();
        let grid = Grid { images: 1, height: 3, width: 3 };
        let rows = patches(&x, grid, 2, Kernel { size: 3, stride: 2 });
        assert_eq!(rows.len(), 4 * 18);
        // The first output is padded above and on the left, the last below and on the right.
        let first = [0., 0., 0., 0., 0., 0., 0., 0., 0., 100., 1., 101., 0., 0., 3., 103., 4., 104.];
        assert_eq!(rows[..18], first);
        let last = [4., 104., 5., 105., 0., 0., 7., 107., 8., 108., 0., 0., 0., 0., 0., 0., 0., 0.];
        assert_eq!(rows[54..], last);
    }

    #[test]
    fn pictures_do_not_meet() {
        let x: Vec<f32> = (0..8).map(|i| i as f32).collect();
        let (one, two) = (Grid { images: 1, height: 2, width: 2 }, Grid { images: 2, height: 2, width: 2 });
        let kernel = Kernel { size: 3, stride: 1 };
        let both = patches(&x, two, 1, kernel);
        assert_eq!(both, [patches(&x[..4], one, 1, kernel), patches(&x[4..], one, 1, kernel)].concat());
    }
}
