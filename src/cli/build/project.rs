//! What there is to build: the language of a project, and the name of its component.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::bail;
use serde_json::Value;

use super::super::{folder_of, is_in_name};

/// How a plugin is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Language {
    Rust,
    JavaScript,
    Python,
    C,
}

impl Language {
    /// The files that say that a folder is a project in this language.
    fn files(self) -> &'static [&'static str] {
        match self {
            Language::Rust => &["Cargo.toml"],
            Language::JavaScript => &["package.json", "index.ts", "index.js"],
            Language::Python => &["pyproject.toml", "app.py"],
            Language::C => &["Makefile"],
        }
    }

    fn of_folder(folder: &Path) -> Option<Language> {
        use Language::{C, JavaScript, Python, Rust};
        [Rust, JavaScript, Python, C].into_iter().find(|language| {
            let mut files = language.files().iter();
            let is_there = files.any(|file| folder.join(file).is_file());
            // Makefiles build all sorts of things.
            is_there && (*language != C || name_in_makefile(folder).is_some())
        })
    }

    fn of_file(file: &Path) -> Option<Language> {
        match file.extension()?.to_str()? {
            "rs" => Some(Language::Rust),
            "js" | "mjs" | "ts" | "mts" => Some(Language::JavaScript),
            "py" => Some(Language::Python),
            "c" | "h" => Some(Language::C),
            _ => None,
        }
    }
}

/// A folder with the sources of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Project {
    /// As the user named it.
    pub(in crate::cli) folder: PathBuf,
    pub(in crate::cli) language: Language,
    /// The module that defines the tools, if the user named one: an absolute path.
    pub(super) entry: Option<PathBuf>,
}

impl Project {
    /// The project of a folder, or of a file in it.
    ///
    /// # Errors
    ///
    /// There is nothing that can be built.
    pub(in crate::cli) fn find(path: &Path) -> anyhow::Result<Project> {
        let shown = path.display();
        let metadata = fs::metadata(path);
        let metadata = metadata.map_err(|error| anyhow::anyhow!("cannot read {shown}: {error}"))?;
        if metadata.is_dir() {
            if let Some(project) = Project::of_folder(path) {
                return Ok(project);
            }
            bail!(
                "nothing to build in {shown}: expected Cargo.toml, package.json, pyproject.toml, app.py, or a Makefile \
                 that sets PLUGIN; `toolhost new NAME --lang LANGUAGE` writes a first plugin"
            );
        }
        if path.extension().is_some_and(|it| it == "wasm") {
            bail!("{shown} is built already: `toolhost inspect` shows what it is");
        }
        let of_file = Language::of_file(path);
        let own_folder = folder_of(path);
        let is_script = matches!(of_file, Some(Language::JavaScript | Language::Python));
        if let (true, Some(language)) = (is_script, of_file) {
            return Ok(Project {
                folder: own_folder.to_owned(),
                language,
                entry: Some(std::path::absolute(path)?),
            });
        }
        // The others are built as wholes: `src/lib.rs`, `wit/world.wit`, or the file that describes the project.
        let absolute = std::path::absolute(own_folder)?;
        let above = absolute.ancestors();
        let mut found = above.filter_map(Project::of_folder);
        let found = found.find(|it| of_file.is_none_or(|language| it.language == language));
        match found {
            Some(found) if found.folder == absolute => Ok(Project {
                folder: own_folder.to_owned(),
                ..found
            }),
            Some(found) => Ok(found),
            None => bail!(
                "no project is in the folder of {shown} or above it: expected Cargo.toml, package.json, pyproject.toml or \
                 a Makefile that sets PLUGIN"
            ),
        }
    }

    /// The project in a folder, if it is one.
    pub(in crate::cli) fn of_folder(folder: &Path) -> Option<Project> {
        Some(Project {
            folder: folder.to_owned(),
            language: Language::of_folder(folder)?,
            entry: None,
        })
    }

    /// The name of the plugin.
    pub(in crate::cli) fn name(&self) -> String {
        let named = match self.language {
            Language::Rust => name_in_toml(&self.folder.join("Cargo.toml"), "package"),
            Language::Python => name_in_toml(&self.folder.join("pyproject.toml"), "project"),
            Language::JavaScript => package_json(&self.folder)
                .and_then(|json| json["name"].as_str().map(str::to_owned))
                .map(|name| name.rsplit('/').next().unwrap_or_default().to_owned()),
            Language::C => name_in_makefile(&self.folder),
        };
        let folder = || {
            let folder = std::path::absolute(&self.folder).ok()?;
            Some(folder.file_name()?.to_string_lossy().into_owned())
        };
        let name = named.filter(|name| !name.is_empty()).or_else(folder);
        let name = name.unwrap_or_else(|| "plugin".to_owned());
        name.replace(|c| !is_in_name(c), "_")
    }
}

/// The package.json of a folder, if there is a valid one.
pub(super) fn package_json(folder: &Path) -> Option<Value> {
    let text = fs::read_to_string(folder.join("package.json")).ok()?;
    serde_json::from_str(&text).ok()
}

fn name_in_toml(file: &Path, table: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let document: toml_edit::DocumentMut = text.parse().ok()?;
    Some(document.get(table)?.get("name")?.as_str()?.to_owned())
}

/// The value of PLUGIN, which `toolhost.mk` names the component by.
fn name_in_makefile(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join("Makefile")).ok()?;
    let mut lines = text.lines();
    lines.find_map(|line| {
        let rest = line.strip_prefix("PLUGIN")?.trim_start();
        let rest = rest.strip_prefix([':', '?']).unwrap_or(rest);
        Some(rest.strip_prefix('=')?.trim().to_owned())
    })
}
