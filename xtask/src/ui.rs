//! What people see while they wait: a bar on a terminal, a few plain lines in a pipe. All of it on standard error.

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Says what is being done, a line each.
pub(crate) fn say(message: impl std::fmt::Display) {
    eprintln!("xtask: {message}");
}

/// The steps of a command, each with how long it took.
pub(crate) struct Steps {
    total: usize,
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// None is done yet of `total`.
    pub(crate) fn new(total: usize) -> Self {
        Self {
            total,
            done: Vec::with_capacity(total),
        }
    }

    /// Does the next step, and says which it is.
    pub(crate) fn run<T>(
        &mut self,
        title: impl std::fmt::Display,
        step: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        say(format_args!(
            "[{}/{}] {title}",
            self.done.len() + 1,
            self.total
        ));
        let start = Instant::now();
        let result = step()?;
        self.done.push((title.to_string(), start.elapsed()));
        Ok(result)
    }

    /// Says how long each step took.
    pub(crate) fn report(&self) {
        let sum: Duration = self.done.iter().map(|(_, took)| *took).sum();
        say(format_args!("done in {}:", seconds(sum)));
        for (title, took) in &self.done {
            eprintln!("{:>10}  {title}", seconds(*took));
        }
    }
}

fn seconds(took: Duration) -> String {
    match took.as_secs() {
        whole @ 60.. => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{:.1} s", took.as_secs_f64()),
    }
}

/// Progress through a number of steps that is known only roughly.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Shows a bar on a terminal, and says `title` once in a pipe.
    pub(crate) fn start(title: String, steps: usize) -> Self {
        if !std::io::stderr().is_terminal() {
            say(title);
            return Self {
                bar: ProgressBar::hidden(),
            };
        }
        let bar = ProgressBar::new(steps as u64).with_prefix(title);
        if let Ok(style) = ProgressStyle::with_template(
            "{spinner} {prefix} [{bar:24}] {pos}/{len} {elapsed} {wide_msg}",
        ) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar }
    }

    /// One step is done.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }

    /// What is being done right now.
    pub(crate) fn doing(&self, what: String) {
        self.bar.set_message(what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
