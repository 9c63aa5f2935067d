//! From a file to a trusted plugin, and away again.

use std::path::{Path, PathBuf};

use jnana_api::plugins::PluginState;
use jnana_plugin_host::install::{remove, switch, verify};
use jnana_plugin_host::{Error, InstallOptions, Keys, Trust, install};

use crate::support::{Folder, assert_good_works, compile, info, loaded};

/// A library outside of the plugins folder.
fn built(folder: &Folder, file: &str, macros: &[&str]) -> PathBuf {
    let library = folder.root().join(file);
    compile(&library, macros);
    library
}

fn looking(folder: &Folder) -> InstallOptions {
    InstallOptions { exe: Some(folder.config.exe.clone()), ..InstallOptions::default() }
}

fn refused(folder: &Folder, library: &Path, options: &InstallOptions) -> String {
    let error = install(&folder.plugins(), library, options).unwrap_err();
    assert!(!folder.plugins().join(library.file_name().unwrap()).exists(), "{error}");
    error.to_string()
}

#[test]
fn an_installed_plugin_works_and_can_be_switched_off_and_removed() {
    let folder = Folder::empty();
    let library = built(&folder, "libgood.so", &[]);
    let options = InstallOptions { trust: Trust::Full, source: Some("here".to_owned()), ..looking(&folder) };
    let installed = install(&folder.plugins(), &library, &options).unwrap();
    assert_eq!(installed.pin.id.as_deref(), Some("good"));
    assert_eq!((installed.pin.trust, installed.pin.source.as_deref()), (Trust::Full, Some("here")));
    assert_good_works(&folder.open());

    assert_eq!(switch(&folder.plugins(), "good", false).unwrap(), "libgood.so");
    assert_eq!(info(&folder.open(), "libgood.so").state, PluginState::Disabled);
    switch(&folder.plugins(), "libgood.so", true).unwrap();
    assert_good_works(&folder.open());

    remove(&folder.plugins(), "good").unwrap();
    assert!(folder.open().list().is_empty());
    let words = remove(&folder.plugins(), "good").unwrap_err().to_string();
    assert!(words.contains("no installed plugin is called good"), "{words}");
}

#[test]
fn a_library_that_is_not_what_was_meant_is_not_installed() {
    let folder = Folder::empty();
    let library = built(&folder, "libgood.so", &[]);
    let other = InstallOptions { sha256: Some("00".repeat(32)), ..looking(&folder) };
    assert!(refused(&folder, &library, &other).contains("another file"));
    let crash = built(&folder, "libcrash.so", &["CRASH_AT_LOAD"]);
    assert!(refused(&folder, &crash, &looking(&folder)).contains("SIGSEGV"));
    let none = built(&folder, "libnone.so", &["NO_ENTRY"]);
    assert!(refused(&folder, &none, &looking(&folder)).contains("does not export"));
    let text = folder.root().join("libtext.so");
    std::fs::write(&text, "not a library").unwrap();
    assert!(refused(&folder, &text, &looking(&folder)).contains("cannot run here"));
}

#[test]
fn two_plugins_of_one_id_are_not_installed() {
    let folder = Folder::empty();
    install(&folder.plugins(), &built(&folder, "libgood.so", &[]), &looking(&folder)).unwrap();
    let other = built(&folder, "libother.so", &[]);
    assert!(refused(&folder, &other, &looking(&folder)).contains("already taken by libgood.so"));
    // The same file again is a new version of it.
    install(&folder.plugins(), &folder.root().join("libgood.so"), &looking(&folder)).unwrap();
    loaded(&folder.open(), "good");
}

#[test]
fn a_signature_has_to_be_good_if_there_is_one_or_one_is_demanded() {
    let folder = Folder::empty();
    let library = built(&folder, "libgood.so", &[]);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/signed");
    let keys = Keys::read(&fixtures.join("key.pub")).unwrap();
    let demanding = InstallOptions { keys: keys.clone(), must_be_signed: true, ..looking(&folder) };
    assert!(refused(&folder, &library, &demanding).contains("libgood.so.minisig"));
    let signature = std::fs::read_to_string(fixtures.join("bytes.minisig")).unwrap();
    let of_others = InstallOptions { keys, signature: Some(signature.clone()), ..looking(&folder) };
    assert!(refused(&folder, &library, &of_others).contains("not what the key test key signed"));
    let unknown = InstallOptions { signature: Some(signature), ..looking(&folder) };
    assert!(refused(&folder, &library, &unknown).contains("not in the list"));
}

#[test]
fn verifying_finds_what_has_changed_or_gone() {
    let folder = Folder::with_good();
    folder.add_c("libother.so", &["ID=\"other\""]);
    let verified = || verify(&folder.plugins(), &Keys::default()).unwrap();
    assert!(verified().iter().all(|(_, state)| state.is_ok()));
    std::fs::write(folder.plugins().join("libgood.so"), "changed").unwrap();
    std::fs::remove_file(folder.plugins().join("libother.so")).unwrap();
    let states = verified();
    assert!(matches!(states[0], (ref file, Err(Error::Changed { .. })) if file == "libgood.so"));
    assert!(matches!(states[1], (ref file, Err(Error::Io { .. })) if file == "libother.so"));
}
