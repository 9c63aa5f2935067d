//! What safe code could not do, or only slower: arithmetic on slices in the CPU's memory, and settings of the process.
//! Everything here is safe to call.
//!
//! Serving multiplies quantised weights ([`PackedMatrix`], with a [`LowRank`] update where an adapter has one) and attends to
//! cached positions ([`cached_attention`]); both give a row the same bits in any company. Encoders multiply plain weights
//! ([`DenseMatrix`]) and convolve ([`convolution`]). Training multiplies dense matrices ([`product()`], [`add_product`]).
//! Below them: `isa`, `lanes` and `wide` (which instructions, and what they can), `memory` and `panels` (for weights),
//! `output` (what threads share), [`math`] (functions and sums).

mod activation;
mod attention;
pub mod convolution;
mod dense;
mod isa;
mod lanes;
mod low_rank;
pub mod math;
mod memory;
mod output;
mod packed;
mod panels;
pub mod process;
mod product;
pub mod usage;
mod wide;

pub use activation::Activation;
pub use attention::{Cached, Heads, Slabs, cached_attention};
pub use dense::DenseMatrix;
pub use low_rank::LowRank;
pub use packed::{Additions, Format, PackedMatrix};
pub use product::{Matrix, add_product, product};
