//! What this process takes, or another; the benchmarks ask here too.

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
