//! Which files a plugin sees, by Landlock.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};

use super::Sandbox;

/// The version of Landlock whose rights are known here; an older kernel keeps those that it knows.
const KNOWN: ABI = ABI::V6;

/// What any program reads to run at all: libraries, their list, the machine's processors.
const SYSTEM: &[&str] = &[
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/filesystems",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/fs/cgroup",
    "/dev/null",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
];

/// What looking up a name and checking a certificate read.
const NETWORK: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
];

/// What a driver of a graphics card reads.
const GPU: &[&str] = &["/proc/driver/nvidia", "/proc/devices", "/sys"];

/// Restricts this thread and those that it starts. The answer says what this kernel cannot hold back.
pub(super) fn restrict(sandbox: &Sandbox) -> Result<String, String> {
    match try_restrict(sandbox).map_err(|error| format!("restricting files: {error}"))? {
        RulesetStatus::NotEnforced => {
            Ok("this kernel has no Landlock: the plugin can read and change files".to_owned())
        }
        RulesetStatus::PartiallyEnforced => {
            Ok("this kernel has an older Landlock than this program knows: the plugin may \
            signal other processes if it needs processes, and reach sockets of this machine"
                .to_owned())
        }
        RulesetStatus::FullyEnforced => Ok(String::new()),
    }
}

fn try_restrict(sandbox: &Sandbox) -> Result<RulesetStatus, RulesetError> {
    let mut ruleset =
        Ruleset::default().handle_access(AccessFs::from_all(KNOWN))?.scope(Scope::from_all(KNOWN))?;
    if !sandbox.needs("network") {
        // Beside the filter of system calls: sockets that were made elsewhere cannot be used either.
        ruleset = ruleset.handle_access(AccessNet::from_all(KNOWN))?;
    }
    let run: BitFlags<AccessFs> =
        if sandbox.needs("process") { AccessFs::Execute.into() } else { BitFlags::EMPTY };
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut created = ruleset
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, read | run))?
        .add_rules(path_beneath_rules(library_folders(), read))?
        .add_rules(path_beneath_rules(&sandbox.reads, read))?
        .add_rules(path_beneath_rules(["/dev/null"], read | AccessFs::WriteFile))?
        .add_rules(path_beneath_rules(&sandbox.writes, changes()))?;
    if sandbox.needs("network") {
        created = created.add_rules(path_beneath_rules(NETWORK, read))?;
    }
    if sandbox.needs("gpu") {
        created = created
            .add_rules(path_beneath_rules(GPU, read))?
            .add_rules(path_beneath_rules(devices(), AccessFs::from_all(KNOWN)))?;
    }
    Ok(created.restrict_self()?.ruleset)
}

/// All that may be done in the plugin's own folder: plain files and folders, nothing that runs.
fn changes() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

/// Where the operator says that libraries lie.
fn library_folders() -> Vec<PathBuf> {
    std::env::var_os("LD_LIBRARY_PATH")
        .map(|folders| std::env::split_paths(&folders).filter(|folder| folder.is_absolute()).collect())
        .unwrap_or_default()
}

/// Files of graphics cards.
fn devices() -> Vec<PathBuf> {
    let mut devices = vec![PathBuf::from("/dev/dri"), PathBuf::from("/dev/kfd")];
    let listing = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    devices.extend(listing.map(|entry| entry.path()).filter(|path| is_nvidia(path)));
    devices
}

fn is_nvidia(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("nvidia"))
}
