//! Hugging Face checkpoints: `model.safetensors`, or shards listed in `model.safetensors.index.json`; matrices may be in
//! NF4 as bitsandbytes stores it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Metadata, SafeTensors, TensorInfo};
use serde::Deserialize;

use super::bitsandbytes::State;
use super::mmap::MappedFile;
use super::source::{Stored, TensorSource};
use crate::{Error, Result};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

struct Shard {
    bytes: MappedFile,
    metadata: Metadata,
    data_start: usize,
}

impl Shard {
    fn open(path: &Path) -> Result<Self> {
        let bytes = MappedFile::open(path)?;
        let (header, metadata) = SafeTensors::read_metadata(&bytes)
            .map_err(|error| Error::Corrupt { path: path.to_owned(), reason: error.to_string() })?;
        Ok(Self { bytes, metadata, data_start: header + size_of::<u64>() })
    }
}

/// A folder of safetensors files, memory-mapped.
pub struct SafetensorsFolder {
    folder: PathBuf,
    shards: Vec<Shard>,
    by_name: HashMap<String, usize>,
    nf4: HashMap<String, State>,
}

impl SafetensorsFolder {
    /// True when `folder` holds such a checkpoint.
    #[must_use]
    pub fn is_in(folder: &Path) -> bool {
        folder.join(SINGLE).is_file() || folder.join(INDEX).is_file()
    }

    /// Opens the single file or all shards; a shard's own header decides what is in it.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the index promises a tensor that no shard has.
    pub fn open(folder: &Path) -> Result<Self> {
        let index = folder.join(INDEX);
        if !index.is_file() {
            return Self::from_files(folder, &[SINGLE.to_owned()]);
        }
        let text = fs::read_to_string(&index).map_err(Error::io("read", &index))?;
        let parsed: Index = serde_json::from_str(&text).map_err(Error::json(&index))?;
        let files: BTreeSet<String> = parsed.weight_map.values().cloned().collect();
        if let Some(file) = files.iter().find(|file| Path::new(file).components().count() != 1) {
            return Err(Error::Field {
                path: index,
                key: "weight_map".into(),
                expected: "names of files in the same folder".into(),
                got: file.clone(),
            });
        }
        let opened = Self::from_files(folder, &files.into_iter().collect::<Vec<_>>())?;
        match parsed.weight_map.keys().find(|name| !opened.by_name.contains_key(*name)) {
            Some(name) => Err(Error::MissingTensor { path: folder.to_owned(), tensor: name.clone() }),
            None => Ok(opened),
        }
    }

    fn from_files(folder: &Path, files: &[String]) -> Result<Self> {
        let mut shards = Vec::with_capacity(files.len());
        let mut by_name = HashMap::new();
        for file in files {
            let shard = Shard::open(&folder.join(file))?;
            by_name.extend(shard.metadata.tensors().into_keys().map(|name| (name, shards.len())));
            shards.push(shard);
        }
        let mut opened = Self { folder: folder.to_owned(), shards, by_name, nf4: HashMap::new() };
        let mut nf4 = HashMap::new();
        for name in opened.by_name.keys() {
            if let Some(matrix) = State::owner(name) {
                let (file, bytes, _) = opened.locate(name)?;
                nf4.insert(matrix.to_owned(), State::parse(bytes, matrix, file.path())?);
            }
        }
        opened.nf4 = nf4;
        Ok(opened)
    }

    /// The file, the bytes and the description of a stored tensor.
    fn locate(&self, name: &str) -> Result<(&MappedFile, &[u8], &TensorInfo)> {
        let missing = || Error::MissingTensor { path: self.folder.clone(), tensor: name.to_owned() };
        let shard = &self.shards[*self.by_name.get(name).ok_or_else(missing)?];
        let info = shard.metadata.info(name).ok_or_else(missing)?;
        let (start, end) = info.data_offsets;
        let bytes = shard.bytes.get(shard.data_start + start..shard.data_start + end).ok_or_else(|| {
            let path = shard.bytes.path().to_owned();
            Error::Corrupt { path, reason: format!("{name} lies outside the file") }
        })?;
        Ok((&shard.bytes, bytes, info))
    }

    fn stored(&self, name: &str, device: &Device) -> Result<Tensor> {
        let (file, bytes, info) = self.locate(name)?;
        let path = file.path();
        let dtype = DType::try_from(info.dtype).map_err(|_| Error::NumberType {
            path: path.to_owned(),
            tensor: name.to_owned(),
            expected: "f32, f16 or bf16",
            got: format!("{:?}", info.dtype),
        })?;
        let tensor = Tensor::from_raw_buffer(bytes, dtype, &info.shape, device)
            .map_err(Error::compute(format!("read {name} of {}", path.display())))?;
        file.release(bytes);
        Ok(tensor)
    }
}

impl TensorSource for SafetensorsFolder {
    fn path(&self) -> &Path {
        &self.folder
    }

    fn names(&self) -> Vec<String> {
        let is_part = |name: &&String| State::owner_of_part(name).is_some_and(|it| self.nf4.contains_key(it));
        let mut names: Vec<_> = self.by_name.keys().filter(|name| !is_part(name)).cloned().collect();
        names.sort_unstable();
        names
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        if let Some(state) = self.nf4.get(name) {
            return Some(state.shape().to_vec());
        }
        let shard = &self.shards[*self.by_name.get(name)?];
        shard.metadata.info(name).map(|info| info.shape.clone())
    }

    fn read(&self, name: &str, device: &Device) -> Result<Stored> {
        match self.nf4.get(name) {
            Some(state) => state.read(name, &self.folder, |part| self.stored(part, device)).map(Stored::Nf4),
            None => self.stored(name, device).map(Stored::Dense),
        }
    }
}
