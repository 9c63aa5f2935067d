//! What safe code could not do, or only slower: arithmetic on slices in the CPU's memory, and settings of the process.
//! Everything here is safe to call.

pub mod memory;
pub mod process;
mod product;

pub use product::{Matrix, add_product, product};
