//! Tools that take long, or forever.

use crate::toolhost::plugin::host::{self, Level};
use crate::{Answer, Behaviour, Given, NOTHING, Takes, failed, text};
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

pub const TOOLS: &[Behaviour] = &[
    Behaviour {
        name: "spin",
        description: "Loops forever.",
        takes: NOTHING,
        run: spin,
    },
    Behaviour {
        name: "compute",
        description: "Keeps the processor busy for so many milliseconds, then answers.",
        takes: Takes::Required(&[("ms", "integer")]),
        run: compute,
    },
    Behaviour {
        name: "sleep",
        description: "Sleeps for so many milliseconds, then answers.",
        takes: Takes::Required(&[("ms", "integer")]),
        run: sleep,
    },
    Behaviour {
        name: "hold",
        description: "Connects to a gate (HOST:PORT), and answers when the connection ends.",
        takes: Takes::Required(&[("gate", "string")]),
        run: hold,
    },
    Behaviour {
        name: "print",
        description: "Prints to stdout forever.",
        takes: NOTHING,
        run: |_| flood(io::stdout()),
    },
    Behaviour {
        name: "print_error",
        description: "Prints to stderr forever.",
        takes: NOTHING,
        run: |_| flood(io::stderr()),
    },
    Behaviour {
        name: "log_flood",
        description: "Logs through the host forever.",
        takes: NOTHING,
        run: |_| loop {
            host::log(Level::Info, LINE);
        },
    },
];

/// What the floods repeat.
const LINE: &str = "All work and no play makes Jack a dull boy.";

fn spin(_: &Given) -> Answer {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn compute(given: &Given) -> Answer {
    let (start, mut state) = (Instant::now(), 1u64);
    let length = Duration::from_millis(given.number("ms")?);
    while start.elapsed() < length {
        // Long between two looks at the clock, which is the host's: this is about the guest's time.
        for _ in 0..10_000 {
            state = black_box(
                state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1),
            );
        }
    }
    text(format!("computed for {} ms", length.as_millis()))
}

fn sleep(given: &Given) -> Answer {
    let length = Duration::from_millis(given.number("ms")?);
    thread::sleep(length);
    text(format!("slept for {} ms", length.as_millis()))
}

fn hold(given: &Given) -> Answer {
    let mut gate = TcpStream::connect(given.text("gate")?).map_err(failed)?;
    writeln!(gate, "{}", given.call.id).map_err(failed)?;
    gate.read_to_end(&mut Vec::new()).map_err(failed)?;
    text("held")
}

/// Does not take an error for an answer: a host that closes the stream has to end it by other means.
fn flood(mut stream: impl Write) -> Answer {
    loop {
        let _ = writeln!(stream, "{LINE}");
    }
}
