//! `[audit]`: where every call and every denial is written down.

use std::path::{Path, PathBuf};

use super::reader::{Source, Table, path_in};
use toolhost_wire::setters;

/// The audit log of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditConfig {
    /// The file that lines are appended to; it is made if it does not exist.
    pub path: PathBuf,
    /// Whether the arguments are written, and not only their digest.
    pub arguments: bool,
    /// What happens when a line cannot be written.
    pub on_error: OnAuditError,
}

setters!(AuditConfig {
    with_arguments: arguments: bool,
    with_on_error: on_error: OnAuditError,
});

impl AuditConfig {
    /// A log without arguments, whose failure fails calls.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        AuditConfig {
            path: path.into(),
            arguments: false,
            on_error: OnAuditError::default(),
        }
    }
}

/// What happens when a line of the audit log cannot be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnAuditError {
    /// The call fails, and no other runs until the line is written.
    #[default]
    Fail,
    /// Lines are dropped, and the log says how many once it can be written again.
    Drop,
}

pub(super) fn read_audit(
    mut table: Table,
    folder: &Path,
    source: &mut Source,
) -> Option<AuditConfig> {
    let path = table
        .string("path", source)
        .map(|path| path_in(folder, path));
    let arguments = table.bool("arguments", source).unwrap_or_default();
    let parse = |text: &str| match text {
        "fail" => Some(OnAuditError::Fail),
        "drop" => Some(OnAuditError::Drop),
        _ => None,
    };
    let on_error = table.parsed("on-error", "\"fail\" or \"drop\"", parse, source);
    table.finish(source);
    Some(AuditConfig {
        path: path?,
        arguments,
        on_error: on_error.unwrap_or_default(),
    })
}
