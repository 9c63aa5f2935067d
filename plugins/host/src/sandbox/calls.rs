//! Which system calls a plugin may make, by seccomp: all but those that leave the process, or that no plugin has a use for.
//!
//! A list of what is denied, not of what is allowed: a plugin brings any library, and each of those calls what it likes. A
//! denied call fails with an error, it does not end the process, so that a library can take another way.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::Sandbox;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Never: other processes, mounts, namespaces, the kernel itself, ways around the rules of files and of this filter.
const NEVER: &[c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_setsid,
    libc::SYS_setpgid,
    libc::SYS_migrate_pages,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_personality,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Memory that no limit counts.
    libc::SYS_memfd_create,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    // Landlock does not see who owns a file and who may open it.
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fchmodat2,
    SETXATTRAT,
    REMOVEXATTRAT,
    FILE_SETATTR,
    // Kernels before Landlock's third version do not see this one.
    libc::SYS_truncate,
];

/// Calls that are younger than the names in `libc`; their numbers are the same on every processor (Linux 6.13 and 6.17).
const SETXATTRAT: c_long = 463;
const REMOVEXATTRAT: c_long = 466;
const FILE_SETATTR: c_long = 469;

/// The same, by names that only this processor's kernel has.
#[cfg(target_arch = "x86_64")]
const NEVER_HERE: &[c_long] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_kexec_file_load,
];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_HERE: &[c_long] = &[];

/// Other programs.
const PROCESS: &[c_long] = &[libc::SYS_execve, libc::SYS_execveat];
#[cfg(target_arch = "x86_64")]
const PROCESS_HERE: &[c_long] = &[libc::SYS_fork, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
const PROCESS_HERE: &[c_long] = &[];

/// Calls that take the number of a process, or of a thread, where zero is the caller: by the place of that argument.
const OF_PROCESS: &[(c_long, u8)] = &[
    (libc::SYS_prlimit64, 0),
    (libc::SYS_move_pages, 0),
    (libc::SYS_sched_setaffinity, 0),
    (libc::SYS_sched_setscheduler, 0),
    (libc::SYS_sched_setparam, 0),
    (libc::SYS_sched_setattr, 0),
    (libc::SYS_setpriority, 1),
    (libc::SYS_ioprio_set, 1),
];

/// What the first argument of `ioprio_set` says when the second one is of a process (ioprio.h).
const IOPRIO_WHO_PROCESS: u64 = 1;

/// Of `fcntl` (fcntl.h).
const F_SETOWN_EX: i32 = 15;

/// Filters the system calls of this thread and of those that it starts.
pub(super) fn restrict(sandbox: &Sandbox) -> Result<(), String> {
    let alone = !sandbox.needs("process");
    let install = || -> Result<(), seccompiler::Error> {
        let denied = denied(alone, !sandbox.needs("network"))?;
        apply(denied, libc::EPERM)?;
        if alone {
            // Its flags lie in memory, where a filter cannot look. C libraries take `clone` when there is no `clone3`.
            apply(Rules::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)?;
        }
        Ok(())
    };
    install().map_err(|error| format!("restricting system calls: {error}"))
}

fn denied(alone: bool, offline: bool) -> Result<Rules, BackendError> {
    let mut rules = Rules::new();
    let mut deny = |calls: &[c_long]| rules.extend(calls.iter().map(|call| (*call, Vec::new())));
    deny(NEVER);
    deny(NEVER_HERE);
    if alone {
        deny(PROCESS);
        deny(PROCESS_HERE);
    }
    if offline {
        deny(&[libc::SYS_socket]);
    } else {
        // Landlock does not see who connects to a socket that has a path: a session bus starts programs for whoever asks.
        let local = rule(0, NUMBER, SeccompCmpOp::Eq, libc::AF_UNIX.unsigned_abs().into())?;
        rules.insert(libc::SYS_socket, vec![local]);
    }
    for (call, argument) in OF_PROCESS {
        rules.insert(*call, vec![rule(*argument, NUMBER, SeccompCmpOp::Ne, 0)?]);
    }
    // Zero is the caller only where the number is of a process, not of a group or a user.
    for (call, process) in [(libc::SYS_setpriority, 0), (libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS)] {
        rules.entry(call).or_default().push(rule(0, NUMBER, SeccompCmpOp::Ne, process)?);
    }
    // Signals to whoever is named the owner of a descriptor.
    let owner = |command: i32| rule(1, NUMBER, SeccompCmpOp::Eq, command.unsigned_abs().into());
    rules.insert(libc::SYS_fcntl, vec![owner(libc::F_SETOWN)?, owner(F_SETOWN_EX)?]);
    // Memory that is shared with nobody yet: no limit counts it, and it stays when it is let go.
    let shared = u64::from((libc::MAP_SHARED | libc::MAP_ANONYMOUS).unsigned_abs());
    rules.insert(libc::SYS_mmap, vec![rule(3, NUMBER, SeccompCmpOp::MaskedEq(shared), shared)?]);
    // With a path: the times of any file. Without one: those of an open file.
    rules.insert(libc::SYS_utimensat, vec![rule(1, POINTER, SeccompCmpOp::Ne, 0)?]);
    // Without this the plugin could outlive a host that is killed.
    let signal_of_parent = rule(0, NUMBER, SeccompCmpOp::Eq, libc::PR_SET_PDEATHSIG.unsigned_abs().into())?;
    rules.insert(libc::SYS_prctl, vec![signal_of_parent]);
    if alone {
        let threads = u64::from(libc::CLONE_THREAD.unsigned_abs());
        rules.insert(libc::SYS_clone, vec![rule(0, POINTER, SeccompCmpOp::MaskedEq(threads), 0)?]);
        for kill in [libc::SYS_kill, libc::SYS_tgkill] {
            rules.insert(kill, vec![rule(0, NUMBER, SeccompCmpOp::Ne, std::process::id().into())?]);
        }
    }
    Ok(with_x32(rules))
}

/// Of an `int` the kernel looks at the lower half only; so must a rule, or the upper half would hide it.
const NUMBER: SeccompCmpArgLen = SeccompCmpArgLen::Dword;
const POINTER: SeccompCmpArgLen = SeccompCmpArgLen::Qword;

fn rule(
    argument: u8,
    length: SeccompCmpArgLen,
    operation: SeccompCmpOp,
    number: u64,
) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, length, operation, number)?])
}

