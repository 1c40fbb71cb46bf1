//! An agent's work for people: the answer on stdout; on a terminal's stderr, a line for each call
//! while it runs, and what became of it.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use toolhost::agent::{AgentError, Answer, Event};
use toolhost::{ToolCall, ToolResult};

use super::View;
use crate::cli::out::{Out, say};
use crate::cli::progress;
use crate::cli::timeline::{outcome, time};

/// Characters of a call's arguments that its line shows.
const MAX_ARGUMENTS: usize = 60;

pub(super) struct Screen {
    lines: MultiProgress,
    calls: HashMap<usize, ProgressBar>,
    /// While nothing is heard of the model.
    waiting: Option<ProgressBar>,
    /// Whether the model's words are shown as they come.
    shows_text: bool,
    /// Words that wait for the end of their line, while lines of calls are drawn below.
    held: String,
    /// Whether stdout's line is not at its beginning.
    mid_line: bool,
    is_terminal: bool,
}

impl Screen {
    pub(super) fn new(lines: MultiProgress, shows_text: bool) -> Self {
        Screen {
            lines,
            calls: HashMap::new(),
            waiting: None,
            shows_text,
            held: String::new(),
            mid_line: false,
            is_terminal: Out::stderr().is_terminal(),
        }
    }

    fn spinner(&self, message: &str) -> ProgressBar {
        let bar = self.lines.add(ProgressBar::new_spinner());
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
        bar.set_style(style.expect("the template is valid"));
        // Before it is drawn: an interrupt may follow at once.
        progress::register(&bar);
        progress::tell(&bar, message);
        if self.is_terminal {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        bar
    }

    fn heard(&mut self) {
        if let Some(bar) = self.waiting.take() {
            bar.finish_and_clear();
            self.lines.remove(&bar);
        }
    }

    /// Prints words; on a line of their own while others are drawn.
    fn text(&mut self, text: &str) {
        if !self.shows_text {
            return;
        }
        if self.calls.is_empty() {
            self.mid_line = !text.ends_with('\n');
            return print_out(text);
        }
        self.held.push_str(text);
        if let Some(end) = self.held.rfind('\n') {
            let rest = self.held.split_off(end + 1);
            let whole = std::mem::replace(&mut self.held, rest);
            self.lines.suspend(|| print_out(&whole));
        }
    }

    /// Ends the line that the model's words are on.
    fn end_line(&mut self) {
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.lines.suspend(|| print_out(&format!("{held}\n")));
        }
        if std::mem::take(&mut self.mid_line) {
            print_out("\n");
        }
    }

    fn say(&self, line: &str) {
        if self.is_terminal {
            self.lines.suspend(|| say!("{line}"));
        }
    }

    fn began(&mut self, number: usize, call: &ToolCall) {
        self.end_line();
        let bar = self.spinner(&label(call));
        self.calls.insert(number, bar);
    }

    fn ended(&mut self, number: usize, result: &ToolResult) {
        let label = match self.calls.remove(&number) {
            Some(bar) => {
                let label = bar.message();
                bar.finish_and_clear();
                self.lines.remove(&bar);
                label
            }
            None => result.name.clone(),
        };
        let mark = if result.outcome.is_ok() { '✓' } else { '✗' };
        let took = time(result.usage.run);
        self.say(&format!("{mark} {label} {took} {}", outcome(result)));
    }
}

impl View for Screen {
    fn event(&mut self, event: Event<'_>) {
        if !matches!(event, Event::Turn { .. }) {
            self.heard();
        }
        match event {
            Event::Turn { .. } => self.waiting = Some(self.spinner("waiting for the model")),
            Event::Text(text) => self.text(text),
            Event::Call { number, call } => self.began(number, call),
            Event::Result { number, result } => self.ended(number, result),
            Event::Retry { why, wait } => {
                self.end_line();
                // Not on a terminal alone: a server that is not there is tried for ten seconds and more.
                self.lines
                    .suspend(|| say!("↻ {why}; retrying in {}", time(wait)));
            }
            Event::Reply { .. } => self.end_line(),
            _ => {}
        }
    }

    fn suspended(&mut self, write: &mut dyn FnMut()) {
        self.heard();
        self.end_line();
        self.lines.suspend(write);
    }

    fn answer(&mut self, answer: &Answer) -> io::Result<()> {
        self.heard();
        self.end_line();
        if self.shows_text {
            return Ok(());
        }
        Out::stdout().text(&format!("{}\n", answer.text))
    }

    fn failed(&mut self, _: &AgentError) -> io::Result<()> {
        self.heard();
        self.end_line();
        Ok(())
    }
}

fn print_out(text: &str) {
    let _ = Out::stdout().text(text);
}

fn label(call: &ToolCall) -> String {
    let name: String = call.name.chars().take(64).collect();
    let mut arguments: String = call.arguments.chars().take(MAX_ARGUMENTS).collect();
    if arguments.len() < call.arguments.len() {
        arguments.push('…');
    }
    match &*arguments {
        "" | "{}" => name,
        arguments => format!("{name} {arguments}"),
    }
}
