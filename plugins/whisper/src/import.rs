//! Makes a ggml file of a CTranslate2 folder (the format of faster-whisper and WhisperX). Tensor by tensor and in chunks,
//! so that a model of any size needs a few megabytes; f16 sources give the published ggml files byte for byte.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::check;
use crate::ct2::{Ct2Error, Ct2File};
use crate::ggml::{self, Sizes, Tensor};
use crate::parts::Parts;
use crate::vocabulary::{self, VocabularyError};

/// Elements converted at a time.
const CHUNK: usize = 1 << 20;

/// Why an import failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file could not be read or written.
    #[error("{operation} {path}: {source}")]
    File {
        /// What was done.
        operation: &'static str,
        /// To which file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// `model.bin` is not a model this program can read.
    #[error("{path}: {source}")]
    Model {
        /// Folder of the model.
        path: String,
        /// The cause.
        source: Ct2Error,
    },
    /// The vocabulary beside it is not Whisper's.
    #[error("{path}: {source}")]
    Vocabulary {
        /// Folder of the model.
        path: String,
        /// The cause.
        source: VocabularyError,
    },
    /// Shapes that no Whisper model has.
    #[error("{path}: {name} has shape {found:?}, expected {expected}")]
    Shape {
        /// Folder of the model.
        path: String,
        /// Variable.
        name: String,
        /// What was expected.
        expected: String,
        /// Its shape.
        found: Vec<usize>,
    },
}

/// The files that hold `model.bin`'s bytes, in order; empty when the folder holds no CTranslate2 model.
#[must_use]
pub fn model_files(folder: &Path) -> Vec<PathBuf> {
    let whole = folder.join("model.bin");
    if whole.is_file() {
        return vec![whole];
    }
    (1..).map(|i| folder.join(format!("model.bin.part{i}"))).take_while(|path| path.is_file()).collect()
}

/// The ggml file made of `folder`, in `cache`. It is made on the first call and found on later ones; its name holds a hash
/// of the source files' paths, sizes and times, so that a changed source is imported anew.
///
/// # Errors
/// [`ImportError`]; nothing is left in `cache` then.
pub fn cached(folder: &Path, cache: &Path) -> Result<PathBuf, ImportError> {
    let target = cache.join(format!("ggml-{}.bin", fingerprint(folder)?));
    if check::check(&target).is_ok() {
        return Ok(target);
    }
    let failed =
        |operation, source| ImportError::File { operation, path: target.display().to_string(), source };
    std::fs::create_dir_all(cache).map_err(|e| failed("making the folder of", e))?;
    let temporary = tempfile::NamedTempFile::new_in(cache).map_err(|e| failed("creating", e))?;
    import(folder, temporary.as_file())?;
    temporary.as_file().sync_all().map_err(|e| failed("writing", e))?;
    temporary.persist(&target).map_err(|e| failed("renaming to", e.error))?;
    Ok(target)
}

fn fingerprint(folder: &Path) -> Result<String, ImportError> {
    let mut hash = Sha256::new();
    let vocabularies = ["vocabulary.json", "vocabulary.txt"].map(|name| folder.join(name));
    for path in model_files(folder).into_iter().chain(vocabularies.into_iter().filter(|path| path.exists())) {
        let failed =
            |source| ImportError::File { operation: "reading", path: path.display().to_string(), source };
        let data = std::fs::metadata(&path).map_err(failed)?;
        let modified = data.modified().map_err(failed)?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let absolute = path.canonicalize().map_err(failed)?;
        hash.update(format!("{}\n{}\n{}\n", absolute.display(), data.len(), modified.as_nanos()));
    }
    Ok(hex::encode(&hash.finalize()[..8]))
}

