//! Tests before an instance is made.

#![allow(unsafe_code)] // Calls the plugin's static functions.

use std::time::{Duration, Instant};

use jnana_plugin_abi as abi;
use jnana_plugin_host::contract::copy_text;

use crate::subject::{Subject, Table, read_table};
use crate::suite::{Trouble, Verdict};
use crate::task::Task;

/// Longest time from opening the library to its manifest.
const SCAN: Duration = Duration::from_millis(100);

pub(crate) fn scan(task: &Task) -> Verdict {
    let start = Instant::now();
    Subject::load(task)?;
    let took = start.elapsed();
    let words = format!("{:.1} ms", took.as_secs_f64() * 1e3);
    if took > SCAN {
        return Err(Trouble::Broken(format!(
            "it took {words}, at most {} ms are for constructors, entry and manifest: do the rest in create",
            SCAN.as_millis()
        )));
    }
    Ok(words)
}

pub(crate) fn manifest(task: &Task) -> Verdict {
    let subject = Subject::load(task)?;
    let Table { manifest, .. } = subject.table;
    // SAFETY: the contract: [any-thread], a static string or NULL.
    let again = move || unsafe { copy_text(manifest(), abi::MAX_MANIFEST) };
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(again)).collect();
    for thread in threads {
        let text =
            thread.join().map_err(|_| "a thread that asked for the manifest panicked".to_owned())??;
        if text != subject.json {
            return Err(Trouble::Broken(format!("it was {}, and then {text}", subject.json)));
        }
    }
    Ok(format!("{} {}", subject.manifest.id, subject.manifest.version))
}

pub(crate) fn entry(task: &Task) -> Verdict {
    let subject = Subject::load(task)?;
    for minor in [abi::ABI_MINOR, abi::ABI_MINOR + 1, u32::MAX] {
        let table = read_table(subject.entry, minor)?;
        // SAFETY: the contract: [any-thread], a static string or NULL.
        let text = unsafe { copy_text((table.manifest)(), abi::MAX_MANIFEST) }?;
        if text != subject.json {
            let why = format!("a host of ABI 1.{minor} gets another manifest: {text}");
            return Err(Trouble::Broken(why));
        }
    }
    Ok(String::new())
}
