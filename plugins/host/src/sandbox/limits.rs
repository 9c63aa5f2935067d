//! Resource limits, and privileges that a plugin never needs.

#![allow(unsafe_code)] // setrlimit, prctl and capset have no counterpart in the standard library.

use std::io;

/// Most open files.
const FILES: u64 = 512;
/// Longest file that may be written: an imported speech model has 3 GB.
const FILE_BYTES: u64 = 8 << 30;
/// The host watches the memory that is in use and ends a worker that is over its limit. Where one takes memory faster than
/// the host looks, the kernel says no at this much above the limit.
const SLACK: u64 = 256 << 20;

/// Limits this process and all that it starts.
pub(super) fn apply(memory: Option<u64>) -> io::Result<()> {
    limit(libc::RLIMIT_CORE, 0)?;
    limit(libc::RLIMIT_NOFILE, FILES)?;
    limit(libc::RLIMIT_FSIZE, FILE_BYTES)?;
    match memory {
        // Not the address space: a mapped model and the allocator's reserves take room there, but no memory.
        Some(bytes) => limit(libc::RLIMIT_DATA, bytes.saturating_add((bytes / 4).max(SLACK))),
        None => Ok(()),
    }
}

fn limit(resource: libc::__rlimit_resource_t, wanted: u64) -> io::Result<()> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid resource and a struct to fill.
    if unsafe { libc::getrlimit(resource, &raw mut now) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let most = wanted.min(now.rlim_max);
    let new = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: a valid resource and a whole struct.
    if unsafe { libc::setrlimit(resource, &raw const new) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Ends this process with the thread that started it. `parent` is the process that is meant to be there.
pub(crate) fn die_with(parent: u32) -> io::Result<()> {
    // SAFETY: sets a number of this process.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // It may have ended before the line above.
    if std::os::unix::process::parent_id() != parent {
        return Err(io::Error::other("the host has ended"));
    }
    Ok(())
}

/// Gives up what root, or a file with capabilities, has over others: with it the limits above could be lifted.
pub(super) fn drop_capabilities() -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3`.
    const VERSION: u32 = 0x2008_0522;
    let mut header: [u32; 2] = [VERSION, 0];
    // Two sets of effective, permitted and inheritable ones, all empty.
    let none = [0_u32; 6];
    // SAFETY: the kernel reads the header, where it may write its own version, and two structs of three numbers.
    let done = unsafe { libc::syscall(libc::SYS_capset, header.as_mut_ptr(), none.as_ptr()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
