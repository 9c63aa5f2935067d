//! The admin token, kept as its hash.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Error;
use crate::files::replace_private;
use crate::secret::{Fingerprint, Secret};

/// The file with the token's hash. It is read anew each time, so that a token made by another process holds at once.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    pub(super) fn of(folder: &Path) -> Self {
        Self { path: folder.join("token.sha256") }
    }

    pub(super) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Makes a token, and forgets the one before it.
    pub(super) fn renew(&self) -> Result<Secret, Error> {
        let token = Secret::make();
        let line = format!("{}\n", Fingerprint::of(token.reveal()).to_hex());
        replace_private(&self.path, line.as_bytes()).map_err(|source| self.error(source))?;
        Ok(token)
    }

    pub(super) async fn read(&self) -> Result<Fingerprint, Error> {
        let text = tokio::fs::read_to_string(&self.path).await.map_err(|source| match source.kind() {
            ErrorKind::NotFound => Error::NoToken,
            ErrorKind::InvalidData => Error::Damaged(self.path.clone()),
            _ => self.error(source),
        })?;
        Fingerprint::from_hex(text.trim()).ok_or_else(|| Error::Damaged(self.path.clone()))
    }

    fn error(&self, source: std::io::Error) -> Error {
        Error::Io { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_hash_is_kept_and_the_token_is_not() {
        let home = tempfile::tempdir().unwrap();
        let file = TokenFile::of(home.path());
        assert!(!file.exists() && matches!(file.read().await, Err(Error::NoToken)));
        let token = file.renew().unwrap();
        assert!(file.exists() && file.read().await.unwrap().is_of(token.reveal()));
        assert!(!std::fs::read_to_string(&file.path).unwrap().contains(token.reveal()));
        #[cfg(unix)]
        {
            let mode = std::fs::metadata(&file.path).unwrap().permissions();
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
        }
        std::fs::write(&file.path, b"\xff").unwrap();
        assert!(matches!(file.read().await, Err(Error::Damaged(_))));
    }
}