/// Converts the CTranslate2 model in `folder` and writes it to `out`.
///
/// # Errors
/// [`ImportError`].
pub fn import(folder: &Path, out: impl Write) -> Result<(), ImportError> {
    let path = || folder.display().to_string();
    let read = |source| ImportError::File { operation: "opening model.bin in", path: path(), source };
    let model = |source| ImportError::Model { path: path(), source };
    let write = |source| ImportError::File { operation: "writing the ggml file of", path: path(), source };
    let mut source = Ct2File::open(Parts::open(&model_files(folder)).map_err(read)?).map_err(model)?;
    let sizes = sizes(&mut source, folder)?;
    let tokens = vocabulary::read(folder, sizes.multilingual())
        .map_err(|source| ImportError::Vocabulary { path: path(), source })?;
    let mut out = BufWriter::with_capacity(1 << 20, out);
    ggml::write_header(&mut out, &sizes, &tokens).map_err(write)?;
    for tensor in ggml::layout(&sizes) {
        let place = place(&tensor.name);
        let start = place.part * tensor.dims.iter().product::<usize>();
        confirm(&source, &place, &tensor, folder)?;
        ggml::write_tensor(&mut out, &tensor).map_err(write)?;
        let elements: usize = tensor.dims.iter().product();
        for at in (0..elements).step_by(CHUNK) {
            let values =
                source.values(&place.variable, start + at, CHUNK.min(elements - at)).map_err(model)?;
            ggml::write_values(&mut out, tensor.kept, &values).map_err(write)?;
        }
    }
    out.flush().map_err(write)
}

/// The model's sizes follow from shapes; only the heads are written down.
fn sizes(source: &mut Ct2File<Parts>, folder: &Path) -> Result<Sizes, ImportError> {
    let model = |source| ImportError::Model { path: folder.display().to_string(), source };
    let shape = |source: &Ct2File<Parts>, name: &str, rank: usize| {
        let dims = source.variable(name).map_err(model)?.dims.clone();
        if dims.len() == rank {
            return Ok(dims);
        }
        let (path, name) = (folder.display().to_string(), name.to_owned());
        Err(ImportError::Shape { path, name, expected: format!("{rank} dimensions"), found: dims })
    };
    let embeddings = shape(source, "decoder/embeddings/weight", 2)?;
    let audio = shape(source, "encoder/position_encodings/encodings", 2)?;
    let text = shape(source, "decoder/position_encodings/encodings", 2)?;
    let convolution = shape(source, "encoder/conv1/weight", 3)?;
    let layers = |source: &Ct2File<Parts>, side: &str| {
        (0..)
            .take_while(|i| source.variable(&format!("{side}/layer_{i}/ffn/linear_0/weight")).is_ok())
            .count()
    };
    let mut heads = |side: &str| {
        let heads = source.integer(&format!("{side}/num_heads")).map_err(model)?;
        Ok(usize::try_from(heads).unwrap_or(0))
    };
    let (audio_heads, text_heads) = (heads("encoder")?, heads("decoder")?);
    Ok(Sizes {
        vocab: embeddings[0],
        audio_ctx: audio[0],
        width: embeddings[1],
        audio_heads,
        audio_layers: layers(source, "encoder"),
        text_ctx: text[0],
        text_heads,
        text_layers: layers(source, "decoder"),
        mels: convolution[1],
    })
}

/// Where a ggml tensor's values are: in which variable, and in which of its equal parts.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    variable: String,
    /// Index of the part: fused projections hold query, key and value one under the other.
    part: usize,
    /// Number of parts.
    parts: usize,
}

fn place(name: &str) -> Place {
    let whole = |variable: String| Place { variable, part: 0, parts: 1 };
    let Some((side, rest)) = name.split_once('.') else { return whole(name.to_owned()) };
    if let Some(rest) = rest.strip_prefix("blocks.") {
        let (layer, tensor) = rest.split_once('.').unwrap_or((rest, ""));
        let (variable, part, parts) = block_place(tensor);
        return Place { variable: format!("{side}/layer_{layer}/{variable}"), part, parts };
    }
    whole(match rest {
        "positional_embedding" => format!("{side}/position_encodings/encodings"),
        "token_embedding.weight" => format!("{side}/embeddings/weight"),
        "ln.weight" | "ln_post.weight" => format!("{side}/layer_norm/gamma"),
        "ln.bias" | "ln_post.bias" => format!("{side}/layer_norm/beta"),
        other => format!("{side}/{}", other.replace('.', "/")),
    })
}

