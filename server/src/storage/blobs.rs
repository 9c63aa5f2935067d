//! Inputs as files: `blobs/ab/abcdef…`, named by the sha256 of their bytes.

use std::path::PathBuf;

use jnana_api::conversations::BlobRef;
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::messages::stored_blob;
use super::{Error, Store, now_ms};

/// The folder of blobs.
#[derive(Debug, Clone)]
pub struct Blobs {
    folder: PathBuf,
}

impl Blobs {
    pub(super) fn open(folder: PathBuf) -> Result<Self, Error> {
        std::fs::create_dir_all(&folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
        Ok(Self { folder })
    }

    /// Where the bytes of `hash` lie; `None` when it is not a sha256 in lower-case hex.
    #[must_use]
    pub fn path(&self, hash: &str) -> Option<PathBuf> {
        let valid =
            hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        valid.then(|| self.folder.join(&hash[..2]).join(hash))
    }

    /// Writes bytes under their hash, whole or not at all.
    fn write(&self, hash: &str, bytes: &[u8]) -> Result<(), Error> {
        let Some(path) = self.path(hash).filter(|path| !path.exists()) else { return Ok(()) };
        let folder = path.parent().unwrap_or(&self.folder);
        let io = |source| Error::Io { path: path.clone(), source };
        std::fs::create_dir_all(folder).map_err(io)?;
        let mut temporary = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        std::io::Write::write_all(&mut temporary, bytes).map_err(io)?;
        temporary.as_file().sync_all().map_err(io)?;
        temporary.persist(&path).map_err(|error| io(error.error))?;
        Ok(())
    }

    pub(super) fn remove(&self, hash: &str) -> Result<(), Error> {
        let Some(path) = self.path(hash) else { return Ok(()) };
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::Io { path, source }),
            _ => Ok(()),
        }
    }
}

impl Store {
    /// Keeps bytes. The MIME type comes from the bytes where they tell, else from what the caller said.
    ///
    /// # Errors
    /// When the file or the database cannot be written.
    pub async fn add_blob(&self, bytes: bytes::Bytes, declared: &str) -> Result<BlobRef, Error> {
        let mime = sniff(&bytes, declared);
        let blobs = self.blobs.clone();
        self.write(move |db| {
            let hash = hex::encode(Sha256::digest(&bytes));
            blobs.write(&hash, &bytes)?;
            let length = bytes.len() as u64;
            // Stored again: its time starts anew, and the first type stays, as its URL is cached for ever.
            db.execute(
                "INSERT INTO blobs (hash, mime, bytes, created_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (hash) DO UPDATE SET created_at = excluded.created_at",
                params![hash, mime, length, now_ms()],
            )?;
            stored_blob(db, &hash)
        })
        .await
    }

    /// A blob and its bytes.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Expired`] when a message still names it but its bytes are no longer kept.
    pub async fn blob(&self, hash: &str) -> Result<(BlobRef, Vec<u8>), Error> {
        let (hash, blobs) = (hash.to_owned(), self.blobs.clone());
        let (blob, path) = self
            .write(move |db| {
                let path = blobs.path(&hash).ok_or_else(|| not_found(&hash))?;
                match stored_blob(db, &hash) {
                    Ok(blob) => Ok((blob, path)),
                    Err(Error::NotFound { .. }) if is_named(db, &hash)? => Err(Error::Expired(hash)),
                    Err(error) => Err(error),
                }
            })
            .await?;
        match tokio::fs::read(&path).await {
            Ok(bytes) => Ok((blob, bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::Expired(blob.hash)),
            Err(source) => Err(Error::Io { path, source }),
        }
    }
}

fn not_found(hash: &str) -> Error {
    Error::NotFound { what: "blob", id: hash.to_owned() }
}

fn is_named(db: &rusqlite::Connection, hash: &str) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM message_blobs WHERE hash = ?1 LIMIT 1";
    Ok(db.query_row(sql, [hash], |_| Ok(())).optional()?.is_some())
}

/// MIME type of bytes: what they are, else what the caller says, as long as no browser would run it.
fn sniff(bytes: &[u8], declared: &str) -> String {
    let known = infer::get(bytes).map(|kind| kind.mime_type().to_owned());
    let mime = known.or_else(|| plausible(declared)).filter(|mime| !runs(mime));
    mime.unwrap_or_else(|| "application/octet-stream".to_owned())
}

/// What the caller says, when it has the form of a type.
fn plausible(declared: &str) -> Option<String> {
    let declared = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let whole = declared.split_once('/').is_some_and(|(top, sub)| token(top) && token(sub));
    // Real files of these two are known by their first bytes.
    let false_words = ["wasm", "pdf"].iter().any(|word| declared.contains(word));
    (whole && !false_words).then_some(declared)
}

/// True for pages, drawings and scripts. Office files, whose types hold the word "xml", are none of them.
fn runs(mime: &str) -> bool {
    ["html", "svg", "/xml", "+xml", "/xsl", "javascript", "ecmascript", "jscript", "livescript", "vbscript"]
        .iter()
        .any(|word| mime.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_decide_over_words_and_nothing_that_runs_gets_through() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        assert_eq!(sniff(png, "text/csv"), "image/png");
        assert_eq!(sniff(b"a,b\n", "Text/CSV; charset=utf-8"), "text/csv");
        assert_eq!(sniff(b"\x01\x02", "image/svg+xml"), "application/octet-stream");
        assert_eq!(sniff(b"\x01\x02", "a b/c"), "application/octet-stream");
        assert_eq!(sniff(b"\x01\x02", ""), "application/octet-stream");
        for page in
            ["<script>alert(1)</script>", "<!DOCTYPE html><p>", "<?xml version=\"1.0\"?><svg/>", "<svg/>"]
        {
            for declared in ["text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript"] {
                assert_eq!(sniff(page.as_bytes(), declared), "application/octet-stream", "{page} {declared}");
            }
        }
    }

    #[test]
    fn a_hash_is_no_path() {
        let blobs = Blobs { folder: PathBuf::from("b") };
        assert_eq!(blobs.path("../../etc/passwd"), None);
        assert_eq!(blobs.path(&"A".repeat(64)), None);
        assert!(blobs.path(&"a".repeat(64)).is_some());
    }
}
