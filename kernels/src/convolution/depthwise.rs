//! A convolution of each channel on its own.
//!
//! Sixteen channels at a time: the sums of some neighbouring outputs stay in registers while the taps pass, and each weight
//! that is loaded meets all of them.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use std::fmt;

use rayon::prelude::*;

use super::{Grid, Kernel, Same};
use crate::activation::Activation;
use crate::isa::{self, Isa};
use crate::lanes::{Lanes, PANEL, Wide};
use crate::output::{Output, filled};
use crate::panels::Panels;
use crate::wide;

/// Outputs of a row that go together: with AVX2 their sums take half of the registers.
const TOGETHER: usize = 4;

/// A depthwise convolution, a bias, and what follows.
pub struct Depthwise {
    /// `[channels, taps]`, taps row by row.
    panels: Panels,
    bias: Vec<f32>,
    kernel: Kernel,
    activation: Activation,
}

impl fmt::Debug for Depthwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Depthwise[{}; {:?}; {:?}]", self.panels.rows, self.kernel, self.activation)
    }
}

impl Depthwise {
    /// From the taps of each channel, row by row, channel after channel, with a bias for each channel.
    ///
    /// # Panics
    /// When channels are no multiple of 16, or have other taps.
    #[must_use]
    pub fn new(numbers: &[f32], bias: &[f32], kernel: Kernel, activation: Activation) -> Self {
        let channels = bias.len();
        assert!(
            channels > 0 && channels.is_multiple_of(PANEL),
            "{channels} channels, no multiple of {PANEL}"
        );
        assert_eq!(numbers.len(), channels * kernel.taps(), "taps of {channels} channels");
        Self { panels: Panels::new(numbers, channels), bias: bias.to_vec(), kernel, activation }
    }

    /// Channels.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.panels.rows
    }

    /// The kernel.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// `x` on `grid`, channels innermost, to the positions of [`grid.after(kernel)`](Grid::after).
    ///
    /// # Panics
    /// When `x` are no such pictures.
    #[must_use]
    pub fn run(&self, x: &[f32], grid: Grid) -> Vec<f32> {
        self.run_with(Isa::best(), x, grid)
    }

    fn run_with(&self, isa: Isa, x: &[f32], grid: Grid) -> Vec<f32> {
        let channels = self.channels();
        assert_eq!(x.len(), grid.positions() * channels, "numbers of {grid:?} with {channels} channels");
        let (down, across) = (Same::new(grid.height, self.kernel), Same::new(grid.width, self.kernel));
        let len = grid.after(self.kernel).positions() * channels;
        // SAFETY: the rows are all rows, and each is written by the task that has it.
        unsafe {
            filled(len, |out| {
                (0..grid.images * down.outputs).into_par_iter().for_each(|row| {
                    let image = row / down.outputs * grid.height;
                    isa.run(Row { convolution: self, x, image, down, across, row, out });
                });
            })
        }
    }
}

/// One row of outputs of one picture.
struct Row<'a> {
    convolution: &'a Depthwise,
    x: &'a [f32],
    /// Number of the picture's first row of inputs.
    image: usize,
    down: Same,
    across: Same,
    /// Number of the row, those of all pictures before it counted.
    row: usize,
    out: &'a Output,
}

impl isa::Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let whole = self.across.whole();
        let mut column = 0;
        while column < self.across.outputs {
            if whole.start <= column && column + TOGETHER <= whole.end {
                self.columns::<L, TOGETHER>(column);
                column += TOGETHER;
            } else {
                self.columns::<L, 1>(column);
                column += 1;
            }
        }
    }
}

impl Row<'_> {
    /// Some neighbouring outputs, which meet the same taps.
    #[inline(always)]
    unsafe fn columns<L: Lanes, const COUNT: usize>(&self, first: usize) {
        let Depthwise { panels, bias, kernel, activation } = self.convolution;
        let channels = panels.rows;
        let (taps_down, top) = self.down.taps(self.row % self.down.outputs);
        let (taps, left) = self.across.taps(first);
        for panel in 0..panels.count() {
            let mut sums = [wide::load_from::<L>(bias[panel * PANEL..][..PANEL].as_ptr()); COUNT];
            for (y, tap_down) in (self.image + top..).zip(taps_down.clone()) {
                let mut x = self.inputs::<COUNT>((y * self.across.inputs + left) * channels, taps.len());
                x = x.add(panel * PANEL);
                let mut weights = panels.panel(panel).add((tap_down * kernel.size + taps.start) * PANEL);
                for _ in taps.clone() {
                    add_products::<L, COUNT>(&mut sums, weights, x, kernel.stride * channels);
                    (x, weights) = (x.add(channels), weights.add(PANEL));
                }
            }
            let at = (self.row * self.across.outputs + first) * channels + panel * PANEL;
            for (column, sums) in wide::all_numbers::<L, COUNT>(&sums).iter().enumerate() {
                let numbers = wide::numbers::<L>(&activation.of::<L>(&wide::load::<L>(sums)));
                self.out.write(at + column * channels, &numbers);
            }
        }
    }

    /// The first of the inputs that so many taps of `COUNT` outputs meet in one row.
    #[inline(always)]
    fn inputs<const COUNT: usize>(&self, at: usize, taps: usize) -> *const f32 {
        let Depthwise { panels, kernel, .. } = self.convolution;
        self.x[at..][..((COUNT - 1) * kernel.stride + taps) * panels.rows].as_ptr()
    }
}

