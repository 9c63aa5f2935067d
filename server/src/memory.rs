//! How much memory is left for a model.

use std::fs;

use thiserror::Error;

/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

/// Bytes that this process may still take without others being swapped out or ended: what the machine has left, or what its
/// control group does, whichever is less. `None` where neither is told, as on systems other than Linux.
#[must_use]
pub fn available() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| left_on_machine(&text));
    [machine, left_in_group()].into_iter().flatten().min()
}

/// There is no room.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{what} takes about {} MiB of memory, and {} MiB are free: choose a smaller one or end other programs",
    mebibytes(*needed), mebibytes(*available)
)]
pub struct Full {
    /// For what.
    pub what: String,
    /// Bytes that it takes.
    pub needed: u64,
    /// Bytes that are free.
    pub available: u64,
}

/// Refuses what takes more than is available.
///
/// # Errors
/// In words for a person, with both figures.
pub fn admit(what: &str, needed: u64, available: Option<u64>) -> Result<(), Full> {
    match available {
        Some(available) if needed > available => Err(Full { what: what.to_owned(), needed, available }),
        _ => Ok(()),
    }
}

/// Bytes in MiB, rounded up.
#[must_use]
pub fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// `MemAvailable` of `/proc/meminfo`.
fn left_on_machine(meminfo: &str) -> Option<u64> {
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// What the process's group (version 2) and those above it leave it.
fn left_in_group() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut least = None;
    loop {
        let read = |file: &str| fs::read_to_string(format!("{GROUPS}{group}/{file}")).ok();
        if let (Some(max), Some(current), Some(stat)) =
            (read("memory.max"), read("memory.current"), read("memory.stat"))
        {
            least = [least, left_of(&max, &current, &stat)].into_iter().flatten().min();
        }
        match group.rsplit_once('/') {
            Some((above, _)) => group = above,
            None => return least,
        }
    }
}

/// A limit less what is in use, where files that were read and can be read again do not count; `None` without a limit.
fn left_of(max: &str, current: &str, stat: &str) -> Option<u64> {
    let max: u64 = max.trim().parse().ok()?;
    let current: u64 = current.trim().parse().ok()?;
    let bytes =
        |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    let files: u64 = ["inactive_file ", "active_file "].into_iter().filter_map(bytes).sum();
    Some(max.saturating_sub(current.saturating_sub(files)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_and_its_groups_are_understood() {
        let meminfo = "MemTotal:       24576000 kB\nMemAvailable:   20480000 kB\n";
        assert_eq!(left_on_machine(meminfo), Some(20_480_000 * 1024));
        assert_eq!(left_on_machine("MemTotal: 1 kB\n"), None);
        let stat = "anon 5\ninactive_file 300\nactive_file 7\n";
        assert_eq!(left_of("1000\n", "800\n", stat), Some(507));
        assert_eq!(left_of("1000\n", "2000\n", ""), Some(0));
        assert_eq!(left_of("max\n", "800\n", stat), None);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_figures() {
        assert!(admit("phi-2", 5 << 20, Some(5 << 20)).is_ok());
        assert!(admit("phi-2", u64::MAX, None).is_ok());
        let error = admit("phi-2", (5 << 20) + 1, Some(5 << 20)).unwrap_err().to_string();
        assert!(error.starts_with("phi-2 takes about 6 MiB of memory, and 5 MiB are free: "), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_some_left() {
        assert!(available().is_some_and(|bytes| bytes > 0));
    }
}