/// Variable below `layer_i`, part and number of parts of a block's tensor.
fn block_place(tensor: &str) -> (String, usize, usize) {
    let (module, kind) = tensor.rsplit_once('.').unwrap_or((tensor, ""));
    let norm = if kind == "weight" { "gamma" } else { "beta" };
    let (variable, part, parts) = match module {
        "mlp_ln" => return (format!("ffn/layer_norm/{norm}"), 0, 1),
        "attn_ln" => return (format!("self_attention/layer_norm/{norm}"), 0, 1),
        "cross_attn_ln" => return (format!("attention/layer_norm/{norm}"), 0, 1),
        "mlp.0" => ("ffn/linear_0", 0, 1),
        "mlp.2" => ("ffn/linear_1", 0, 1),
        "attn.query" => ("self_attention/linear_0", 0, 3),
        "attn.key" => ("self_attention/linear_0", 1, 3),
        "attn.value" => ("self_attention/linear_0", 2, 3),
        "attn.out" => ("self_attention/linear_1", 0, 1),
        "cross_attn.query" => ("attention/linear_0", 0, 1),
        "cross_attn.key" => ("attention/linear_1", 0, 2),
        "cross_attn.value" => ("attention/linear_1", 1, 2),
        "cross_attn.out" => ("attention/linear_2", 0, 1),
        other => (other, 0, 1),
    };
    (format!("{variable}/{kind}"), part, parts)
}

/// Compares a variable's shape with the tensor's: as many columns, and as many rows as the parts have together.
fn confirm(
    source: &Ct2File<Parts>,
    place: &Place,
    tensor: &Tensor,
    folder: &Path,
) -> Result<(), ImportError> {
    let path = folder.display().to_string();
    let found = &source
        .variable(&place.variable)
        .map_err(|source| ImportError::Model { path: path.clone(), source })?
        .dims;
    let mut expected = tensor.dims.clone();
    expected[0] *= place.parts;
    // A convolution's bias is a column in ggml and a plain vector in CTranslate2.
    let column = expected.len() == 2 && expected[1] == 1 && found.as_slice() == &expected[..1];
    if *found == expected || column {
        return Ok(());
    }
    let (name, found) = (place.variable.clone(), found.clone());
    Err(ImportError::Shape { path, name, expected: format!("{expected:?}"), found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_found_in_fused_projections() {
        let found = place("decoder.blocks.3.cross_attn.value.bias");
        let expected =
            Place { variable: "decoder/layer_3/attention/linear_1/bias".to_owned(), part: 1, parts: 2 };
        assert_eq!(found, expected);
        assert_eq!(
            place("encoder.blocks.0.attn.key.weight").variable,
            "encoder/layer_0/self_attention/linear_0/weight"
        );
        assert_eq!(place("encoder.ln_post.bias").variable, "encoder/layer_norm/beta");
        assert_eq!(place("encoder.conv1.bias").variable, "encoder/conv1/bias");
    }

    #[test]
    fn an_empty_folder_is_no_model() {
        let folder = tempfile::tempdir().unwrap();
        assert!(model_files(folder.path()).is_empty());
        assert!(import(folder.path(), Vec::new()).is_err());
    }

    #[test]
    fn garbage_leaves_nothing_in_the_cache() {
        let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("model.bin"), [7; 4096]).unwrap();
        let error = cached(folder.path(), cache.path()).unwrap_err().to_string();
        assert!(error.contains("binary version 6"), "{error}");
        assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0);
    }
}
