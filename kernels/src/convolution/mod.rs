//! Convolutions over pictures with their channels innermost, `[images, height, width, channels]`, and TensorFlow's "SAME"
//! padding. One that mixes channels at a single position is a product ([`DenseMatrix`](crate::DenseMatrix)); what is left
//! is one of each channel on its own ([`Depthwise`]), and [`patches`], which make a product of any other.

mod depthwise;
mod patches;

use std::ops::Range;

pub use self::depthwise::Depthwise;
pub use self::patches::patches;

/// Positions of some pictures, picture after picture, row after row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Pictures.
    pub images: usize,
    /// Rows of a picture.
    pub height: usize,
    /// Positions of a row.
    pub width: usize,
}

impl Grid {
    /// All of them.
    #[must_use]
    pub fn positions(self) -> usize {
        self.images * self.height * self.width
    }

    /// Those that a convolution gives.
    #[must_use]
    pub fn after(self, kernel: Kernel) -> Self {
        let [height, width] = [self.height, self.width].map(|size| Same::new(size, kernel).outputs);
        Self { height, width, ..self }
    }
}

/// A square kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// Taps of a row, and rows.
    pub size: usize,
    /// From one output to the next, in inputs.
    pub stride: usize,
}

impl Kernel {
    /// Taps.
    #[must_use]
    pub fn taps(self) -> usize {
        self.size * self.size
    }
}

/// "SAME" padding along one axis: `ceil(inputs / stride)` outputs; of an odd padding the larger half comes after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Same {
    kernel: Kernel,
    inputs: usize,
    outputs: usize,
    /// Zeros before the first input.
    before: usize,
}

impl Same {
    fn new(inputs: usize, kernel: Kernel) -> Self {
        assert!(kernel.size > 0 && kernel.stride > 0, "{kernel:?}");
        let outputs = inputs.div_ceil(kernel.stride);
        let total = (outputs.saturating_sub(1) * kernel.stride + kernel.size).saturating_sub(inputs);
        Self { kernel, inputs, outputs, before: total / 2 }
    }

    /// The taps of an output that meet an input, and the input that the first of them meets.
    #[inline(always)]
    fn taps(self, output: usize) -> (Range<usize>, usize) {
        let start = output * self.kernel.stride;
        let first = self.before.saturating_sub(start).min(self.kernel.size);
        let last = (self.inputs + self.before).saturating_sub(start).min(self.kernel.size);
        (first..last.max(first), (start + first).saturating_sub(self.before))
    }

    /// Outputs that meet an input with each of their taps.
    fn whole(self) -> Range<usize> {
        let first = self.before.div_ceil(self.kernel.stride);
        let last = (self.inputs + self.before + self.kernel.stride).saturating_sub(self.kernel.size);
        first..(last / self.kernel.stride).clamp(first, self.outputs.max(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_tensorflows() {
        let same = |inputs, size, stride| Same::new(inputs, Kernel { size, stride });
        // An even size and stride 2: one zero, behind the last input.
        assert_eq!((same(224, 3, 2).outputs, same(224, 3, 2).before), (112, 0));
        assert_eq!((same(7, 5, 1).outputs, same(7, 5, 1).before), (7, 2));
        assert_eq!((same(7, 3, 2).outputs, same(7, 3, 2).before), (4, 1));
        let grid = Grid { images: 2, height: 224, width: 7 };
        let after = grid.after(Kernel { size: 3, stride: 2 });
        assert_eq!(after, Grid { images: 2, height: 112, width: 4 });
        assert_eq!(after.positions(), 2 * 112 * 4);
    }

    #[test]
    fn whole_outputs_are_those_with_all_taps() {
        for (size, stride) in [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2), (2, 3)] {
            for inputs in 1..20 {
                let same = Same::new(inputs, Kernel { size, stride });
                let whole: Vec<usize> =
                    (0..same.outputs).filter(|output| same.taps(*output).0 == (0..size)).collect();
                assert_eq!(same.whole().collect::<Vec<_>>(), whole, "{inputs} inputs, {size} taps, {stride}");
            }
        }
    }
}
