//! A warm start of the five shipped plugins to the first result, as a process of its own:
//! `cargo bench --bench startup`.
//!
//! Prints user and system time, which a busy machine disturbs less than wall time.

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{guest, median};
use wait4::Wait4;

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
    // Milliseconds of process time and of wall time.
    let start = || {
        let began = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_toolhost"))
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
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut stdout = child.stdout.take().expect("a pipe");
        let result = std::io::read_to_string(&mut stdout).expect("text");
        let used = child.wait4().expect("its usage").rusage;
        assert_eq!(result, "42\n");
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        (ms(used.utime + used.stime), ms(began.elapsed()))
    };
    let cold = start();
    let (mut cpu, mut wall): (Vec<f64>, Vec<f64>) = (0..ROUNDS).map(|_| start()).unzip();
    println!(
        "start to first result: cold {:.0} ms of process time; warm, median of {ROUNDS}: \
         {:.1} ms of process time, {:.1} ms of wall time",
        cold.0,
        median(&mut cpu),
        median(&mut wall)
    );
}
