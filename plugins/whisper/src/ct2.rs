//! Reads CTranslate2 model files (`model.bin`) of Whisper: an index of named, typed, row-major variables.
//!
//! The layout is that of CTranslate2's `model_spec.py` at binary version 6, little-endian. Every length in the file is
//! compared with what the file still holds before it is believed, so any bytes at all give a value or an error.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};

use half::{bf16, f16};

const BINARY_VERSION: u32 = 6;
const SPEC: &str = "WhisperSpec";
const REVISION: u32 = 3;
const MAX_RANK: u8 = 4;

/// Why a CTranslate2 file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Ct2Error {
    /// The file could not be read, or ended too early.
    #[error("reading {what} at byte {at}: {source}")]
    Read {
        /// What was read.
        what: &'static str,
        /// Where, in bytes from the start.
        at: u64,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error("expected {expected}, found {found}: not a CTranslate2 Whisper model this program knows")]
    Foreign {
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A variable's description contradicts itself or the file.
    #[error("variable {name}: {problem}")]
    Variable {
        /// Its name.
        name: String,
        /// The contradiction.
        problem: String,
    },
    /// A variable is not there.
    #[error("variable {0} is missing")]
    Missing(String),
}

/// Element types by their number in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DType {
    /// 0
    F32,
    /// 1
    I8,
    /// 2
    I16,
    /// 3
    I32,
    /// 4
    F16,
    /// 5
    BF16,
}

impl DType {
    fn from_id(id: u8) -> Option<Self> {
        [Self::F32, Self::I8, Self::I16, Self::I32, Self::F16, Self::BF16].get(usize::from(id)).copied()
    }

    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::I8 => 1,
        }
    }
}

/// One entry of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Shape, outermost first; empty for a scalar.
    pub dims: Vec<usize>,
    /// Element type.
    pub dtype: DType,
    /// Where its data starts, in bytes from the start of the file.
    pub offset: u64,
}

impl Variable {
    /// Number of elements. The index was checked, so that the product fits.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.dims.iter().product()
    }
}

/// An open file with its index in memory and its data on disk.
#[derive(Debug)]
pub struct Ct2File<R> {
    reader: R,
    variables: HashMap<String, Variable>,
}

impl<R: Read + Seek> Ct2File<R> {
    /// Reads the index.
    ///
    /// # Errors
    /// [`Ct2Error`], also for any garbage.
    pub fn open(mut reader: R) -> Result<Self, Ct2Error> {
        let seek = |source| Ct2Error::Read { what: "the file's length", at: 0, source };
        let length = reader.seek(SeekFrom::End(0)).map_err(seek)?;
        reader.rewind().map_err(seek)?;
        let mut cursor = Cursor { reader: &mut reader, at: 0, length };
        cursor.header()?;
        let mut variables = HashMap::new();
        for _ in 0..cursor.u32("the number of variables")? {
            let (name, variable) = cursor.variable()?;
            variables.insert(name, variable);
        }
        for _ in 0..cursor.u32("the number of aliases")? {
            let (alias, target) = (cursor.string("an alias")?, cursor.string("an alias's target")?);
            let variable = variables.get(&target).cloned().ok_or(Ct2Error::Missing(target))?;
            variables.insert(alias, variable);
        }
        Ok(Self { reader, variables })
    }

    /// An entry by name.
    ///
    /// # Errors
    /// [`Ct2Error::Missing`].
    pub fn variable(&self, name: &str) -> Result<&Variable, Ct2Error> {
        self.variables.get(name).ok_or_else(|| Ct2Error::Missing(name.to_owned()))
    }

