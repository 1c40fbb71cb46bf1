//! The `toolhost` command: parses options, calls the library, prints.
//!
//! Results go to stdout, everything else to stderr.

mod cli;

use std::process::ExitCode;

use clap::Parser;

/// Calls move between threads, and so does what they allocate.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let options = cli::Options::parse();
    match cli::run(options) {
        Ok(status) => ExitCode::from(status),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(cli::status_of(&error))
        }
    }
}

/// Whoever reads stdout has seen enough: no fault of ours, and nobody to tell.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
