//! `[audit]`: where every call and every denial is logged.

use std::path::{Path, PathBuf};

use super::reader::{ManifestSource, ManifestTable, path_in};
use toolhost_wire::setters;

/// The audit log of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditConfig {
    /// The file that lines are appended to; created if it does not exist.
    pub path: PathBuf,
    /// Whether arguments are written in full, not only their digest.
    pub arguments: bool,
    /// What happens if a line cannot be written.
    pub on_error: OnAuditError,
}

setters!(AuditConfig {
    with_arguments: arguments: bool,
    with_on_error: on_error: OnAuditError,
});

impl AuditConfig {
    /// A log without arguments; if it fails, calls fail.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        AuditConfig {
            path: path.into(),
            arguments: false,
            on_error: OnAuditError::default(),
        }
    }
}

/// What happens if a line of the audit log cannot be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnAuditError {
    /// The call fails, and no other runs until the line has been written.
    #[default]
    Fail,
    /// Lines are dropped; once the log can be written again it states how many.
    Drop,
}

pub(super) fn read_audit(
    mut table: ManifestTable,
    folder: &Path,
    source: &mut ManifestSource,
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
