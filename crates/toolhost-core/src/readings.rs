//! [`Readings`]: the clock and the randomness of a call that may be run again from its start, and
//! then reads the same.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock};

use crate::locks;
use crate::permissions::{Ambient, Permissions};

/// The most readings of clocks that are kept.
const MAX_READINGS: usize = 64 << 10;

pub(crate) struct Readings {
    seed: [u8; 32],
    since: Instant,
    clock: Mutex<ClockReadings>,
}

#[derive(Default)]
struct ClockReadings {
    /// In nanoseconds.
    read: Vec<u64>,
    /// How many were read in this run.
    position: usize,
}

impl Readings {
    /// `None` if the system RNG fails.
    pub(crate) fn new() -> Option<Readings> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).ok()?;
        Some(Readings {
            seed,
            since: Instant::now(),
            clock: Mutex::default(),
        })
    }

    /// Whether all that was read is kept.
    pub(crate) fn are_complete(&self) -> bool {
        locks::lock(&self.clock).read.len() < MAX_READINGS
    }

    fn read(&self, now: impl FnOnce() -> Duration) -> Duration {
        let mut clock = locks::lock(&self.clock);
        let position = clock.position;
        clock.position += 1;
        if let Some(before) = clock.read.get(position) {
            return Duration::from_nanos(*before);
        }
        let now = now();
        if clock.read.len() < MAX_READINGS {
            let nanoseconds = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
            clock.read.push(nanoseconds);
        }
        now
    }

    /// Gives them to a guest that runs from its start.
    pub(crate) fn configure(self: &Arc<Self>, wasi: &mut WasiCtxBuilder, granted: &Permissions) {
        locks::lock(&self.clock).position = 0;
        if granted.clock == Ambient::Real {
            wasi.wall_clock(Clock(self.clone()))
                .monotonic_clock(Clock(self.clone()));
        }
        if granted.random == Ambient::Real {
            let mut random = StdRng::from_seed(self.seed);
            let hash_seed = random.random();
            let insecure = StdRng::from_rng(&mut random);
            wasi.secure_random(random)
                .insecure_random(insecure)
                .insecure_random_seed(hash_seed);
        }
    }
}

struct Clock(Arc<Readings>);

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH);
        self.0.read(|| now().unwrap_or_default())
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        let now = self.0.read(|| self.0.since.elapsed());
        u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
    }
}
