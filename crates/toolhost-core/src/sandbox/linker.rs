//! The linker: what guests may import, which is WASI 0.2, `wasi:http` and the plugin interface's
//! `host`, with some of WASI's functions replaced; on the concurrent engine also WASI 0.3.

use wasmtime::StoreContextMut;
use wasmtime::component::{HasSelf, Linker, Resource};

use super::{Sandbox, clocks, files, sockets, wasi3};
use crate::bindings;

/// Links everything that a guest may import; the sandbox decides what it can access through it.
pub(crate) fn link(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Sandbox>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    bindings::Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |sandbox| sandbox)?;
    bindings::calls::toolhost::calls::calls::add_to_linker::<_, HasSelf<_>>(
        &mut linker,
        |sandbox| sandbox,
    )?;
    linker.allow_shadowing(true);
    files::replace(&mut linker)?;
    sockets::replace(&mut linker)?;
    clocks::replace(&mut linker)?;
    // wasmtime's own shows a backtrace of the host if the environment asks for backtraces.
    linker.instance("wasi:io/error@0.2.12")?.func_wrap(
        "[method]error.to-debug-string",
        |mut store: StoreContextMut<Sandbox>, (error,): (Resource<wasmtime::Error>,)| {
            let error = store.data_mut().table.get(&error)?;
            Ok((format!("{error:#}"),))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(linker)
}

/// As [`link`], with WASI 0.3.
pub(crate) fn link_concurrent(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Sandbox>> {
    let mut linker = link(engine)?;
    wasi3::link(&mut linker)?;
    Ok(linker)
}
