//! `jnana plugin install` and `verify`: where a library comes from, and whether it may.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use jnana_plugin_host::install::{SIGNATURE_SUFFIX, install, verify as verify_all};
use jnana_plugin_host::{InstallOptions, Keys, Runs};

use crate::cli::Install;
use crate::settings::Settings;

/// Public keys of minisign, in the home folder.
const KEY_LIST: &str = "plugin-keys.txt";
/// Largest library that is fetched.
const MAX_LIBRARY: u64 = 1 << 30;
/// Largest signature that is fetched.
const MAX_SIGNATURE: u64 = 1 << 16;
/// Connections open, answers begin and bytes come within this time, or the transfer has failed.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn run(given: &Install) -> Result<()> {
    let settings = given.given.clone().resolve()?;
    let keys = keys(&settings)?;
    // What is fetched lies here under its own name until it is installed.
    let fetched = tempfile::tempdir().context("making a folder for what is fetched")?;
    let library = match address(&given.source) {
        None => PathBuf::from(&given.source),
        Some(url) => {
            let proven = given.sha256.is_some() || given.signature.is_some();
            let bytes = fetch(url, &settings, MAX_LIBRARY, proven)?;
            let name =
                url.split(['?', '#']).next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            ensure!(name.ends_with(".so"), "{url} does not end with the name of a library (.so)");
            let path = fetched.path().join(name);
            std::fs::write(&path, bytes).with_context(|| path.display().to_string())?;
            path
        }
    };
    let options = InstallOptions {
        trust: given.trust.into(),
        sha256: given.sha256.clone(),
        signature: signature(given, &library, &settings)?,
        keys,
        must_be_signed: settings.signed_plugins,
        source: Some(given.source.clone()),
        exe: Some(settings.program.clone()),
    };
    let installed = install(&settings.plugins, &library, &options)?;
    let id = installed.pin.id.as_deref().unwrap_or_default();
    let runs = match settings.plugin_runs.of(id, installed.pin.trust) {
        Runs::InProcess => "in the server's process",
        Runs::Worker => "in a worker",
    };
    println!("{}: sha256 {}; it runs {runs}", installed.path.display(), installed.pin.sha256);
    match &installed.pin.signed_by {
        Some(key) => println!("  signed with {key}"),
        None => println!("  not signed"),
    }
    match installed.pin.needs.as_deref() {
        None | Some([]) => println!("  it needs nothing but its models and its own folder"),
        Some(needs) => println!("  it needs {}", needs.join(", ")),
    }
    println!("  a server loads it when it starts next");
    Ok(())
}

pub(super) fn verify(settings: &Settings) -> Result<ExitCode> {
    let keys = keys(settings)?;
    let mut good = true;
    for (file, state) in verify_all(&settings.plugins, &keys)? {
        match state {
            Ok(pin) if pin.signed_by.is_some() => println!("{file}: verified, signed"),
            Ok(_) => println!("{file}: verified"),
            Err(error) => {
                good = false;
                println!("{file}: WRONG: {error}");
            }
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn keys(settings: &Settings) -> Result<Keys> {
    Ok(Keys::read(&settings.home.join(KEY_LIST))?)
}

fn address(source: &str) -> Option<&str> {
    (source.starts_with("https://") || source.starts_with("http://")).then_some(source)
}

/// The text of the signature that was named, or of the one that lies beside a file.
fn signature(given: &Install, library: &Path, settings: &Settings) -> Result<Option<String>> {
    let named = match &given.signature {
        Some(named) => match address(named) {
            Some(url) => fetch(url, settings, MAX_SIGNATURE, true)?,
            None => std::fs::read(named).with_context(|| named.clone())?,
        },
        None if address(&given.source).is_some() => return Ok(None),
        None => {
            let beside = format!("{}{SIGNATURE_SUFFIX}", library.display());
            match std::fs::read(&beside) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                other => other.context(beside)?,
            }
        }
    };
    Ok(Some(String::from_utf8(named).context("the signature is no text")?))
}

/// Fetches a file. Without a hash or a signature to prove it, only over a connection that proves the other side.
fn fetch(url: &str, settings: &Settings, most: u64, proven: bool) -> Result<Vec<u8>> {
    ensure!(!settings.network.offline, "{url} is not fetched: the settings say offline");
    if !proven && !url.starts_with("https://") {
        bail!("{url} is not encrypted, so anybody may change it on its way: give --sha256 or --signature");
    }
    let config = ureq::Agent::config_builder()
        .timeout_resolve(Some(LIMIT))
        .timeout_connect(Some(LIMIT))
        .timeout_recv_response(Some(LIMIT))
        .timeout_per_read(Some(LIMIT))
        .https_only(!proven)
        .build();
    let response = ureq::Agent::from(config).get(url).call().with_context(|| format!("fetching {url}"))?;
    let mut bytes = Vec::new();
    let mut body = response.into_body().into_reader().take(most + 1);
    body.read_to_end(&mut bytes).with_context(|| format!("fetching {url}"))?;
    ensure!(bytes.len() as u64 <= most, "{url} has more than {most} bytes");
    Ok(bytes)
}
