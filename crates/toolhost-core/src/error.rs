//! The two ways in which things go wrong: [`LoadError`], a plugin or manifest is unusable;
//! [`CallError`], one call failed.

use std::any::Any;
use std::fmt;
use std::path::{Path, PathBuf};

#[doc(hidden)]
pub use toolhost_wire::error::causes;
#[doc(inline)]
pub use toolhost_wire::error::{ArgumentProblem, Bound, CallError, Limit};

use crate::printable;

/// Why a host could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The manifest cannot be read.
    #[error("cannot read {}", printable::line(&.path.display().to_string()))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Everything that is wrong with the manifest and its plugins.
    #[error("{}", lines(.0))]
    Invalid(Vec<Diagnostic>),
    /// The engine cannot be made on this machine.
    #[error("cannot start the WebAssembly engine")]
    Engine {
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl LoadError {
    /// One thing that is wrong, with all of a file.
    pub(crate) fn invalid(file: &Path, message: impl Into<String>) -> Self {
        LoadError::Invalid(vec![Diagnostic::new(file, None, message)])
    }
}

/// One thing that is wrong with a manifest or a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// The manifest or the plugin's file.
    pub file: PathBuf,
    /// Where in the manifest.
    pub at: Option<Location>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Something that is wrong in a file, without help.
    #[doc(hidden)]
    pub fn new(file: &Path, at: Option<Location>, message: impl Into<String>) -> Self {
        Diagnostic {
            file: file.to_owned(),
            at,
            message: printable::line(&message.into()).into_owned(),
            help: None,
        }
    }

    /// Adds lines to the message.
    #[doc(hidden)]
    pub fn lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        for line in lines {
            self.message += &format!("\n    {}", printable::line(&line));
        }
        self
    }

    /// The same with help.
    #[doc(hidden)]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(printable::line(&help.into()).into_owned());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable::line(&self.file.display().to_string()))?;
        if let Some(Location { line, column }) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// A text that is not what it must be: a rule of the permissions, a header, a host, a URL. It says why, and what to write
/// instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidValue {
    message: String,
}

impl InvalidValue {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        InvalidValue {
            message: message.into(),
        }
    }
}

/// A place in a text file; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// What a panic said.
pub(crate) fn said_by(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message")
}

/// The names most like `name`, nearest first: what somebody who mistyped it may have meant.
#[doc(hidden)]
pub fn similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    // A model's name may be of any length, and the distance takes time by the square of it.
    if name.len() > 256 {
        return Vec::new();
    }
    let mut near: Vec<(f64, &str)> = known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.84)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.truncate(3);
    near.into_iter().map(|(_, name)| name.to_owned()).collect()
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<String> = diagnostics.iter().map(Diagnostic::to_string).collect();
    lines.join("\n")
}
