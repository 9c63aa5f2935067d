//! How fast the layers of vision encoders are, a picture at a time: EfficientNet-Lite0 at 224 pixels and CLIP ViT-B/32. The
//! sums leave out what does not multiply: CLIP's attention and norms, and making patches.
//!
//! `cargo run --release -p jnana-kernels --example encoders`

use std::hint::black_box;
use std::time::Instant;

use jnana_kernels::convolution::{Depthwise, Grid, Kernel};
use jnana_kernels::{Activation, DenseMatrix, process};

/// Runs of a layer, of which the fastest counts.
const RUNS: usize = 30;

/// EfficientNet-Lite0's stages: blocks, side of the inputs, their channels, kernel, stride, factor of widening, channels.
const STAGES: [[usize; 7]; 7] = [
    [1, 112, 32, 3, 1, 1, 16],
    [2, 112, 16, 3, 2, 6, 24],
    [2, 56, 24, 5, 2, 6, 40],
    [3, 28, 40, 3, 2, 6, 80],
    [3, 14, 80, 5, 1, 6, 112],
    [4, 14, 112, 5, 2, 6, 192],
    [1, 7, 192, 3, 1, 6, 320],
];

/// CLIP's positions, width and layers.
const CLIP: [usize; 3] = [50, 768, 12];

fn main() {
    process::settle_threads();
    println!("{} threads", rayon::current_num_threads());
    let mut efficientnet = Sum::new("EfficientNet-Lite0");
    efficientnet.dense(112 * 112, 27, 32, 1);
    for [blocks, mut side, mut inputs, kernel, mut stride, widening, outputs] in STAGES {
        for _ in 0..blocks {
            let wide = inputs * widening;
            if widening > 1 {
                efficientnet.dense(side * side, inputs, wide, 1);
            }
            efficientnet.depthwise(side, wide, Kernel { size: kernel, stride });
            side = side.div_ceil(stride);
            efficientnet.dense(side * side, wide, outputs, 1);
            (inputs, stride) = (outputs, 1);
        }
    }
    efficientnet.dense(49, 320, 1280, 1);
    efficientnet.print();
    let [positions, width, layers] = CLIP;
    let mut clip = Sum::new("CLIP ViT-B/32");
    for (inputs, outputs) in [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)] {
        clip.dense(positions, inputs, outputs, layers);
    }
    clip.print();
}

/// Layers of a network.
struct Sum {
    name: &'static str,
    seconds: f64,
    multiplications: usize,
}

impl Sum {
    fn new(name: &'static str) -> Self {
        println!("{name}");
        Self { name, seconds: 0., multiplications: 0 }
    }

    /// So many layers of one shape, each with weights of its own, as a network reads them.
    fn dense(&mut self, rows: usize, inputs: usize, outputs: usize, layers: usize) {
        let (weight, bias) = (numbers(inputs * outputs), numbers(outputs));
        let matrices: Vec<DenseMatrix> =
            (0..layers).map(|_| DenseMatrix::new(&weight, &bias, Activation::Relu6)).collect();
        let x = numbers(rows * inputs);
        let name = format!("{layers} × dense [{rows}, {inputs}] to {outputs}");
        self.measure(&name, layers * rows * inputs * outputs, || {
            for matrix in &matrices {
                black_box(matrix.product(&x, None));
            }
        });
    }

    fn depthwise(&mut self, side: usize, channels: usize, kernel: Kernel) {
        let (weight, bias) = (numbers(kernel.taps() * channels), numbers(channels));
        let convolution = Depthwise::new(&weight, &bias, kernel, Activation::Relu6);
        let grid = Grid { images: 1, height: side, width: side };
        let x = numbers(grid.positions() * channels);
        let outputs = grid.after(kernel).positions() * channels;
        let name = format!("depthwise {kernel:?} over [{side}, {side}, {channels}]");
        self.measure(&name, outputs * kernel.taps(), || drop(black_box(convolution.run(&x, grid))));
    }

    fn measure(&mut self, name: &str, multiplications: usize, run: impl Fn()) {
        let seconds = (0..RUNS).map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        });
        let seconds = seconds.fold(f64::INFINITY, f64::min);
        line(name, seconds, multiplications);
        self.seconds += seconds;
        self.multiplications += multiplications;
    }

    fn print(&self) {
        line(self.name, self.seconds, self.multiplications);
    }
}

fn line(name: &str, seconds: f64, multiplications: usize) {
    println!("  {:7.3} ms {:7.1} Gop/s  {name}", 1e3 * seconds, 2e-9 * multiplications as f64 / seconds);
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919) % 23) as f32 / 8. - 1.3).collect()
}
