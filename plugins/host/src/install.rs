//! Taking a library in: all that can be known is checked before it is trusted, and none of its code runs before its
//! target and ABI are known to be right; then in the scanning child only.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;
use crate::lock::{self, Pin, Trust};
use crate::sealed::Sealed;
use crate::signature::Keys;
use crate::{elf, manifest, scan};

/// How long a library may take to show its manifest.
const SCAN_TIMEOUT: Duration = Duration::from_secs(20);
/// What a signature's file is called after its library.
pub const SIGNATURE_SUFFIX: &str = ".minisig";

/// What a library has to be, and what it becomes.
#[derive(Debug, Clone, Default)]
pub struct InstallOptions {
    /// How far it is trusted.
    pub trust: Trust,
    /// The sha256 that it must have.
    pub sha256: Option<String>,
    /// The text of its signature.
    pub signature: Option<String>,
    /// Keys that are believed.
    pub keys: Keys,
    /// Refuse what has no signature of one of these keys.
    pub must_be_signed: bool,
    /// Where it comes from, for people.
    pub source: Option<String>,
    /// A program that answers `plugin-scan`, for looking at the manifest; none to go without.
    pub exe: Option<PathBuf>,
}

/// A library that was taken in.
#[derive(Debug, Clone)]
pub struct Installed {
    /// Where it lies.
    pub path: PathBuf,
    /// What was noted.
    pub pin: Pin,
}

/// Copies a library into the plugins folder, which is made when it is not there, under its own file name, and pins it. A
/// library of that name is replaced as a whole: a server that runs keeps what it has loaded.
///
/// # Errors
/// When it is not what the options say, cannot be a plugin here, or a file cannot be read or written.
pub fn install(folder: &Path, library: &Path, options: &InstallOptions) -> Result<Installed, Error> {
    let file = library.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".so"));
    let file = file.ok_or_else(|| Error::Load {
        reason: format!("{} has no file name that ends in .so", library.display()),
    })?;
    let sealed = Sealed::read(library)?;
    let pin = examine(folder, file, &sealed, options)?;
    std::fs::create_dir_all(folder).map_err(Error::io("making", folder))?;
    let path = folder.join(file);
    // The bytes that were examined, whatever has become of the file meanwhile.
    lock::replace(&path, &sealed.bytes().map_err(Error::io("reading", library))?)?;
    let signature = folder.join(format!("{file}{SIGNATURE_SUFFIX}"));
    match &options.signature {
        Some(text) => lock::replace(&signature, text.as_bytes())?,
        None => remove_if_there(&signature)?,
    }
    lock::write_pin(folder, file, pin.clone())?;
    Ok(Installed { path, pin })
}

/// Pins a library that lies in the plugins folder already, after the same checks.
///
/// # Errors
/// As [`install`].
pub fn pin_checked(folder: &Path, file: &str, options: &InstallOptions) -> Result<Installed, Error> {
    let path = folder.join(file);
    let sealed = Sealed::read(&path)?;
    let pin = examine(folder, file, &sealed, options)?;
    lock::write_pin(folder, file, pin.clone())?;
    Ok(Installed { path, pin })
}

fn examine(folder: &Path, file: &str, sealed: &Sealed, options: &InstallOptions) -> Result<Pin, Error> {
    let found = sealed.sha256.clone();
    if let Some(expected) = &options.sha256
        && !expected.eq_ignore_ascii_case(&found)
    {
        return Err(Error::Unexpected { expected: expected.clone(), found });
    }
    let bytes = sealed.bytes().map_err(Error::io("reading", file))?;
    elf::check(&bytes)?;
    let signed_by = match &options.signature {
        Some(signature) => Some(options.keys.verify(&bytes, signature)?),
        None if options.must_be_signed => {
            let reason = format!("there is none: expected a file {file}{SIGNATURE_SUFFIX} beside it");
            return Err(Error::Signature { reason });
        }
        None => None,
    };
    let manifest = match &options.exe {
        Some(exe) => Some(manifest::parse(&scan::scan_sealed(exe, sealed, SCAN_TIMEOUT)?)?),
        None => None,
    };
    let (id, needs) = manifest.map(|manifest| (manifest.id, manifest.needs)).unzip();
    let pins = lock::pins(folder)?;
    let taken = pins.iter().find(|(other, pin)| *other != file && id.is_some() && pin.id == id);
    if let (Some((other, _)), Some(id)) = (taken, &id) {
        return Err(Error::Duplicate { id: id.clone(), other: other.clone() });
    }
    // Another version of a plugin that was switched off stays so.
    let disabled = pins.get(file).is_some_and(|pin| pin.disabled);
    let source = options.source.clone();
    Ok(Pin { sha256: found, trust: options.trust, id, needs, disabled, signed_by, source })
}

fn remove_if_there(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("removing", path)(error)),
        _ => Ok(()),
    }
}

/// The file of a plugin that is called by its id or its file name.
fn file_of(folder: &Path, name: &str) -> Result<String, Error> {
    let pins = lock::pins(folder)?;
    let found = pins.iter().find(|(file, pin)| *file == name || pin.id.as_deref() == Some(name));
    found.map(|(file, _)| file.clone()).ok_or_else(|| Error::Unknown {
        name: name.to_owned(),
        known: pins.iter().map(|(file, pin)| pin.id.clone().unwrap_or_else(|| file.clone())).collect(),
    })
}

/// Switches an installed plugin, called by its id or file name, on or off; a server does so when it starts next. Returns
/// the file name.
///
/// # Errors
/// When there is no such plugin, or the lock file cannot be read or replaced.
pub fn switch(folder: &Path, name: &str, on: bool) -> Result<String, Error> {
    let file = file_of(folder, name)?;
    lock::change(folder, &file, |pin| {
        pin.disabled = !on;
        true
    })?;
    Ok(file)
}

/// Removes an installed plugin, called by its id or file name. Returns the file name.
///
/// # Errors
/// As [`switch`], and when its file cannot be removed.
pub fn remove(folder: &Path, name: &str) -> Result<String, Error> {
    let file = file_of(folder, name)?;
    remove_if_there(&folder.join(&file))?;
    remove_if_there(&folder.join(format!("{file}{SIGNATURE_SUFFIX}")))?;
    lock::change(folder, &file, |_| false)?;
    Ok(file)
}

/// A pinned library by its file name, and its pin if the library is still the one that was pinned.
pub type Verdict = (String, Result<Pin, Error>);

/// Compares every pinned library with its pin, and with its signature where it has one.
///
/// # Errors
/// When the lock file cannot be read.
pub fn verify(folder: &Path, keys: &Keys) -> Result<Vec<Verdict>, Error> {
    let pins = lock::pins(folder)?;
    let check = |file: &str| -> Result<Pin, Error> {
        let sealed = Sealed::read(&folder.join(file))?;
        let pin = sealed.verify(file, &pins)?;
        if pin.signed_by.is_some() {
            let path = folder.join(format!("{file}{SIGNATURE_SUFFIX}"));
            let signature = std::fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
            keys.verify(&sealed.bytes().map_err(Error::io("reading", file))?, &signature)?;
        }
        Ok(pin.clone())
    };
    Ok(pins.keys().map(|file| (file.clone(), check(file))).collect())
}
