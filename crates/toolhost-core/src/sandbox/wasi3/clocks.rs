//! Waiting for a time, for plugins that have a clock.

use std::time::Duration;

use wasmtime::component::{Accessor, Linker};
use wasmtime_wasi::clocks::WasiClocksView;
use wasmtime_wasi::p3::bindings::clocks::monotonic_clock::Host;

use super::super::{Sandbox, clocks};

pub(super) fn replace(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    let mut clock = linker.instance("wasi:clocks/monotonic-clock@0.3.0")?;
    clock.func_wrap_concurrent(
        "wait-until",
        |accessor: &Accessor<Sandbox>, (when,): (u64,)| {
            Box::pin(async move {
                let now = accessor.with(|mut access| {
                    let sandbox = access.get();
                    clocks::check(sandbox)?;
                    sandbox.clocks().now()
                })?;
                wait(when.saturating_sub(now)).await;
                Ok(())
            })
        },
    )?;
    clock.func_wrap_concurrent(
        "wait-for",
        |accessor: &Accessor<Sandbox>, (time,): (u64,)| {
            Box::pin(async move {
                accessor.with(|mut access| clocks::check(access.get()))?;
                wait(time).await;
                Ok(())
            })
        },
    )
}

async fn wait(nanoseconds: u64) {
    if nanoseconds > 0 {
        tokio::time::sleep(Duration::from_nanos(nanoseconds)).await;
    }
}