/// The same rules for the second set of numbers that this processor's kernel may have: those of 64-bit calls with 32-bit
/// pointers, which no program here uses.
#[cfg(target_arch = "x86_64")]
fn with_x32(mut rules: Rules) -> Rules {
    const X32: i64 = 0x4000_0000;
    /// Calls that have a number of their own there.
    const OWN: std::ops::RangeInclusive<i64> = 512..=547;
    let doubles: Vec<i64> = rules.keys().map(|call| call | X32).chain(OWN.map(|call| call | X32)).collect();
    rules.extend(doubles.into_iter().map(|call| (call, Vec::new())));
    rules
}

#[cfg(not(target_arch = "x86_64"))]
fn with_x32(rules: Rules) -> Rules {
    rules
}

fn apply(rules: Rules, error: i32) -> Result<(), seccompiler::Error> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let denial = SeccompAction::Errno(error.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denial, architecture)?;
    let program = BpfProgram::try_from(filter)?;
    seccompiler::apply_filter(&program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_lift_what_they_name_and_nothing_else() {
        let (strict, free) = (denied(true, true).unwrap(), denied(false, false).unwrap());
        for call in [libc::SYS_execve, libc::SYS_clone, libc::SYS_kill] {
            assert!(strict.contains_key(&call) && !free.contains_key(&call), "{call}");
        }
        assert!(strict[&libc::SYS_socket].is_empty(), "no socket at all");
        assert_eq!(free[&libc::SYS_socket].len(), 1, "none of this machine");
        for call in [libc::SYS_ptrace, libc::SYS_mount, libc::SYS_setsid, libc::SYS_io_uring_setup] {
            assert!(strict.contains_key(&call) && free.contains_key(&call), "{call}");
        }
    }

    #[test]
    fn the_filter_is_small_enough_for_the_kernel() {
        let architecture = TargetArch::try_from(std::env::consts::ARCH).unwrap();
        let rules = denied(true, true).unwrap();
        let filter =
            SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(1), architecture).unwrap();
        let program = BpfProgram::try_from(filter).unwrap();
        assert!(program.len() < 4096, "{}", program.len());
    }
}