/// Adds one tap's weights times its inputs, which are `apart` for neighbouring outputs.
#[inline(always)]
unsafe fn add_products<L: Lanes, const COUNT: usize>(
    sums: &mut [Wide<L>; COUNT],
    weights: *const f32,
    x: *const f32,
    apart: usize,
) {
    let weights = wide::load_from::<L>(weights);
    for (column, sums) in sums.iter_mut().enumerate() {
        let x = x.add(column * apart);
        for (part, (sum, weight)) in sums.iter_mut().zip(&weights).enumerate().take(L::PARTS) {
            *sum = L::mul_add(L::load(x.add(part * L::LANES)), *weight, *sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919) % 23) as f32 / 8. - 1.3).collect()
    }

    /// In f64, output after output, input after input.
    fn plain(convolution: &Depthwise, numbers: &[f32], x: &[f32], grid: Grid) -> Vec<f64> {
        let Kernel { size, stride } = convolution.kernel;
        let (channels, after) = (convolution.channels(), grid.after(convolution.kernel));
        let before = |inputs: usize, outputs: usize| {
            (((outputs - 1) * stride + size).saturating_sub(inputs) / 2) as isize
        };
        let (top, left) = (before(grid.height, after.height), before(grid.width, after.width));
        let input = |image: usize, y: isize, x_at: isize, channel: usize| {
            let inside = (0..grid.height as isize).contains(&y) && (0..grid.width as isize).contains(&x_at);
            let at =
                ((image * grid.height + y.max(0) as usize) * grid.width + x_at.max(0) as usize) * channels;
            if inside { f64::from(x[at + channel]) } else { 0. }
        };
        let output = |at: usize| {
            let (channel, column) = (at % channels, at / channels % after.width);
            let row = at / channels / after.width;
            let (image, row) = (row / after.height, row % after.height);
            let tap = |tap: usize| {
                let y = (row * stride + tap / size) as isize - top;
                let x = (column * stride + tap % size) as isize - left;
                input(image, y, x, channel) * f64::from(numbers[channel * size * size + tap])
            };
            let sum: f64 = (0..size * size).map(tap).sum();
            (sum + f64::from(convolution.bias[channel])).clamp(0., 6.)
        };
        (0..after.positions() * channels).map(output).collect()
    }

    #[test]
    fn equals_plain_loops_on_every_instruction_set() {
        // Odd and even sizes, rows with and without whole groups of outputs, and pictures of one position.
        for (height, width, channels) in [(14, 9, 48), (7, 12, 16), (1, 1, 32), (3, 28, 16)] {
            let grid = Grid { images: 2, height, width };
            let x = some(grid.positions() * channels);
            for (size, stride) in [(3, 1), (3, 2), (5, 1), (5, 2)] {
                let kernel = Kernel { size, stride };
                let (numbers, bias) = (some(channels * kernel.taps()), some(channels));
                let convolution = Depthwise::new(&numbers, &bias, kernel, Activation::Relu6);
                let want = plain(&convolution, &numbers, &x, grid);
                let first = convolution.run(&x, grid);
                for isa in Isa::available() {
                    let got = convolution.run_with(isa, &x, grid);
                    assert_eq!(got, first, "{isa:?}");
                    assert_eq!(got.len(), want.len());
                    let close = |(got, want): (&f32, &f64)| (f64::from(*got) - want).abs() < 1e-4;
                    assert!(got.iter().zip(&want).all(close), "{isa:?} {kernel:?} {grid:?} {channels}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "no multiple of 16")]
    fn channels_must_fill_panels() {
        let kernel = Kernel { size: 1, stride: 1 };
        let _ = Depthwise::new(&[0.; 8], &[0.; 8], kernel, Activation::Identity);
    }

    #[test]
    #[should_panic(expected = "with 16 channels")]
    fn pictures_must_have_the_channels() {
        let kernel = Kernel { size: 1, stride: 1 };
        let convolution = Depthwise::new(&[0.; 16], &[0.; 16], kernel, Activation::Identity);
        let _ = convolution.run(&[0.; 8], Grid { images: 1, height: 1, width: 1 });
    }
}
