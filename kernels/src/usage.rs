//! What a process takes, in Linux's words.

use std::fs;

/// Bytes in the line `field` of `/proc/PROCESS/status`: `VmHWM` is the most memory that a process has held, `VmRSS` what
/// it holds now. `process` is its id, or `self`. `None` where the system does not say so.
#[must_use]
pub fn memory(process: &str, field: &str) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/{process}/status")).ok()?, field)
}

fn parse(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_their_whole_name() {
        let status = "Name:\tjnana\nVmHWM:\t  233472 kB\nVmRSS:\t     12 kB\nThreads:\t3\n";
        assert_eq!(parse(status, "VmHWM"), Some(233_472 << 10));
        assert_eq!(parse(status, "VmRSS"), Some(12 << 10));
        assert_eq!(parse(status, "Vm"), None);
        assert_eq!(parse(status, "Threads"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_says_what_this_process_holds() {
        let now = memory("self", "VmRSS").unwrap();
        assert!(now > 1 << 20 && memory(&std::process::id().to_string(), "VmHWM").unwrap() >= now);
    }
}
