//! Pictures and sounds against references made by `tests/fixtures/make.py`, and against bytes that mean harm.

// clippy.toml allows these in test functions; here they are also in what those call.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pictures;
mod robustness;
mod sounds;
mod speech;

use std::path::PathBuf;

/// The bytes of a fixture.
fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A small deterministic generator (xorshift64*), so that failures repeat.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Uniform in -1..1.
    fn uniform(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// About normal, with standard deviation 1: the sum of twelve uniforms.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() / 2.0
    }
}
