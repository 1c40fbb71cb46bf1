//! A warm start of the five shipped plugins to the first result, as a process of its own:
//! `cargo bench --bench startup`.
//!
//! Prints user and system time, which a busy machine disturbs less than wall time.

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{guest, median};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

const PLUGINS: [&str; 5] = ["time", "calculator", "json", "filesystem", "fetch"];
const ROUNDS: usize = 21;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = folder.path().join("toolhost.toml");
    let listed: String = PLUGINS
        .iter()
        .map(|name| format!("[plugin.{name}]\npath = {:?}\n", guest(name)))
        .collect();
    std::fs::write(&manifest, listed).expect("written");
    let start = || {
        let output = Command::new(env!("CARGO_BIN_EXE_toolhost"))
            .args([
                "call",
                "calculate",
                r#"{"expression": "6 * 7"}"#,
                "--code-cache",
            ])
            .arg(folder.path().join("code"))
            .arg("--manifest")
            .arg(&manifest)
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n");
    };
    let cold = timed(start);
    let (mut cpu, mut wall): (Vec<f64>, Vec<f64>) = (0..ROUNDS).map(|_| timed(start)).unzip();
    println!(
        "start to first result: cold {:.0} ms of process time; warm, median of {ROUNDS}: \
         {:.1} ms of process time, {:.1} ms of wall time",
        cold.0,
        median(&mut cpu),
        median(&mut wall)
    );
}

/// Milliseconds of process time and of wall time that a child took.
fn timed(run: impl Fn()) -> (f64, f64) {
    let (cpu, wall) = (children(), Instant::now());
    run();
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    (ms(children() - cpu), ms(wall.elapsed()))
}

/// User and system time of all children so far.
fn children() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("usage");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.unsigned_abs())
}
