//! Attacks with what a tool says: too much of it, too deep, or for too long.

use crate::toolhost::plugin::host::{self, Level};
use crate::toolhost::plugin::types::Content;
use crate::{Answer, Behaviour, Error, Given, Output, escaped, text};
use std::io::{self, Write};

pub const TOOLS: &[Behaviour] = &[
    Behaviour {
        name: "stdout_flood",
        description: "Prints to stdout forever.",
        takes: &[],
        run: |_| flood(io::stdout()),
    },
    Behaviour {
        name: "stderr_flood",
        description: "Prints to stderr forever.",
        takes: &[],
        run: |_| flood(io::stderr()),
    },
    Behaviour {
        name: "log_flood",
        description: "Logs through the host forever.",
        takes: &[],
        run: |_| loop {
            host::log(Level::Info, LINE);
        },
    },
    Behaviour {
        name: "progress_flood",
        description: "Reports its progress 100,000 times, with a message of 10 kB each.",
        takes: &[],
        run: |_| progress_flood(),
    },
    Behaviour {
        name: "output_bomb",
        description: "Answers a text of so many bytes.",
        takes: &[("bytes", "integer")],
        run: |given| text(long(given.number("bytes")?)),
    },
    Behaviour {
        name: "content_bomb",
        description: "Answers so many texts of one byte, and one before them.",
        takes: &[("count", "integer")],
        run: content_bomb,
    },
    Behaviour {
        name: "error_bomb",
        description: "Fails with a message of so many bytes.",
        takes: &[("bytes", "integer")],
        run: |given| Err(Error::Failed(long(given.number("bytes")?))),
    },
    Behaviour {
        name: "structured_bomb",
        description: "Answers structured output of arrays nested so deep.",
        takes: &[("depth", "integer")],
        run: structured_bomb,
    },
    Behaviour {
        name: "denied_flood",
        description: "Asks for so many unknown secrets, each under another name.",
        takes: &[("count", "integer")],
        run: denied_flood,
    },
];

/// What the floods repeat.
const LINE: &str = "All work and no play makes Jack a dull boy.";

/// Does not take an error for an answer: a host that closes the stream has to end it by other means.
fn flood(mut stream: impl Write) -> Answer {
    loop {
        let _ = writeln!(stream, "{LINE}");
    }
}

fn progress_flood() -> Answer {
    let message = "x".repeat(10_000);
    for done in 0..100_000 {
        host::progress(done.into(), Some(100_000.0), Some(&message));
    }
    escaped("reported progress 100000 times")
}

/// So many bytes that say that they should not have arrived.
fn long(bytes: usize) -> String {
    let mut long = String::from("ESCAPED: ");
    long.extend(std::iter::repeat_n('x', bytes.saturating_sub(long.len())));
    long
}

fn content_bomb(given: &Given) -> Answer {
    let count: usize = given.number("count")?;
    let mut content = vec![Content::Text(format!("ESCAPED: {count} more"))];
    content.resize(count.saturating_add(1), Content::Text("x".into()));
    Ok(Output {
        content,
        structured: None,
    })
}

fn structured_bomb(given: &Given) -> Answer {
    let depth = given.number("depth")?;
    Ok(Output {
        content: vec![Content::Text(format!("ESCAPED: nested {depth} deep"))],
        structured: Some("[".repeat(depth) + &"]".repeat(depth)),
    })
}

fn denied_flood(given: &Given) -> Answer {
    for number in 0..given.number::<u64>("count")? {
        if let Some(value) = host::secret(&format!("unknown-{number}")) {
            return escaped(format_args!("got a secret of {} bytes", value.len()));
        }
    }
    text("asked")
}
