//! The folder of packed weights: one process writes into it at a time, and its files stay within a limit.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::{Error, Result};

/// Whoever writes holds a lock on this file, which the system lets go when the process ends in whatever way.
const LOCK: &str = "lock";

/// The right to write; `None` when another process has it.
pub(super) fn lock(folder: &Path) -> Result<Option<File>> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(Error::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
    }
}

/// Removes the longest unused files until the others, but for `replaced`, take at most `limit` bytes. What a process that
/// ended early left unfinished goes too.
pub(super) fn make_room(folder: &Path, limit: u64, replaced: &Path) -> Result<()> {
    remove_partial(folder)?;
    let mut others: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for path in files(folder, "packed")?.into_iter().filter(|path| path != replaced) {
        let about = fs::metadata(&path).map_err(Error::io("look at", &path))?;
        others.push((about.modified().map_err(Error::io("look at", &path))?, about.len(), path));
    }
    others.sort_unstable();
    let mut taken: u64 = others.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, bytes, path) in others {
        if taken <= limit {
            break;
        }
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        taken -= bytes;
    }
    Ok(())
}

/// Removes unfinished files.
pub(super) fn remove_partial(folder: &Path) -> Result<()> {
    for path in files(folder, "partial")? {
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    }
    Ok(())
}

fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let files = entries.flatten().map(|entry| entry.path());
    Ok(files.filter(|file| file.extension().is_some_and(|it| it == extension)).collect())
}
