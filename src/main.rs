//! The `toolhost` command: parses options, calls the library, prints.
//!
//! Results go to stdout, everything else to stderr.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod cli;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser;
use cli::out;

/// glibc's allocator contends when memory that one thread allocated is freed on another, and calls
/// move between threads: its lock was a quarter of the CPU time over HTTP.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Gives freed memory back to the system: the allocator does that only as it is used, and after loading plugins it has
/// tens of megabytes.
#[allow(unsafe_code)]
fn release_memory() {
    // SAFETY: it takes no pointers, and may be called at any time on any thread.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

fn main() -> ExitCode {
    #[cfg(unix)]
    cli::inherited_descriptors::keep_from_children();
    out::watch_panics();
    toolhost_core::when_idle(release_memory);
    let options = match cli::Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let status = u8::try_from(error.exit_code()).unwrap_or(cli::USAGE);
            return match out::usage(error) {
                // Help was asked for, so this is no error.
                Err(error) if status == 0 && error.kind() != ErrorKind::BrokenPipe => {
                    failed(&error.into())
                }
                _ => ExitCode::from(status),
            };
        }
    };
    match cli::run(options) {
        Ok(status) => ExitCode::from(status),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    // If stderr fails as well there is nowhere to report it.
    let _ = out::Out::stderr().error(error);
    ExitCode::from(cli::status_of(error))
}

/// Whether the reader of stdout has closed it, as `head` does: not an error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
