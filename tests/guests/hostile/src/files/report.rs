//! What came of many attempts, a line each.

use super::is_read_only;
use crate::{Answer, escaped, text};
use wasip2::filesystem::types::{Descriptor, ErrorCode};

/// What one attempt got.
pub type Tried = Result<String, ErrorCode>;

/// Lines of `name: DONE what` and `name: refused code`.
#[derive(Default)]
pub struct Report {
    lines: Vec<String>,
    /// Whether changes are an escape.
    may_not_change: bool,
    has_escaped: bool,
}

impl Report {
    /// About a directory in which changes are an escape if it is read-only.
    pub fn on(directory: &Descriptor) -> Report {
        Report {
            may_not_change: is_read_only(directory),
            ..Report::default()
        }
    }

    /// What may happen.
    pub fn note(&mut self, name: impl AsRef<str>, tried: Tried) {
        let name = name.as_ref();
        self.lines.push(match tried {
            Ok(what) if what.is_empty() => format!("{name}: DONE"),
            Ok(what) => format!("{name}: DONE, {what}"),
            Err(error) => format!("{name}: refused {}", error.name()),
        });
    }

    /// What is an escape if it is done.
    pub fn escape(&mut self, name: impl AsRef<str>, tried: Tried) {
        self.has_escaped |= tried.is_ok();
        self.note(name, tried);
    }

    /// What is an escape if it is done where nothing may be changed.
    pub fn change(&mut self, name: impl AsRef<str>, tried: Result<(), ErrorCode>) {
        self.has_escaped |= tried.is_ok() && self.may_not_change;
        self.note(name, tried.map(|()| String::new()));
    }

    pub fn answer(self) -> Answer {
        let lines = self.lines.join("\n");
        match self.has_escaped {
            true => escaped(lines),
            false => text(lines),
        }
    }
}

/// A path to show: on one line, and not too long a one.
pub fn shown(path: &str) -> String {
    match path.char_indices().nth(80) {
        None => format!("{path:?}"),
        Some((end, _)) => format!("{:?}... ({} bytes)", &path[..end], path.len()),
    }
}
