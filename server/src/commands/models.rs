//! `jnana models`.

use std::process::ExitCode;

use anyhow::Result;

use crate::catalog::{Catalog, Entry, FileState};
use crate::cli::Models;

pub(super) fn run(command: Models) -> Result<ExitCode> {
    let catalog = Catalog::built_in()?;
    match command {
        Models::Pull { names, given } => {
            let library = super::library(&given.resolve()?);
            for entry in chosen(&catalog, &names, catalog.defaults().collect())? {
                library.pull(&catalog, entry)?;
                println!("{}: {}", entry.name, library.path(&entry.name).display());
            }
            Ok(ExitCode::SUCCESS)
        }
        Models::List { given } => {
            let library = super::library(&given.resolve()?);
            for entry in &catalog.models {
                let here = if library.has(entry) { "here" } else { "-" };
                let default = if entry.default { " (default)" } else { "" };
                println!(
                    "{:<24} {:<10} {here:<5} {:<12} {}{default}",
                    entry.name, entry.kind, entry.licence, entry.about
                );
            }
            Ok(ExitCode::SUCCESS)
        }
        Models::Verify { names, given } => {
            let library = super::library(&given.resolve()?);
            let here = catalog.models.iter().filter(|entry| library.path(&entry.name).exists()).collect();
            let mut good = true;
            for entry in chosen(&catalog, &names, here)? {
                for (file, state) in library.verify(entry)? {
                    good &= matches!(state, FileState::Verified | FileState::Present);
                    println!("{}/{file}: {}", entry.name, words(&state));
                }
            }
            Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn chosen<'a>(catalog: &'a Catalog, names: &[String], otherwise: Vec<&'a Entry>) -> Result<Vec<&'a Entry>> {
    if names.is_empty() {
        return Ok(otherwise);
    }
    Ok(names.iter().map(|name| catalog.get(name)).collect::<Result<_, _>>()?)
}

fn words(state: &FileState) -> String {
    match state {
        FileState::Verified => "verified".to_owned(),
        FileState::Present => "present; the list has no hash for it".to_owned(),
        FileState::Missing => "missing".to_owned(),
        FileState::Wrong(why) => format!("WRONG: {why}"),
    }
}
