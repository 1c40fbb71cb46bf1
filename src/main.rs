//! The `toolhost` command: parses options, calls the library, prints.
//!
//! Results go to stdout, everything else to stderr.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod cli;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser;
use cli::out;

/// Calls move between threads, and so does what they allocate.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    #[cfg(unix)]
    cli::inherited::keep_from_children();
    out::watch_panics();
    let options = match cli::Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let status = u8::try_from(error.exit_code()).unwrap_or(cli::USAGE);
            return match out::usage(error) {
                // Help is what was asked for.
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
    // Nobody can be told of what cannot be said.
    let _ = out::Out::stderr().error(error);
    ExitCode::from(cli::status_of(error))
}

/// Whoever reads stdout has seen enough: no fault of ours, and nobody to tell.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
