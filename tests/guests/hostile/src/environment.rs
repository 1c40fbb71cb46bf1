//! Looks around: what a guest can learn of the machine and the process it runs in.

use crate::{Answer, Behaviour, escaped, hex, text};
use serde_json::{Value, json};
use wasip2::cli::{environment, stdin, terminal_stderr, terminal_stdin, terminal_stdout};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::io::streams::StreamError;
use wasip2::random::{insecure, insecure_seed, random};

pub const TOOLS: &[Behaviour] = &[
    Behaviour {
        name: "env",
        description: "Answers environment variables, arguments and initial directory as a JSON object of env, args and cwd.",
        takes: &[],
        run: |_| environment(),
    },
    Behaviour {
        name: "stdin",
        description: "Reads stdin to its end, and answers how many bytes there were.",
        takes: &[],
        run: |_| read_stdin(),
    },
    Behaviour {
        name: "terminal",
        description: "Asks whether stdin, stdout or stderr is a terminal.",
        takes: &[],
        run: |_| terminal(),
    },
    Behaviour {
        name: "clock",
        description: "Answers both clocks, read twice: a line of wall and a line of monotonic each.",
        takes: &[],
        run: |_| text(format!("{}\n{}", clocks(), clocks())),
    },
    Behaviour {
        name: "random",
        description: "Answers 16 random bytes, 16 insecure ones and the insecure seed, as hexadecimal lines.",
        takes: &[],
        run: |_| random_bytes(),
    },
];

fn environment() -> Answer {
    let variables: serde_json::Map<_, _> = environment::get_environment()
        .into_iter()
        .map(|(name, value)| (name, Value::from(value)))
        .collect();
    let all = json!({
        "env": variables,
        "args": environment::get_arguments(),
        "cwd": environment::initial_cwd(),
    });
    text(all.to_string())
}

fn read_stdin() -> Answer {
    let stream = stdin::get_stdin();
    let mut bytes = 0;
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(chunk) => bytes += chunk.len(),
            Err(StreamError::Closed) => return text(format!("stdin: {bytes} bytes")),
            Err(StreamError::LastOperationFailed(error)) => {
                return text(format!("stdin: {bytes} bytes, then {error}"));
            }
        }
    }
}

fn terminal() -> Answer {
    let some = [
        ("stdin", terminal_stdin::get_terminal_stdin().is_some()),
        ("stdout", terminal_stdout::get_terminal_stdout().is_some()),
        ("stderr", terminal_stderr::get_terminal_stderr().is_some()),
    ];
    let terminals: Vec<_> = some
        .iter()
        .filter(|(_, is)| *is)
        .map(|(of, _)| *of)
        .collect();
    match terminals.is_empty() {
        true => text("terminal: none"),
        false => escaped(format_args!("a terminal as {}", terminals.join(", "))),
    }
}

fn clocks() -> String {
    let wall = wall_clock::now();
    let monotonic = monotonic_clock::now();
    let wall = format!("{}.{:09}", wall.seconds, wall.nanoseconds);
    format!("wall: {wall}\nmonotonic: {monotonic}")
}

fn random_bytes() -> Answer {
    let secure = hex(&random::get_random_bytes(16));
    let weak = hex(&insecure::get_insecure_random_bytes(16));
    let (one, other) = insecure_seed::insecure_seed();
    text(format!(
        "random: {secure}\ninsecure: {weak}\nseed: {one:016x}{other:016x}"
    ))
}