    /// Number of entries, aliases included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.variables.len()
    }

    /// True when the file holds no variable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }

    /// A scalar integer, such as `encoder/num_heads`.
    ///
    /// # Errors
    /// [`Ct2Error`] when it is missing, not an integer or not a scalar.
    pub fn integer(&mut self, name: &str) -> Result<i64, Ct2Error> {
        let variable = self.variable(name)?.clone();
        if variable.elements() != 1 {
            return Err(problem(name, format!("expected one element, found shape {:?}", variable.dims)));
        }
        let bytes = self.bytes(&variable, 0, 1)?;
        match (variable.dtype, bytes.as_slice()) {
            (DType::I8, &[a]) => Ok(i64::from(a.cast_signed())),
            (DType::I16, &[a, b]) => Ok(i64::from(i16::from_le_bytes([a, b]))),
            (DType::I32, &[a, b, c, d]) => Ok(i64::from(i32::from_le_bytes([a, b, c, d]))),
            (other, _) => Err(problem(name, format!("expected an integer, found {other:?}"))),
        }
    }

    /// `count` elements from element `start` on, in row-major order, as f32. Quantised weights (`i8` with one scale a row,
    /// `i16` with one scale) are divided by the scales in `NAME_scale`, which is how CTranslate2 defines them.
    ///
    /// # Errors
    /// [`Ct2Error`] when the range is outside, the type has no scale, or the file cannot be read.
    pub fn values(&mut self, name: &str, start: usize, count: usize) -> Result<Vec<f32>, Ct2Error> {
        let variable = self.variable(name)?.clone();
        if start.checked_add(count).is_none_or(|end| end > variable.elements()) {
            let text = format!(
                "elements {start}+{count} asked for, it has {} of {:?}",
                variable.elements(),
                variable.dims
            );
            return Err(problem(name, text));
        }
        let bytes = self.bytes(&variable, start, count)?;
        let values = match variable.dtype {
            DType::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            DType::F16 => bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
            DType::BF16 => bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect(),
            DType::I8 => {
                let quants = bytes.iter().map(|b| f32::from(b.cast_signed()));
                self.dequantise(name, &variable, start, quants)?
            }
            DType::I16 => {
                let quants = bytes.as_chunks().0.iter().map(|&b| f32::from(i16::from_le_bytes(b)));
                self.dequantise(name, &variable, start, quants)?
            }
            DType::I32 => return Err(problem(name, "expected weights, found i32".to_owned())),
        };
        Ok(values)
    }

    fn dequantise(
        &mut self,
        name: &str,
        variable: &Variable,
        start: usize,
        quants: impl Iterator<Item = f32>,
    ) -> Result<Vec<f32>, Ct2Error> {
        let scale_name = format!("{name}_scale");
        let scale = self.variable(&scale_name)?.clone();
        let rows = scale.elements();
        if scale.dtype != DType::F32 || (rows != 1 && variable.dims.first() != Some(&rows)) {
            let text =
                format!("expected f32 scales, one or one a row of {:?}, found {scale:?}", variable.dims);
            return Err(problem(&scale_name, text));
        }
        let scales = self.values(&scale_name, 0, rows)?;
        let row = (variable.elements() / rows).max(1);
        Ok(quants.enumerate().map(|(i, quant)| quant / scales[(start + i) / row]).collect())
    }

    fn bytes(&mut self, variable: &Variable, start: usize, count: usize) -> Result<Vec<u8>, Ct2Error> {
        let size = variable.dtype.size();
        let at = variable.offset + (start * size) as u64;
        let mut bytes = vec![0; count * size];
        let read = self.reader.seek(SeekFrom::Start(at)).and_then(|_| self.reader.read_exact(&mut bytes));
        read.map_err(|source| Ct2Error::Read { what: "a variable's data", at, source })?;
        Ok(bytes)
    }
}

fn problem(name: &str, problem: String) -> Ct2Error {
    Ct2Error::Variable { name: name.to_owned(), problem }
}

/// Walks the index and knows how much of the file is left.
struct Cursor<'a, R> {
    reader: &'a mut R,
    at: u64,
    length: u64,
}

