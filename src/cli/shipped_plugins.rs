//! Where the plugins that ship with toolhost are: beside the binary, or in the folders of an installation.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The folders where they may be, the most likely first.
pub(super) fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let command = env::current_exe().and_then(fs::canonicalize);
    if let Some(bin) = command.as_deref().ok().and_then(Path::parent) {
        folders.push(bin.join("plugins"));
        if let Some(above) = bin.parent() {
            let places = ["share/toolhost/plugins", "lib/toolhost/plugins", "plugins"];
            folders.extend(places.map(|place| above.join(place)));
        }
    }
    folders
}

/// The file of a plugin.
pub(super) fn file_of(name: &str) -> anyhow::Result<PathBuf> {
    let folders = folders();
    let is_plain = !name.is_empty() && name.chars().all(super::is_in_name);
    let mut files = folders
        .iter()
        .map(|folder| folder.join(format!("{name}.wasm")));
    if let Some(file) = files.find(|file| is_plain && file.is_file()) {
        return Ok(file);
    }
    let folder = folders.iter().find(|folder| folder.is_dir());
    let folder =
        folder.context("no plugins are installed with toolhost: see docs/guide.md#install")?;
    let mut names: Vec<String> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|it| it == "wasm"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    bail!(
        "no plugin `{name}` ships with toolhost: there are {}",
        names.join(", ")
    )
}
