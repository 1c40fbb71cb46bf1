//! What this process takes, or another; the benchmarks ask here too.

use std::time::{Duration, Instant};

use crate::wait_until;

/// Bytes of this process that are in memory, as Linux counts them.
pub fn resident() -> usize {
    resident_of("self")
}

/// Bytes of a process that are in memory.
pub fn resident_of(process: impl std::fmt::Display) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse::<usize>().ok())
        .expect("a size in kB")
        << 10
}

/// The time that all threads of a process have had a processor, to the nanosecond.
pub fn used(process: impl std::fmt::Display) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("a process of Linux");
    let used = threads.flatten().filter_map(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(used.sum())
}

/// How long is looked whether a process computes.
const WINDOW: Duration = Duration::from_millis(100);

/// Less than the deadline of a call, at which it ends whether it was cancelled or not.
const BEFORE_THE_DEADLINE: Duration = Duration::from_secs(20);

/// Waits until a process has computed for a while.
#[track_caller]
pub fn wait_until_busy(process: u32) {
    let before = used(process);
    wait_until("it computes", || {
        used(process).saturating_sub(before) >= WINDOW
    });
}

/// Whether a process hardly computes, in one window.
pub fn is_idle(process: u32) -> bool {
    let before = used(process);
    std::thread::sleep(WINDOW);
    used(process).saturating_sub(before) < WINDOW / 10
}

/// Waits until a process computes nothing any more, for whom calls spin that were cancelled.
#[track_caller]
pub fn wait_until_idle(process: u32) {
    let start = Instant::now();
    while !is_idle(process) {
        assert!(start.elapsed() < BEFORE_THE_DEADLINE, "it goes on");
    }
}
