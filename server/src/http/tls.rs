//! A certificate of the server's own, for phones on the local network: made on first use, kept in the home folder.

use std::path::Path;

use anyhow::{Context, Result};
use axum_server::tls_rustls::RustlsConfig;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use crate::files::write_private;

/// The certificate and key in `home`, made for `names` when they are not there.
///
/// # Errors
/// When the files cannot be read, written or used.
pub async fn config(home: &Path, names: &[String]) -> Result<RustlsConfig> {
    let (certificate, key) = (home.join("tls-certificate.pem"), home.join("tls-key.pem"));
    if !certificate.exists() || !key.exists() {
        let (certificate_pem, key_pem) = make(names).context("making a certificate")?;
        write_private(&key, key_pem.as_bytes()).with_context(|| key.display().to_string())?;
        std::fs::write(&certificate, certificate_pem).with_context(|| certificate.display().to_string())?;
    }
    // A second install of the same provider is refused and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    RustlsConfig::from_pem_file(&certificate, &key)
        .await
        .with_context(|| format!("reading {} and {}", certificate.display(), key.display()))
}

fn make(names: &[String]) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Jnana on this machine");
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_certificate_is_made_once_and_its_key_is_private() {
        let home = tempfile::tempdir().unwrap();
        config(home.path(), &["localhost".to_owned(), "127.0.0.1".to_owned()]).await.unwrap();
        let first = std::fs::read(home.path().join("tls-certificate.pem")).unwrap();
        config(home.path(), &["localhost".to_owned()]).await.unwrap();
        assert_eq!(std::fs::read(home.path().join("tls-certificate.pem")).unwrap(), first);
        #[cfg(unix)]
        {
            let mode = std::fs::metadata(home.path().join("tls-key.pem")).unwrap().permissions();
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
        }
    }
}
