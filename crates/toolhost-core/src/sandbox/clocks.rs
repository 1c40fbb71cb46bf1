//! A plugin without clock or randomness: what it reads is always the same, and it cannot wait.

use std::time::Duration;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock, WasiClocksView};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host;
use wasmtime_wasi::random::Deterministic;

use super::Sandbox;
use crate::permissions::{Ambient, Permissions};

/// A clock that stands still at its epoch: 1970-01-01T00:00:00Z.
struct Still;

impl HostWallClock for Still {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Still {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

/// Gives the guest the clock and the randomness that it is granted.
pub(super) fn configure(wasi: &mut WasiCtxBuilder, permissions: &Permissions) {
    if permissions.clock == Ambient::None {
        wasi.wall_clock(Still).monotonic_clock(Still);
    }
    if permissions.random == Ambient::None {
        // Runtimes seed their hash tables at start-up: a denial would keep them from starting.
        let bytes = || Deterministic::new((0..=u8::MAX).collect());
        wasi.secure_random(bytes())
            .insecure_random(bytes())
            .insecure_random_seed(0);
    }
}

pub(super) fn replace(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    let mut clock = linker.instance("wasi:clocks/monotonic-clock@0.2.12")?;
    clock.func_wrap(
        "subscribe-instant",
        |mut store: StoreContextMut<Sandbox>, (when,): (u64,)| {
            waits(store.data_mut(), |clocks| clocks.subscribe_instant(when))
        },
    )?;
    clock.func_wrap(
        "subscribe-duration",
        |mut store: StoreContextMut<Sandbox>, (time,): (u64,)| {
            waits(store.data_mut(), |clocks| clocks.subscribe_duration(time))
        },
    )
}

fn waits(
    sandbox: &mut Sandbox,
    subscribe: impl FnOnce(&mut dyn Host) -> wasmtime::Result<Resource<DynPollable>>,
) -> wasmtime::Result<(Resource<DynPollable>,)> {
    check(sandbox)?;
    Ok((subscribe(&mut sandbox.clocks())?,))
}

/// Ends the call if its plugin may not wait for a time.
pub(super) fn check(sandbox: &Sandbox) -> wasmtime::Result<()> {
    if sandbox.grants.permissions.clock == Ambient::None {
        sandbox.journal.deny("clock: waiting for a time".to_owned());
        return Err(wasmtime::Error::msg("the plugin has no clock"));
    }
    Ok(())
}
