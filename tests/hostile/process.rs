//! What this process holds.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// wasmtime compresses compiled code in a thread of its own, which may take some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub descriptors: usize,
    pub threads: usize,
}

impl Held {
    fn now() -> Held {
        let count = |folder: &str| std::fs::read_dir(folder).expect("Linux").count();
        Held {
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
        }
    }

    /// What is held once the process does nothing any more, nor did for so long.
    pub fn settled(quiet: Duration) -> Held {
        let start = Instant::now();
        loop {
            let (held, time) = (Held::now(), computed());
            sleep(quiet);
            let is_idle = computed() - time < quiet / 20;
            if (held == Held::now() && is_idle) || start.elapsed() > PATIENCE {
                return held;
            }
        }
    }

    /// Whether it is no more than that.
    pub fn is_within(self, other: Held) -> bool {
        self.descriptors <= other.descriptors && self.threads <= other.threads
    }

    /// Waits until no more than this is held; what is held then, or when that takes too long.
    pub fn again(self) -> Held {
        let start = Instant::now();
        loop {
            let now = Held::now();
            if now.is_within(self) || start.elapsed() > PATIENCE {
                return now;
            }
            sleep(Duration::from_millis(20));
        }
    }
}

/// Bytes in memory that are this process's own: not those of files, such as its program, which the
/// system reads as they are needed.
pub fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let of = |name: &str| -> usize {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse().ok()).expect("a size in kB")
    };
    (of("RssAnon:") + of("RssShmem:")) << 10
}

/// Waits until no more bytes than these are in memory; those that are then, or when that takes too
/// long. wasmtime's thread that compresses takes tens of MiB while it does, and gives them back.
pub fn memory_within(bytes: usize) -> usize {
    let start = Instant::now();
    loop {
        let now = memory();
        if now <= bytes || start.elapsed() > PATIENCE {
            return now;
        }
        sleep(Duration::from_millis(100));
    }
}

/// The time that this process has computed.
fn computed() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
