//! How fast products with quantised weights are: one row (a step of decoding, bound by memory) in GB of weights a second,
//! many rows (reading a prompt, bound by arithmetic) in Gop/s. Weights are distinct matrices of more than the caches hold.
//!
//! `cargo run --release -p jnana-kernels --example products`

use std::hint::black_box;
use std::time::Instant;

use jnana_kernels::{Additions, Format, PackedMatrix, process};

/// Rows and columns of a matrix: about those of a linear of SmolLM2-135M.
const SHAPE: (usize, usize) = (1536, 768);

/// Bytes of all matrices.
const TOTAL: usize = 192 << 20;

/// Passes over all matrices, of which the fastest counts.
const PASSES: usize = 5;

/// Formats with the columns and the bytes of a block in a file.
const FORMATS: [(Format, usize, usize); 5] = [
    (Format::Q4_0, 32, 18),
    (Format::Q4_1, 32, 20),
    (Format::Q8_0, 32, 34),
    (Format::Q4K, 256, 144),
    (Format::Q6K, 256, 210),
];

fn main() {
    process::settle_threads();
    println!("{} threads", rayon::current_num_threads());
    let (rows, columns) = SHAPE;
    for (format, wide, size) in FORMATS {
        let blocks: Vec<u8> = (0..rows * columns / wide * size).map(|at| (at * 31 % 59) as u8).collect();
        let count = TOTAL / blocks.len();
        let start = Instant::now();
        let matrices: Vec<PackedMatrix> =
            (0..count).map(|_| PackedMatrix::new(format, rows, columns, &blocks)).collect();
        println!(
            "{format:?}: packed in {:.0} ns a block of 32",
            1e9 * start.elapsed().as_secs_f64() / (count * rows * columns / 32) as f64
        );
        for m in [1, 2, 4, 8, 16, 128] {
            let x: Vec<f32> = (0..m * columns).map(|i| ((i * 7919) % 23) as f32 - 11.).collect();
            // Many rows take long enough with some of the matrices.
            let some = &matrices[..count.div_ceil(m)];
            let seconds = fastest(|| {
                for matrix in some {
                    black_box(matrix.product(&x, Additions::default()));
                }
            });
            let bytes: usize = some.iter().map(PackedMatrix::bytes).sum();
            let operations = 2. * (some.len() * m * rows * columns) as f64;
            println!(
                "  {m:>3} rows: {:6.1} GB/s, {:7.1} Gop/s",
                bytes as f64 / seconds / 1e9,
                operations / seconds / 1e9
            );
        }
    }
}

fn fastest(pass: impl Fn()) -> f64 {
    let seconds = (0..PASSES).map(|_| {
        let start = Instant::now();
        pass();
        start.elapsed().as_secs_f64()
    });
    seconds.fold(f64::INFINITY, f64::min)
}
