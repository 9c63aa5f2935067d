//! Secrets: made at random, shown once, and known again by what they hash to.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A secret that was just made, on its way to the one person who may see it.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// 256 random bits in hex.
    pub(crate) fn make() -> Self {
        Self(hex::encode(rand::random::<[u8; 32]>()))
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// What a secret hashes to. One round of SHA-256 is enough where the secret is random and long: slow hashes are for words
/// that people choose.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Whether this is the secret. It takes the same time wherever the two differ first.
    pub(crate) fn is_of(&self, secret: &str) -> bool {
        self.0.as_slice().ct_eq(Self::of(secret).0.as_slice()).into()
    }

    pub(crate) fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprint")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_new_each_time_and_known_again() {
        let (one, other) = (Secret::make(), Secret::make());
        assert_eq!(one.reveal().len(), 64);
        let fingerprint = Fingerprint::from_hex(&Fingerprint::of(one.reveal()).to_hex()).unwrap();
        assert!(fingerprint.is_of(one.reveal()) && !fingerprint.is_of(other.reveal()));
        assert_eq!(format!("{one:?} {fingerprint:?}"), "Secret Fingerprint");
        for damaged in ["", "00", "zz", "0".repeat(66).as_str()] {
            assert!(Fingerprint::from_hex(damaged).is_none(), "{damaged}");
        }
    }
}