impl<R: Read + Seek> Cursor<'_, R> {
    fn header(&mut self) -> Result<(), Ct2Error> {
        let version = self.u32("the binary version")?;
        if version != BINARY_VERSION {
            return Err(foreign(format!("binary version {BINARY_VERSION}"), version.to_string()));
        }
        let spec = self.string("the specification's name")?;
        let revision = self.u32("the specification's revision")?;
        if spec != SPEC || revision != REVISION {
            return Err(foreign(
                format!("{SPEC} revision {REVISION}"),
                format!("{spec:?} revision {revision}"),
            ));
        }
        Ok(())
    }

    fn variable(&mut self) -> Result<(String, Variable), Ct2Error> {
        let name = self.string("a variable's name")?;
        let [rank] = self.take("a variable's rank")?;
        if rank > MAX_RANK {
            return Err(problem(&name, format!("expected a rank of at most {MAX_RANK}, found {rank}")));
        }
        let dims = (0..rank)
            .map(|_| self.u32("a variable's shape").map(|dim| dim as usize))
            .collect::<Result<Vec<_>, _>>()?;
        let [id] = self.take("a variable's type")?;
        let dtype = DType::from_id(id).ok_or_else(|| problem(&name, format!("unknown element type {id}")))?;
        let bytes = self.u32("a variable's size")?;
        let expected = dims.iter().try_fold(dtype.size(), |product, &dim| product.checked_mul(dim));
        if expected != Some(bytes as usize) {
            let text = format!("shape {dims:?} of {dtype:?} needs {expected:?} bytes, the file says {bytes}");
            return Err(problem(&name, text));
        }
        let variable = Variable { dims, dtype, offset: self.at };
        self.skip(&name, u64::from(bytes))?;
        Ok((name, variable))
    }

    fn skip(&mut self, name: &str, bytes: u64) -> Result<(), Ct2Error> {
        let left = self.length - self.at;
        if bytes > left {
            return Err(problem(
                name,
                format!("has {bytes} bytes, but only {left} are left: the file is cut off"),
            ));
        }
        self.at += bytes;
        let moved = self.reader.seek(SeekFrom::Start(self.at));
        moved.map_err(|source| Ct2Error::Read { what: "the next variable", at: self.at, source })?;
        Ok(())
    }

    fn string(&mut self, what: &'static str) -> Result<String, Ct2Error> {
        let length = u16::from_le_bytes(self.take(what)?);
        let mut bytes = vec![0; usize::from(length)];
        self.fill(what, &mut bytes)?;
        match bytes.pop() {
            Some(0) => {}
            last => {
                return Err(foreign(
                    format!("{what} that ends in NUL"),
                    format!("{last:?} at byte {}", self.at),
                ));
            }
        }
        String::from_utf8(bytes).map_err(|e| foreign(format!("{what} in UTF-8"), e.to_string()))
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, Ct2Error> {
        self.take(what).map(u32::from_le_bytes)
    }

    fn take<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Ct2Error> {
        let mut bytes = [0; N];
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, what: &'static str, bytes: &mut [u8]) -> Result<(), Ct2Error> {
        self.reader.read_exact(bytes).map_err(|source| Ct2Error::Read { what, at: self.at, source })?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

fn foreign(expected: String, found: String) -> Ct2Error {
    Ct2Error::Foreign { expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend((u16::try_from(text.len()).unwrap() + 1).to_le_bytes());
        out.extend(text.as_bytes());
        out.push(0);
    }

    fn variable(out: &mut Vec<u8>, name: &str, dims: &[u32], dtype: u8, data: &[u8]) {
        text(out, name);
        out.push(u8::try_from(dims.len()).unwrap());
        dims.iter().for_each(|dim| out.extend(dim.to_le_bytes()));
        out.push(dtype);
        out.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        out.extend(data);
    }

    /// Two rows of int8 with scales, one f16, one scalar, one alias.
    fn sample() -> Vec<u8> {
        let mut out = BINARY_VERSION.to_le_bytes().to_vec();
        text(&mut out, SPEC);
        out.extend(REVISION.to_le_bytes());
        out.extend(4u32.to_le_bytes());
        let scales: Vec<u8> = [2.0f32, 0.5].iter().flat_map(|s| s.to_le_bytes()).collect();
        variable(&mut out, "w", &[2, 3], 1, &[1, 2, 255, 4, 5, 128]);
        variable(&mut out, "w_scale", &[2], 0, &scales);
        variable(&mut out, "half", &[1], 4, &f16::from_f32(-1.5).to_le_bytes());
        variable(&mut out, "encoder/num_heads", &[], 2, &6i16.to_le_bytes());
        out.extend(1u32.to_le_bytes());
        text(&mut out, "alias");
        text(&mut out, "half");
        out
    }

    #[test]
    fn reads_values_scales_scalars_and_aliases() {
        let mut file = Ct2File::open(std::io::Cursor::new(sample())).unwrap();
        assert_eq!(file.values("w", 0, 6).unwrap(), [0.5, 1.0, -0.5, 8.0, 10.0, -256.0]);
        assert_eq!(file.values("w", 2, 2).unwrap(), [-0.5, 8.0]);
        assert_eq!(file.values("alias", 0, 1).unwrap(), [-1.5]);
        assert_eq!(file.integer("encoder/num_heads").unwrap(), 6);
        assert!(matches!(file.values("w", 5, 2), Err(Ct2Error::Variable { .. })));
        assert!(matches!(file.values("none", 0, 0), Err(Ct2Error::Missing(_))));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let whole = sample();
        for length in 0..whole.len() {
            let cut = std::io::Cursor::new(whole[..length].to_vec());
            assert!(Ct2File::open(cut).is_err(), "{length} of {} bytes were accepted", whole.len());
        }
    }

    #[test]
    fn flipped_bytes_never_panic() {
        let whole = sample();
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                if let Ok(mut file) = Ct2File::open(std::io::Cursor::new(bytes)) {
                    for name in ["w", "half", "alias", "w_scale"] {
                        let elements = file.variable(name).map_or(0, Variable::elements);
                        file.values(name, 0, elements).ok();
                    }
                    file.integer("encoder/num_heads").ok();
                }
            }
        }
    }
}
