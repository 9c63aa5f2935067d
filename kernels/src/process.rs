//! Settings of the whole process, to be made first thing in `main`: they do nothing once there is a second thread.

#![allow(unsafe_code)]

/// What rayon's pools take as their number of threads, and candle as that of its products.
const THREADS: &str = "RAYON_NUM_THREADS";

/// How often a thread of candle's own pool looks for work before it sleeps.
const SPINS: &str = "CANDLE_BARRIER_POOL_SPIN_LIMIT";

/// Lets all computing take as many threads as there are cores, unless the environment says another number. candle would
/// otherwise ask the system for the number of cores at every product, which takes some 50 µs.
pub fn settle_threads() {
    set_default(THREADS, num_cpus::get_physical().min(num_cpus::get()).max(1));
}

/// Lets all computing take so many threads, whatever the environment says.
pub fn take_threads(number: usize) {
    set(THREADS, number);
}

/// Lets candle's own pool sleep between its tasks, unless the environment says otherwise. Where rayon's threads do most of
/// the work, looking out for the next task takes a tenth of it away from them, and more beside another program.
pub fn sleep_between_tasks() {
    set_default(SPINS, 1);
}

fn set_default(variable: &str, number: usize) {
    let given = std::env::var(variable).ok().and_then(|number| number.parse::<usize>().ok());
    if given.is_none_or(|number| number == 0) {
        set(variable, number);
    }
}

fn set(variable: &str, number: usize) {
    if is_alone() {
        // SAFETY: there is no other thread that could read the environment meanwhile.
        unsafe { std::env::set_var(variable, number.to_string()) };
    }
}

/// Lets glibc's allocator keep what is freed, for the next operation to use: without it, large blocks go back to the system
/// and come again as pages that have to be cleared, which takes a sixth of a training step. The process holds its peak until
/// it ends. Does nothing where there is another C library.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if is_alone() {
        /// Blocks below this are never mapped one by one.
        const MAPPED: libc::c_int = 1 << 30;
        // SAFETY: mallopt sets three numbers of the allocator, in which no other thread can be.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
            // Another thread's arena would be cut into heaps of 64 MiB, which do go back.
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }
}

/// True when this is the only thread, as far as the system tells.
fn is_alone() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}
