//! What a library says of itself without any of its code being run: for which machine it was built, and for which ABI.

use jnana_plugin_abi as abi;
use object::elf::ET_DYN;
use object::read::elf::{ElfFile64, FileHeader};
use object::{Architecture, Endianness, Object, ObjectSymbol};

use crate::error::Error;

/// Name of the entry without its version.
const ENTRY: &str = "jnana_plugin_entry_v";

/// Refuses a library that cannot be a plugin for this program.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Error> {
    let foreign = |reason: String| Error::Foreign { reason };
    let file = ElfFile64::<Endianness>::parse(bytes)
        .map_err(|error| foreign(format!("it is no 64-bit ELF library: {error}")))?;
    if file.elf_header().e_type(file.endian()) != ET_DYN {
        return Err(foreign("it is a program or an object file, no shared library".to_owned()));
    }
    let (built_for, here) = (file.architecture(), here());
    if built_for != here || file.is_little_endian() != cfg!(target_endian = "little") {
        return Err(foreign(format!("it was built for {built_for:?}, this machine is {here:?}")));
    }
    let exported = file.dynamic_symbols().filter(ObjectSymbol::is_definition);
    let entries = exported.filter_map(|symbol| symbol.name().ok()?.strip_prefix(ENTRY).map(str::to_owned));
    let versions: Vec<String> = entries.collect();
    if versions.iter().any(|version| *version == abi::ABI_MAJOR.to_string()) {
        return Ok(());
    }
    if versions.is_empty() {
        let symbol = abi::ENTRY.to_string_lossy();
        let reason = format!("it does not export {symbol}, so it is no plugin for ABI {}", abi::ABI_MAJOR);
        return Err(Error::Load { reason });
    }
    Err(Error::Abi { reason: format!("it has entries for ABI {} only", versions.join(", ")) })
}

/// The machine that this program was built for.
fn here() -> Architecture {
    match std::env::consts::ARCH {
        "x86_64" => Architecture::X86_64,
        "aarch64" => Architecture::Aarch64,
        "riscv64" => Architecture::Riscv64,
        _ => Architecture::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_garbage_are_told_apart_without_running_them() {
        let program = std::fs::read("/proc/self/exe").unwrap();
        // A test is a position-independent program, which is a shared library but for the entry.
        assert!(check(&program).unwrap_err().to_string().contains("jnana_plugin_entry_v1"));
        for garbage in [&b""[..], b"#!/bin/sh", &program[..program.len() / 2], &program[..64]] {
            assert!(check(garbage).is_err());
        }
        let mut other = program;
        // e_machine: that of a SPARC.
        other[18] = 43;
        let words = check(&other).unwrap_err().to_string();
        assert!(words.contains("built for"), "{words}");
    }
}
