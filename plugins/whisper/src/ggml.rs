//! whisper.cpp's model file: header, mel filters, vocabulary, tensors. Described by `whisper_model_load` in whisper.cpp
//! and written here in the order of its `convert-pt-to-ggml.py`, so that files are equal byte for byte.

use std::io::{self, Write};

use half::f16;

use crate::mel;

/// First four bytes of a file.
pub const MAGIC: u32 = 0x6767_6d6c;
/// Number of the f16 file type in the header.
const FTYPE_F16: i32 = 1;
const TYPE_F32: i32 = 0;
const TYPE_F16: i32 = 1;

/// Sizes of a model, in the order of the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// Tokens: rows of the token embedding.
    pub vocab: usize,
    /// Positions of the encoder: 1,500 for 30 s.
    pub audio_ctx: usize,
    /// Width.
    pub width: usize,
    /// Heads of the encoder.
    pub audio_heads: usize,
    /// Blocks of the encoder.
    pub audio_layers: usize,
    /// Positions of the decoder.
    pub text_ctx: usize,
    /// Heads of the decoder.
    pub text_heads: usize,
    /// Blocks of the decoder.
    pub text_layers: usize,
    /// Bands of the mel spectrogram.
    pub mels: usize,
}

impl Sizes {
    /// The header's eleven numbers.
    fn numbers(&self) -> [usize; 10] {
        let Self {
            vocab,
            audio_ctx,
            width,
            audio_heads,
            audio_layers,
            text_ctx,
            text_heads,
            text_layers,
            mels,
        } = *self;
        [vocab, audio_ctx, width, audio_heads, audio_layers, text_ctx, width, text_heads, text_layers, mels]
    }

    /// True for models that know languages other than English.
    #[must_use]
    pub fn multilingual(&self) -> bool {
        self.vocab >= 51_865
    }
}

/// How a tensor is kept in an f16 file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// As f32: everything small.
    F32,
    /// As f16 (or quantised, in files made by others).
    Wide,
}

/// A tensor of the model: name, shape, element type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Name as in OpenAI's checkpoints.
    pub name: String,
    /// Shape, outermost first.
    pub dims: Vec<usize>,
    /// Element type.
    pub kept: Kept,
}

/// All tensors of a model, in the order of a file.
#[must_use]
pub fn layout(sizes: &Sizes) -> Vec<Tensor> {
    let d = sizes.width;
    let mut list = List(Vec::new());
    list.add("decoder.positional_embedding", &[sizes.text_ctx, d], Kept::F32);
    list.add("encoder.positional_embedding", &[sizes.audio_ctx, d], Kept::F32);
    list.add("decoder.token_embedding.weight", &[sizes.vocab, d], Kept::Wide);
    for i in 0..sizes.text_layers {
        let block = format!("decoder.blocks.{i}");
        list.block(&block, d);
        list.norm(&format!("{block}.cross_attn_ln"), d);
        list.attention(&format!("{block}.cross_attn"), d);
    }
    list.norm("decoder.ln", d);
    list.convolution("encoder.conv1", d, sizes.mels);
    list.convolution("encoder.conv2", d, d);
    for i in 0..sizes.audio_layers {
        list.block(&format!("encoder.blocks.{i}"), d);
    }
    list.norm("encoder.ln_post", d);
    list.0
}

struct List(Vec<Tensor>);

impl List {
    fn add(&mut self, name: &str, dims: &[usize], kept: Kept) {
        self.0.push(Tensor { name: name.to_owned(), dims: dims.to_vec(), kept });
    }

    fn norm(&mut self, name: &str, width: usize) {
        self.add(&format!("{name}.weight"), &[width], Kept::F32);
        self.add(&format!("{name}.bias"), &[width], Kept::F32);
    }

    fn linear(&mut self, name: &str, rows: usize, columns: usize) {
        self.add(&format!("{name}.weight"), &[rows, columns], Kept::Wide);
        self.add(&format!("{name}.bias"), &[rows], Kept::F32);
    }

