//! Sketches: what a person draws on a canvas.
//!
//! `jnana.transcriber/1` says in words what was drawn, so that any language model can be asked about it. `jnana.features/1`
//! gives the drawing as numbers, 16 positions of 72, from which a projector into a model's embedding space is trained.
//!
//! The files are the steps: [`drawing`] reads the strokes, [`shape`] recognises each, [`words`] says them, [`features`] turns
//! all of them into numbers, [`plugin`] is the part that the host sees.

pub mod drawing;
pub mod features;
pub mod plugin;
pub mod shape;
pub mod words;

jnana_plugin_sdk::export_plugin!(plugin::Sketch);
