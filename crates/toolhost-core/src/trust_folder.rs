//! The trust store: the folder where `toolhost trust` keeps what the user has allowed each
//! manifest.
//!
//! Write access to it would allow manifests to start programs, so plugins never get it, whatever
//! they are granted.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::private_files;

/// The user's trust store; `None` without a home folder. It need not exist.
pub fn of_user() -> Option<PathBuf> {
    Some(config_folder()?.join("toolhost/trust"))
}

/// Checks that nobody else can change the trust store.
///
/// # Errors
///
/// Who else has write access to it, or to a folder on the path to it.
pub fn check(folder: &Path) -> Result<(), String> {
    private_files::check_folder(folder)
}

/// As [`check`], for an open file in it.
///
/// # Errors
///
/// Who else has write access to it.
pub fn check_file(file: &File, path: &Path) -> Result<(), String> {
    private_files::check_file(file, path)
}

/// The user's configuration folder. A relative path is ignored, as it would depend on the working
/// folder.
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
