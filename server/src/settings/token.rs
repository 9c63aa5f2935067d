//! The token that calls must bring: given, read from a file, or made once and kept.

use std::net::SocketAddr;
use std::path::Path;

use super::{Error, Given};

/// A token and where it came from.
#[derive(Clone)]
pub struct Token {
    /// The secret.
    pub secret: String,
    /// Made by the program just now: to be shown once.
    pub fresh: bool,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("fresh", &self.fresh).finish_non_exhaustive()
    }
}

/// The token given, or the one kept in the home folder, which is made when the address can be reached from outside.
pub(super) fn find(given: &Given, home: &Path, address: SocketAddr) -> Result<Option<Token>, Error> {
    if let Some(secret) = &given.token {
        return checked(secret).map(|secret| Some(Token { secret, fresh: false }));
    }
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })
    };
    if let Some(path) = &given.token_file {
        let text = read(path)?;
        let secret = checked(text.lines().next().unwrap_or_default())?;
        return Ok(Some(Token { secret, fresh: false }));
    }
    if address.ip().is_loopback() {
        return Ok(None);
    }
    let path = home.join("token");
    if path.exists() {
        return Ok(Some(Token { secret: checked(&read(&path)?)?, fresh: false }));
    }
    let secret = hex::encode(rand::random::<[u8; 24]>());
    crate::files::write_private(&path, secret.as_bytes()).map_err(|source| Error::Io { path, source })?;
    Ok(Some(Token { secret, fresh: true }))
}

/// A token travels in a header and a cookie: visible ASCII, and long enough not to be guessed.
fn checked(secret: &str) -> Result<String, Error> {
    let secret = secret.trim();
    if secret.len() < 16 || !secret.chars().all(|c| c.is_ascii_graphic()) {
        let found = format!("{} characters", secret.chars().count());
        return Err(Error::Value { name: "token", expected: "16 or more visible ASCII characters", found });
    }
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn an_open_address_has_a_token_that_stays() {
        let home = tempfile::tempdir().unwrap();
        let open = || Given {
            host: Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            home: Some(home.path().to_owned()),
            ..Given::default()
        };
        let first = open().resolve().unwrap().token.unwrap();
        let second = open().resolve().unwrap().token.unwrap();
        assert!(first.fresh && !second.fresh);
        assert_eq!(first.secret, second.secret);
        let short = Given { token: Some("short".to_owned()), ..open() }.resolve();
        assert!(matches!(short, Err(Error::Value { name: "token", .. })));
    }
}
