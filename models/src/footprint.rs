//! What a decoder will take of the memory, told from its files' headers before it is loaded.

use std::fs;
use std::path::Path;

use crate::load::{Checkpoint, LoadOptions, open_checkpoint};
use crate::weights::{Quantization, TensorSource};
use crate::{Error, Result};

/// Bytes that a decoder takes, within a tenth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Its weights.
    pub weights: u64,
    /// Keys and values of one position of a conversation.
    pub position: u64,
}

/// Of what [`load_decoder`](crate::load_decoder) would load with `options`.
///
/// # Errors
/// When the path holds no model, its files are damaged, or the types do not go together.
pub fn footprint(path: &Path, options: &LoadOptions) -> Result<Footprint> {
    let (dtype, activations) = options.types()?;
    let Checkpoint { source, config, .. } = open_checkpoint(path)?;
    config.check(source.path())?;
    let position = config.cache_numbers() * activations.size_in_bytes();
    let shapes: Vec<(String, Vec<usize>)> =
        source.names().into_iter().filter_map(|name| Some((name.clone(), source.shape(&name)?))).collect();
    let file = stored_bytes(source.as_ref())?;
    let numbers: u64 = shapes.iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum();
    let size = |(name, shape): &(String, Vec<usize>)| {
        let quantize =
            options.quantize.and_then(|it| if is_of_words(name) { it.for_head() } else { Some(it) });
        weight_bytes(shape, quantize, dtype.size_in_bytes())
    };
    // What takes less than one and a half bytes a number is in blocks, and stays as large as it is.
    let in_blocks = 2 * file < 3 * numbers;
    let weights = if in_blocks { file } else { shapes.iter().map(size).sum() };
    Ok(Footprint { weights, position: position as u64 })
}

/// Embedding table and head.
fn is_of_words(name: &str) -> bool {
    name.ends_with("embed_tokens.weight") || name.ends_with("lm_head.weight")
}

/// Bytes of a tensor of `shape` in memory, where a number that is not quantised takes `size`.
fn weight_bytes(shape: &[usize], quantize: Option<Quantization>, size: usize) -> u64 {
    let numbers = shape.iter().product::<usize>();
    let bytes = match (shape, quantize) {
        // Half a byte, and a scale in four for each 64.
        ([_, _], Some(Quantization::Nf4)) => numbers / 2 + numbers / 16,
        (&[_, columns], Some(quantize)) => match quantize.blocks(columns) {
            Some(blocks) => numbers / blocks.block_size() * blocks.type_size(),
            None => numbers * size,
        },
        _ => numbers * size,
    };
    bytes as u64
}

/// Bytes of the files with the weights.
fn stored_bytes(source: &dyn TensorSource) -> Result<u64> {
    let path = source.path();
    let length =
        |path: &Path| fs::metadata(path).map(|about| about.len()).map_err(Error::io("look at", path));
    if path.is_file() {
        return length(path);
    }
    let entries = fs::read_dir(path).map_err(Error::io("read", path))?;
    let files = entries.flatten().map(|entry| entry.path());
    files
        .filter(|file| file.extension().is_some_and(|it| it == "safetensors"))
        .map(|file| length(&file))
        .sum()
}
