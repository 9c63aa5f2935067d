//! How much memory there is, and how much a process holds.

/// Memory of the machine in bytes; a gigabyte where nobody tells.
pub(super) fn of_machine() -> u64 {
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| kilobytes(&text, "MemTotal:"));
    total.unwrap_or(1 << 20) * 1024
}

/// What a process holds for itself in bytes: no mapped files, which the system can drop and read again.
pub(super) fn of_process(id: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let parts = ["RssAnon:", "RssShmem:", "VmSwap:"];
    Some(parts.iter().filter_map(|part| kilobytes(&text, part)).sum::<u64>() * 1024)
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_holds_less_than_the_machine_has() {
        let held = of_process(std::process::id()).unwrap();
        assert!(held > 0 && held < of_machine());
        assert_eq!(of_process(u32::MAX), None);
    }
}
