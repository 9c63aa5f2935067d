//! Signatures of libraries, as minisign makes them, and the keys that are believed.

use std::path::Path;

use minisign_verify::{Error as MinisignError, PublicKey, Signature};

use crate::error::Error;

/// Start of the line that names a key.
const COMMENT: &str = "untrusted comment:";

/// Public keys whose signatures are believed.
#[derive(Debug, Clone, Default)]
pub struct Keys(Vec<Key>);

#[derive(Debug, Clone)]
struct Key {
    /// The key as minisign writes it.
    text: String,
    /// What the list calls it.
    name: String,
    key: PublicKey,
}

impl Keys {
    /// Reads a list of keys; one that is not there is empty.
    ///
    /// # Errors
    /// When the file cannot be read, or a line of it is no key.
    pub fn read(path: &Path) -> Result<Self, Error> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|reason| Error::Keys { path: path.to_owned(), reason }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Error::io("reading", path)(error)),
        }
    }

    /// Reads the lines of a list: keys as minisign writes them, each after a line `untrusted comment: NAME` if it has a
    /// name. Empty lines and those that start with `#` are passed over.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut keys = Vec::new();
        let mut name = String::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if let Some(comment) = line.strip_prefix(COMMENT) {
                comment.trim().clone_into(&mut name);
            } else if !line.is_empty() && !line.starts_with('#') {
                let key = PublicKey::from_base64(line)
                    .map_err(|error| format!("line {number} is no public key of minisign: {error}"))?;
                keys.push(Key { text: line.to_owned(), name: std::mem::take(&mut name), key });
            }
        }
        Ok(Self(keys))
    }

    /// The key that signed these bytes.
    pub(crate) fn verify(&self, bytes: &[u8], signature: &str) -> Result<String, Error> {
        let refused = |reason: String| Error::Signature { reason };
        let signature = Signature::decode(signature)
            .map_err(|error| refused(format!("it is no signature of minisign: {error}")))?;
        for key in &self.0 {
            match key.key.verify(bytes, &signature, false) {
                Ok(()) => return Ok(key.text.clone()),
                Err(MinisignError::UnexpectedKeyId) => {}
                Err(error) => {
                    let name = if key.name.is_empty() { &key.text } else { &key.name };
                    return Err(refused(format!("it is not what the key {name} signed: {error}")));
                }
            }
        }
        Err(refused("it was made with a key that is not in the list of trusted keys".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = include_str!("../tests/fixtures/signed/key.pub");
    const SIGNATURE: &str = include_str!("../tests/fixtures/signed/bytes.minisig");
    const BYTES: &[u8] = b"bytes of a library\n";

    #[test]
    fn what_a_listed_key_signed_is_believed_and_nothing_else() {
        let keys = Keys::parse(&format!("# ours\n\n{KEY}")).unwrap();
        let key = keys.verify(BYTES, SIGNATURE).unwrap();
        assert!(KEY.contains(&key));
        let words = keys.verify(b"other bytes", SIGNATURE).unwrap_err().to_string();
        assert!(words.contains("test key"), "{words}");
        let words = Keys::default().verify(BYTES, SIGNATURE).unwrap_err().to_string();
        assert!(words.contains("not in the list"), "{words}");
        assert!(keys.verify(BYTES, "nonsense").unwrap_err().to_string().contains("no signature"));
    }

    #[test]
    fn a_line_that_is_no_key_is_named() {
        assert!(Keys::parse("\nRWQnonsense").unwrap_err().contains("line 2"));
    }
}
