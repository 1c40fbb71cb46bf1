//! What the host offers beside WASI. Off wasm, where there is no host, stand-ins keep unit tests running.

#[cfg(target_arch = "wasm32")]
use crate::bindings::toolhost::plugin::host as imports;
use crate::bindings::toolhost::plugin::types::QuestionKind;

/// Lines for the call's log, by level. The model does not see them.
///
/// ```
/// toolhost_plugin::log::info("3 of 40 files matched");
/// ```
pub mod log {
    use super::imports::{self, Level};

    /// For whoever debugs the plugin.
    pub fn debug(message: impl AsRef<str>) {
        imports::log(Level::Debug, message.as_ref());
    }

    /// What goes on, when all goes well.
    pub fn info(message: impl AsRef<str>) {
        imports::log(Level::Info, message.as_ref());
    }

    /// Normal and worth a look.
    pub fn notice(message: impl AsRef<str>) {
        imports::log(Level::Notice, message.as_ref());
    }

    /// Something is off, and the call goes on.
    pub fn warn(message: impl AsRef<str>) {
        imports::log(Level::Warning, message.as_ref());
    }

    /// Something broke.
    pub fn error(message: impl AsRef<str>) {
        imports::log(Level::Error, message.as_ref());
    }
}

/// Says how far the call is: `done` of `total`, in a unit of the tool's choosing.
///
/// ```
/// toolhost_plugin::progress(2.0, Some(5.0), Some("pages read"));
/// ```
pub fn progress(done: f64, total: Option<f64>, message: Option<&str>) {
    imports::progress(done, total, message);
}

/// Tells subscribers that a resource of this plugin is not what it was.
pub fn resource_updated(uri: &str) {
    imports::resource_updated(uri);
}

/// Tells clients that this plugin lists other resources than it did.
pub fn resources_changed() {
    imports::resources_changed();
}

/// Whether there is somebody who could answer such a question.
pub(crate) fn can_ask(kind: QuestionKind) -> bool {
    imports::can_ask(kind)
}

/// A value of the manifest's `[plugin.NAME.config]`. A string comes as it is, anything else as JSON.
#[must_use]
pub fn config(key: &str) -> Option<String> {
    imports::config(key)
}

/// A secret that the manifest grants under this name. Keep it out of results and logs.
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
