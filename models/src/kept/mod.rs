//! Packed weights that are kept on disk: what a model's first start packs, or even quantises, the next ones copy.
//!
//! A model has one file, named after where its weights lie and how they are quantised. The file says what it was made of
//! (`identity`); one that says something else counts as absent, and is replaced. The files of a folder have a limit
//! together, and the longest unused ones make room.

mod file;
mod folder;
mod identity;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jnana_kernels::PackedMatrix;

use self::file::KeptFile;
use self::identity::Identity;
use crate::weights::Quantization;
use crate::whole_file::WholeFile;
use crate::{Error, Result};

/// A folder of packed weights; nothing else lies in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFolder {
    path: PathBuf,
    limit: u64,
}

/// What became of packed weights that were to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    /// They lie in this file.
    Written {
        /// The file.
        path: PathBuf,
        /// How large it is.
        bytes: u64,
    },
    /// They would not fit the folder's limit even alone.
    TooLarge {
        /// How large they are.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Another process writes into the folder.
    Busy,
}

impl KeptFolder {
    /// `path` is made when something is kept; its files take at most `limit` bytes together.
    #[must_use]
    pub fn new(path: PathBuf, limit: u64) -> Self {
        Self { path, limit }
    }

    /// What is kept of the weights at `source`, quantised so while they are loaded.
    ///
    /// # Errors
    /// When `source` cannot be looked at.
    pub(crate) fn open(&self, source: &Path, quantize: Option<Quantization>) -> Result<Kept> {
        let identity = Identity::of(source, quantize)?;
        let path = self.path.join(identity.file_name());
        let there = KeptFile::open(&path, &identity).map(Mutex::new);
        Ok(Kept { folder: self.clone(), path, identity, there, matrices: Mutex::default() })
    }
}

/// A matrix by the name of its tensor.
type Named = (String, Arc<PackedMatrix>);

/// The packed weights of a model that is being loaded.
pub(crate) struct Kept {
    folder: KeptFolder,
    path: PathBuf,
    identity: Identity,
    there: Option<Mutex<KeptFile>>,
    matrices: Mutex<Matrices>,
}

#[derive(Default)]
struct Matrices {
    all: Vec<Named>,
    /// Some are not in the file.
    new: bool,
}

impl Kept {
    /// The matrix of `name`, if it is kept with so many rows and columns.
    pub(crate) fn find(&self, name: &str, dims: (usize, usize)) -> Option<Arc<PackedMatrix>> {
        let mut there = self.there.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let matrix = Arc::new(there.read(name, dims)?);
        self.remember(name, &matrix, false);
        Some(matrix)
    }

    /// A matrix that had to be packed.
    pub(crate) fn add(&self, name: &str, matrix: &Arc<PackedMatrix>) {
        self.remember(name, matrix, true);
    }

    fn remember(&self, name: &str, matrix: &Arc<PackedMatrix>, new: bool) {
        let mut matrices = self.matrices.lock().unwrap_or_else(PoisonError::into_inner);
        matrices.all.push((name.to_owned(), Arc::clone(matrix)));
        matrices.new |= new;
    }

    /// All matrices, when some of them are not in the file.
    pub(crate) fn unsaved(&self) -> Option<Unsaved> {
        let matrices = self.matrices.lock().unwrap_or_else(PoisonError::into_inner);
        matrices.new.then(|| Unsaved {
            folder: self.folder.clone(),
            path: self.path.clone(),
            identity: self.identity.clone(),
            matrices: matrices.all.clone(),
        })
    }
}

/// Packed weights of a loaded model that are not kept yet. They are those that it runs with, so that holding them costs
/// nothing while it runs.
pub struct Unsaved {
    folder: KeptFolder,
    path: PathBuf,
    identity: Identity,
    matrices: Vec<Named>,
}

impl Unsaved {
    /// Writes them; what takes seconds for a large model may be done beside its first answers.
    ///
    /// # Errors
    /// When the folder cannot be written or the disk is full; then nothing of them is left behind.
    pub fn save(&self) -> Result<Saved> {
        let KeptFolder { path: folder, limit } = &self.folder;
        let header = file::header(&self.identity, &self.matrices).map_err(Error::json(&self.path))?;
        let panels: usize = self.matrices.iter().map(|(_, matrix)| matrix.panels().len()).sum();
        let bytes = (header.len() + panels) as u64;
        if bytes > *limit {
            return Ok(Saved::TooLarge { bytes, limit: *limit });
        }
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let Some(_lock) = folder::lock(folder)? else { return Ok(Saved::Busy) };
        folder::make_room(folder, limit - bytes, &self.path)?;
        let written = self.write(&header);
        if written.is_err() {
            // Why it could not be written matters more than that it could not be removed either.
            let _left = folder::remove_partial(folder);
        }
        written.map(|()| Saved::Written { path: self.path.clone(), bytes })
    }

    fn write(&self, header: &[u8]) -> Result<()> {
        let mut out = WholeFile::create(&self.path)?;
        out.write(header)?;
        self.matrices.iter().try_for_each(|(_, matrix)| out.write(matrix.panels()))?;
        out.finish()
    }
}
