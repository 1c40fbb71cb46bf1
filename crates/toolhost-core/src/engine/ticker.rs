//! The thread that advances the epoch of all engines while guests run. While none does, it rests: an idle host costs
//! no CPU, and little memory.
//!
//! | state | next |
//! | --- | --- |
//! | ticks, a guest runs | the last guest ends: ticks on for a while, as the next often comes soon |
//! | ticks, no guest runs | rests after [`IDLE_TICKS`] |
//! | rests | the next guest wakes it |

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread::{self, Thread};

use wasmtime::{Engine, EngineWeak};

use super::TICK;
use crate::locks;

/// After how many ticks without a guest it rests: one second. Waking the thread costs a call some microseconds.
const IDLE_TICKS: u32 = 500;

static TICKER: OnceLock<Ticker> = OnceLock::new();

static BEFORE_REST: OnceLock<fn()> = OnceLock::new();

struct Ticker {
    shared: &'static Shared,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    engines: Mutex<Vec<EngineWeak>>,
    guests: AtomicUsize,
    rests: AtomicBool,
}

/// A guest that runs: while one is there, epochs advance.
pub(crate) struct RunningGuest(Option<&'static Shared>);

impl RunningGuest {
    /// To be kept while a guest runs.
    pub(crate) fn new() -> RunningGuest {
        // There is a guest, so there is an engine, and with it the thread.
        let Some(Ticker { shared, thread }) = TICKER.get() else {
            return RunningGuest(None);
        };
        // Whoever comes first, this or the look before a rest, the other sees it.
        shared.guests.fetch_add(1, Ordering::SeqCst);
        if shared.rests.load(Ordering::SeqCst) && shared.rests.swap(false, Ordering::SeqCst) {
            thread.unpark();
        }
        RunningGuest(Some(shared))
    }
}

impl Drop for RunningGuest {
    fn drop(&mut self) {
        if let Some(shared) = self.0 {
            shared.guests.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Calls `release` whenever no guest has run for a second, on a thread of its own: for memory that the allocator keeps
/// though nothing uses it.
pub fn when_idle(release: fn()) {
    let _ = BEFORE_REST.set(release);
}

/// Advances the epoch of an engine while guests run, as long as it is there.
///
/// # Errors
///
/// The thread cannot be started.
pub(super) fn add(engine: &Engine) -> std::io::Result<()> {
    static STARTING: Mutex<()> = Mutex::new(());
    let starting = locks::lock(&STARTING);
    let ticker = match TICKER.get() {
        Some(ticker) => ticker,
        None => {
            let shared: &Shared = Box::leak(Box::default());
            let thread = thread::Builder::new().name("toolhost-ticker".to_owned());
            let thread = thread.spawn(|| shared.tick())?.thread().clone();
            TICKER.get_or_init(|| Ticker { shared, thread })
        }
    };
    drop(starting);
    locks::lock(&ticker.shared.engines).push(engine.weak());
    Ok(())
}

impl Shared {
    fn tick(&self) {
        let mut idle = 0;
        loop {
            thread::sleep(TICK);
            locks::lock(&self.engines).retain(|engine| {
                let engine = engine.upgrade();
                engine.inspect(Engine::increment_epoch).is_some()
            });
            idle = match self.guests.load(Ordering::SeqCst) {
                0 => idle + 1,
                _ => 0,
            };
            if idle >= IDLE_TICKS {
                if let Some(release) = BEFORE_REST.get() {
                    release();
                }
                self.rest();
                idle = 0;
            }
        }
    }

    /// Until the next guest.
    fn rest(&self) {
        self.rests.store(true, Ordering::SeqCst);
        if self.guests.load(Ordering::SeqCst) == 0 {
            while self.rests.load(Ordering::SeqCst) {
                thread::park();
            }
        }
        self.rests.store(false, Ordering::SeqCst);
    }
}
