//! Output: the only way to stdout and stderr. Untrusted text cannot break lines or control the
//! terminal; secrets are masked.
//!
//! clippy.toml forbids everything else.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, PoisonError, RwLock};

use clap::Parser;
use serde::Serialize;
use toolhost::{LoadError, Mask, printable};

use super::{Options, Untrusted, log_queue};

/// The masks in effect.
static MASKS: RwLock<Vec<Arc<Mask>>> = RwLock::new(Vec::new());

/// Adds a mask.
pub(crate) fn add_mask(mask: Arc<Mask>) {
    let mut masks = MASKS.write().unwrap_or_else(PoisonError::into_inner);
    masks.push(mask);
}

/// Masks secrets.
pub(crate) fn masked(mut text: String) -> String {
    let masks = MASKS.read().unwrap_or_else(PoisonError::into_inner);
    masks.iter().for_each(|mask| mask.text(&mut text));
    text
}

/// Writes a line to stderr, ignoring errors.
macro_rules! say {
    ($($argument:tt)*) => {
        // If stderr is closed there is nobody to tell.
        drop($crate::cli::out::Out::stderr().line(format_args!($($argument)*)))
    };
}

/// Writes a line to an [`Out`].
macro_rules! line {
    ($out:expr, $($argument:tt)*) => {
        $out.line(format_args!($($argument)*))
    };
}

pub(crate) use {line, say};

/// stdout or stderr.
pub(crate) struct Out {
    name: &'static str,
    stream: Box<dyn Write>,
    is_terminal: bool,
}

#[expect(clippy::disallowed_methods, reason = "the one place")]
impl Out {
    pub(crate) fn stdout() -> Out {
        let stream = io::stdout().lock();
        Out {
            name: "stdout",
            is_terminal: stream.is_terminal(),
            stream: Box::new(stream),
        }
    }

    pub(crate) fn stderr() -> Out {
        let stream = io::stderr().lock();
        Out {
            name: "stderr",
            is_terminal: stream.is_terminal(),
            stream: Box::new(stream),
        }
    }
}

impl Out {
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, line: impl Display) -> io::Result<()> {
        let line = masked(line.to_string());
        self.write(&format!("{}\n", printable::line(&line)))
    }

    /// Writes the beginning of a line.
    pub(crate) fn prompt(&mut self, prompt: impl Display) -> io::Result<()> {
        let prompt = masked(prompt.to_string());
        self.write(&printable::line(&prompt))
    }

    /// Writes a line for programs: tab-separated fields.
    pub(crate) fn fields(&mut self, fields: &[&str]) -> io::Result<()> {
        let fields = fields.iter().map(|field| masked((*field).to_owned()));
        let fields: Vec<_> = fields
            .map(|field| printable::line(&field).into_owned())
            .collect();
        self.write(&format!("{}\n", fields.join("\t")))
    }

    /// Writes text of several lines: escaped for a terminal, otherwise as it is.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        match self.is_terminal {
            true => self.write(&printable::text(text)),
            false => self.write(text),
        }
    }

    /// Writes a JSON document and a newline: escaped for a terminal, otherwise as it is.
    pub(crate) fn json(&mut self, document: &str) -> io::Result<()> {
        match self.is_terminal {
            true => self.write(&format!("{}\n", printable::json(document))),
            false => self.write(&format!("{document}\n")),
        }
    }

    /// Writes an error with its causes.
    pub(crate) fn error(&mut self, error: &anyhow::Error) -> io::Result<()> {
        // Errors of several lines are formatted by themselves.
        let itself = error.chain().next();
        let itself = itself.and_then(|it| it.downcast_ref::<LoadError>());
        if let Some(LoadError::Invalid(problems)) = itself {
            let problems = problems.iter().map(|it| format!("error: {it}\n"));
            let problems = masked(problems.collect::<String>());
            return self.write(&printable::text(&problems));
        }
        match error.is::<LoadError>() || error.is::<Untrusted>() {
            true => self.write(&printable::text(&masked(format!("error: {error:#}\n")))),
            false => self.line(format_args!("error: {error:#}")),
        }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        // In one write: progress bars and other threads write in between.
        let written = self.stream.write_all(text.as_bytes());
        let written = written.and_then(|()| self.stream.flush());
        written.map_err(|error| {
            let name = self.name;
            io::Error::new(error.kind(), format!("cannot write to {name}: {error}"))
        })
    }
}

/// Prints a document to stdout, indented.
pub(crate) fn print_json(value: &impl Serialize) -> io::Result<()> {
    Out::stdout().json(&serde_json::to_string_pretty(value)?)
}

/// Stderr for log events, each written whole.
pub(crate) struct LogStream;

impl Write for LogStream {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = masked(text.trim_end_matches('\n').to_owned());
        if let Some(line) = log_queue::push(line) {
            write_log(&line)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Queues further log lines, so that a stderr which nobody reads stops nothing.
pub(super) fn queue_log() -> io::Result<()> {
    log_queue::start(|line| drop(write_log(line)))
}

fn write_log(line: &str) -> io::Result<()> {
    let mut out = Out::stderr();
    let line = printable::line(line);
    match coloured(&line).filter(|_| out.is_terminal) {
        Some(line) => out.write(&line),
        None => out.write(&format!("{line}\n")),
    }
}

/// Colours a log line by its level.
fn coloured(line: &str) -> Option<String> {
    let (level, rest) = line.split_at_checked(5)?;
    let colour = match level {
        "ERROR" => 31,
        " WARN" => 33,
        " INFO" => 32,
        "DEBUG" => 34,
        "TRACE" => 35,
        _ => return None,
    };
    Some(format!("\u{1b}[{colour}m{level}\u{1b}[0m{rest}\n"))
}

/// Writes panic messages the same way.
pub(crate) fn watch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("<unnamed>");
        let panic = panic.to_string().replacen(":\n", ": ", 1);
        say!("thread '{name}' {panic}");
        let trace = std::backtrace::Backtrace::capture();
        if trace.status() == std::backtrace::BacktraceStatus::Captured {
            drop(Out::stderr().text(&format!("{trace}\n")));
        }
    }));
}

/// Ends the process with that error on a panic. If tokio cannot start all of its threads it panics,
/// and would then wait forever for those it has started.
pub(crate) fn panics_are(error: &'static str) {
    std::panic::set_hook(Box::new(move |panic| {
        let why = panic.payload_as_str().unwrap_or("for an unknown reason");
        say!("error: {error}: {why}");
        std::process::exit(super::FAILED.into());
    }));
}

/// Reports a usage error in clap's words, with the arguments escaped, since it quotes them.
pub(crate) fn usage(error: clap::Error) -> io::Result<()> {
    let shown = std::env::args_os().map(|argument| {
        let argument = argument.to_string_lossy();
        printable::line(&argument).into_owned()
    });
    let error = Options::try_parse_from(shown).err().unwrap_or(error);
    error.print()
}
