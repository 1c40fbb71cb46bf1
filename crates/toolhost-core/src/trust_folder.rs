//! The folder of trust: where `toolhost trust` keeps what its user allows each manifest.
//!
//! Whoever writes there grants programs to manifests, so no plugin may, whatever it is granted.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::private;

/// This user's; `None` without a home. It need not exist.
pub fn of_user() -> Option<PathBuf> {
    Some(config_folder()?.join("toolhost/trust"))
}

/// Whether a folder of trust is believed, as the code cache is.
///
/// # Errors
///
/// Who else may write there, or on the way there, and so decides what is trusted.
pub fn check(folder: &Path) -> Result<(), String> {
    private::check_folder(folder)
}

/// As [`check`], for an open file in it.
///
/// # Errors
///
/// Who else may write to it.
pub fn check_file(file: &File, path: &Path) -> Result<(), String> {
    private::check_file(file, path)
}

/// Where the user's programs keep their configuration. A relative path would depend on the working folder.
fn config_folder() -> Option<PathBuf> {
    let named = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    let folder = match cfg!(windows) {
        true => named("APPDATA"),
        false => named("XDG_CONFIG_HOME")
            .filter(|folder| folder.is_absolute())
            .or_else(|| Some(std::env::home_dir()?.join(".config"))),
    };
    folder.filter(|folder| folder.is_absolute())
}