    fn convolution(&mut self, name: &str, out: usize, into: usize) {
        self.add(&format!("{name}.weight"), &[out, into, 3], Kept::Wide);
        self.add(&format!("{name}.bias"), &[out, 1], Kept::F32);
    }

    fn attention(&mut self, name: &str, d: usize) {
        self.linear(&format!("{name}.query"), d, d);
        self.add(&format!("{name}.key.weight"), &[d, d], Kept::Wide);
        self.linear(&format!("{name}.value"), d, d);
        self.linear(&format!("{name}.out"), d, d);
    }

    fn block(&mut self, name: &str, d: usize) {
        self.norm(&format!("{name}.mlp_ln"), d);
        self.linear(&format!("{name}.mlp.0"), 4 * d, d);
        self.linear(&format!("{name}.mlp.2"), d, 4 * d);
        self.norm(&format!("{name}.attn_ln"), d);
        self.attention(&format!("{name}.attn"), d);
    }
}

/// Writes everything before the tensors.
///
/// # Errors
/// What the writer says.
pub fn write_header(out: &mut impl Write, sizes: &Sizes, vocabulary: &[Vec<u8>]) -> io::Result<()> {
    out.write_all(&MAGIC.to_le_bytes())?;
    for number in sizes.numbers() {
        write_number(out, number)?;
    }
    out.write_all(&FTYPE_F16.to_le_bytes())?;
    write_number(out, sizes.mels)?;
    write_number(out, mel::BINS)?;
    write_f32(out, &mel::filters(sizes.mels))?;
    write_number(out, vocabulary.len())?;
    for token in vocabulary {
        write_number(out, token.len())?;
        out.write_all(token)?;
    }
    Ok(())
}

/// Writes a tensor's description; its values follow with [`write_values`].
///
/// # Errors
/// What the writer says.
pub fn write_tensor(out: &mut impl Write, tensor: &Tensor) -> io::Result<()> {
    write_number(out, tensor.dims.len())?;
    write_number(out, tensor.name.len())?;
    let kind = if tensor.kept == Kept::F32 { TYPE_F32 } else { TYPE_F16 };
    out.write_all(&kind.to_le_bytes())?;
    for &dim in tensor.dims.iter().rev() {
        write_number(out, dim)?;
    }
    out.write_all(tensor.name.as_bytes())
}

/// Writes some of a tensor's values in the type it is kept in.
///
/// # Errors
/// What the writer says.
pub fn write_values(out: &mut impl Write, kept: Kept, values: &[f32]) -> io::Result<()> {
    match kept {
        Kept::F32 => write_f32(out, values),
        Kept::Wide => {
            let bytes: Vec<u8> = values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
            out.write_all(&bytes)
        }
    }
}

fn write_f32(out: &mut impl Write, values: &[f32]) -> io::Result<()> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    out.write_all(&bytes)
}

fn write_number(out: &mut impl Write, number: usize) -> io::Result<()> {
    let number = i32::try_from(number).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    out.write_all(&number.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensor_counts_are_those_of_the_published_models() {
        let tiny = Sizes {
            vocab: 51_864,
            audio_ctx: 1500,
            width: 384,
            audio_heads: 6,
            audio_layers: 4,
            text_ctx: 448,
            text_heads: 6,
            text_layers: 4,
            mels: 80,
        };
        assert_eq!(layout(&tiny).len(), 167);
        let base = Sizes { vocab: 51_865, width: 512, audio_layers: 6, text_layers: 6, ..tiny };
        assert_eq!(layout(&base).len(), 245);
        assert!(base.multilingual());
    }

    #[test]
    fn a_tensor_is_written_with_its_shape_turned_round() {
        let tensor = Tensor { name: "ab".into(), dims: vec![2, 3], kept: Kept::Wide };
        let mut out = Vec::new();
        write_tensor(&mut out, &tensor).unwrap();
        write_values(&mut out, tensor.kept, &[1.0, -2.0]).unwrap();
        let expected =
            [2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, b'a', b'b', 0, 0x3c, 0, 0xc0];
        assert_eq!(out, expected);
    }
}
