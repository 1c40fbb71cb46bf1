//! Functions of the host, beside WASI. Natively, where there is no host, they are replaced for unit tests.

#[cfg(target_arch = "wasm32")]
use crate::bindings::toolhost::plugin::host as imports;
use crate::bindings::toolhost::plugin::types::QuestionKind;

/// Adds lines to the call's log, by level. The model does not see them.
///
/// ```
/// toolhost_plugin::log::info("3 of 40 files matched");
/// ```
pub mod log {
    use super::imports::{self, Level};

    /// Details for debugging.
    pub fn debug(message: impl AsRef<str>) {
        imports::log(Level::Debug, message.as_ref());
    }

    /// Normal operation.
    pub fn info(message: impl AsRef<str>) {
        imports::log(Level::Info, message.as_ref());
    }

    /// Normal but significant.
    pub fn notice(message: impl AsRef<str>) {
        imports::log(Level::Notice, message.as_ref());
    }

    /// Something is wrong, but the call continues.
    pub fn warn(message: impl AsRef<str>) {
        imports::log(Level::Warning, message.as_ref());
    }

    /// Something failed.
    pub fn error(message: impl AsRef<str>) {
        imports::log(Level::Error, message.as_ref());
    }
}

/// Reports the progress of the call: `done` of `total`, in any unit.
///
/// ```
/// toolhost_plugin::progress(2.0, Some(5.0), Some("pages read"));
/// ```
pub fn progress(done: f64, total: Option<f64>, message: Option<&str>) {
    imports::progress(done, total, message);
}

/// Notifies subscribers that a resource of this plugin has changed.
///
/// ```
/// use toolhost_plugin::{Error, resource_updated, tool};
///
/// /// Writes a note.
/// #[tool]
/// fn write_note() -> Result<String, Error> {
///     std::fs::write("/notes/today.md", "# Today")?;
///     resource_updated("notes://today");
///     Ok("written".to_owned())
/// }
/// ```
pub fn resource_updated(uri: &str) {
    imports::resource_updated(uri);
}

/// Notifies clients that the list of this plugin's resources has changed.
///
/// ```
/// use toolhost_plugin::{Error, resources_changed, tool};
///
/// /// Deletes all notes.
/// #[tool(destructive)]
/// fn delete_notes() -> Result<String, Error> {
///     std::fs::remove_dir_all("/notes")?;
///     resources_changed();
///     Ok("deleted".to_owned())
/// }
/// ```
pub fn resources_changed() {
    imports::resources_changed();
}

/// Whether the client of this call can answer questions of this kind.
pub(crate) fn can_ask(kind: QuestionKind) -> bool {
    imports::can_ask(kind)
}

/// Returns a value of `[plugin.NAME.config]` in the manifest. Values that are not strings are JSON text.
///
/// ```
/// use toolhost_plugin::{config, testing};
///
/// fn limit() -> usize {
///     config("limit").and_then(|limit| limit.parse().ok()).unwrap_or(20)
/// }
///
/// assert_eq!(limit(), 20);
/// assert_eq!(testing::Host::new().config("limit", "5").run(limit), 5);
/// ```
#[must_use]
pub fn config(key: &str) -> Option<String> {
    imports::config(key)
}

/// Returns the secret that the manifest grants under this name. Keep it out of results and logs.
///
/// ```
/// use toolhost_plugin::{Error, secret, testing};
///
/// fn token() -> Result<String, Error> {
///     secret("TOKEN").ok_or_else(|| Error::denied("the secret TOKEN is not granted"))
/// }
///
/// assert!(token().is_err());
/// assert_eq!(testing::Host::new().secret("TOKEN", "s3cret").run(token).unwrap(), "s3cret");
/// ```
#[must_use]
pub fn secret(name: &str) -> Option<String> {
    imports::secret(name)
}

#[cfg(not(target_arch = "wasm32"))]
mod imports {
    pub(super) use crate::bindings::toolhost::plugin::host::Level;
    pub(super) use crate::testing::{config, secret};

    pub(super) fn log(level: Level, message: &str) {
        eprintln!("{level:?}: {message}");
    }

    pub(super) fn progress(_: f64, _: Option<f64>, _: Option<&str>) {}

    pub(super) fn can_ask(_: super::QuestionKind) -> bool {
        true
    }

    pub(super) fn resource_updated(_: &str) {}

    pub(super) fn resources_changed() {}
}
