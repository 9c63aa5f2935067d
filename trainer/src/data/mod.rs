//! From files to batches.
//!
//! 1. [`source`] reads a recipe's sources ([`coco`], [`llava`], [`easy_vqa`], [`text`]) into [`record`]s; what is broken is
//!    counted and named by [`faults`];
//! 2. [`features`] runs the frozen vision encoder over the pictures once and keeps what comes out in a file;
//! 3. [`example`] renders records as serving would, with a target for every token that counts;
//! 4. [`branches`] lets examples that begin alike share a row; [`plan`] deals examples of like length into batches, in an order that can be taken up again at any batch;
//! 5. [`batch`] puts the examples of a batch into tensors, and [`loader`] does so ahead of the training loop.

pub mod batch;
pub mod branches;
pub mod coco;
pub mod easy_vqa;
pub mod example;
pub mod faults;
pub mod features;
pub mod llava;
pub mod loader;
pub mod plan;
pub mod record;
pub mod source;
pub mod text;
