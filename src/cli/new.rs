//! `toolhost new`: writes a first plugin with a test, and lists it in the manifest.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ValueEnum;
use toolhost::Manifest;
use toolhost::manifest::{FILE_NAME, PluginConfig};

use super::clients::toml_string;
use super::out::{Out, line};
use super::sources::{self, Files};
use super::{ANSWERED, CommandContext, Status, find_manifest, folder_of};

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct NewOptions {
    /// Name of the plugin, and of the folder to create: lower-case letters, digits, `-` and `_`
    #[arg(value_parser = parse_name)]
    name: String,

    /// Language to write it in
    #[arg(long, value_name = "LANGUAGE")]
    lang: Lang,
}

const AFTER_HELP: &str = "\
The plugin is listed in the manifest of this folder or the nearest parent folder, or in a new one. The folder has a \
copy of the SDK, so that neither it nor toolhost has to be installed to run its tests.

Examples:
  toolhost new weather --lang python
  toolhost new weather --lang python && toolhost build weather";

#[derive(Clone, Copy, ValueEnum)]
enum Lang {
    /// Rust
    Rust,
    /// JavaScript
    Js,
    /// TypeScript
    Ts,
    /// Python
    Python,
    /// C
    C,
    /// A component of typed functions, described in WIT and written in Rust
    Wit,
}

/// What is written for a language.
struct Template {
    folder: &'static str,
    language: &'static str,
    /// The SDK, and the folder in which the plugin has it.
    sdk: Option<(&'static Files, &'static str)>,
    /// What runs its tests.
    test: &'static str,
}

impl Lang {
    fn template(self) -> Template {
        let (folder, language, sdk, test): (_, _, Option<(&'static Files, _)>, _) = match self {
            Lang::Rust => (
                "rust",
                "Rust",
                Some((&sources::RUST, "toolhost-plugin")),
                "cargo test",
            ),
            Lang::Js => (
                "js",
                "JavaScript",
                Some((&sources::JAVASCRIPT, "toolhost-plugin")),
                "npm install && npm test",
            ),
            Lang::Ts => (
                "ts",
                "TypeScript",
                Some((&sources::JAVASCRIPT, "toolhost-plugin")),
                "npm install && npm test",
            ),
            // Its folder is a package, which Python finds in the working folder.
            Lang::Python => (
                "python",
                "Python",
                Some((&sources::PYTHON, "")),
                "python3 -m unittest",
            ),
            Lang::C => (
                "c",
                "C",
                Some((&sources::C, "toolhost-plugin")),
                "make test",
            ),
            Lang::Wit => ("wit", "WIT and Rust", None, "cargo test"),
        };
        Template {
            folder,
            language,
            sdk,
            test,
        }
    }

    fn is_built_by_cargo(self) -> bool {
        matches!(self, Lang::Rust | Lang::Wit)
    }
}

/// The longest name.
const MAX_NAME: usize = 64;

/// Names that cargo or systems have for something else.
const TAKEN: [&str; 13] = [
    "alloc",
    "aux",
    "con",
    "core",
    "nul",
    "prn",
    "proc_macro",
    "std",
    "test",
    "toolhost-plugin",
    "toolhost_plugin",
    "wit-bindgen",
    "wit_bindgen",
];

/// What Rust does not take for the name of a crate.
const RUST_KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

fn parse_name(name: &str) -> Result<String, String> {
    let is_inside =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_inside) {
        return Err("use lower-case letters, digits, `-` and `_`, with a letter first".to_owned());
    }
    if name.len() > MAX_NAME {
        return Err(format!("use at most {MAX_NAME} characters"));
    }
    match TAKEN.contains(&name) {
        true => Err("the name is reserved; use another".to_owned()),
        false => Ok(name.to_owned()),
    }
}

pub(super) fn run(options: &NewOptions, session: &CommandContext) -> anyhow::Result<Status> {
    let name = &options.name;
    if options.lang.is_built_by_cargo() && RUST_KEYWORDS.contains(&&**name) {
        bail!("`{name}` is a keyword of Rust: use another name");
    }
    let folder = PathBuf::from(name);
    let file = match &session.manifest {
        Some(file) => file.clone(),
        None => {
            let here = std::env::current_dir().context("cannot find the working folder")?;
            find_manifest(&here).unwrap_or_else(|_| FILE_NAME.into())
        }
    };
    let entry = ManifestEntry::prepare(&file, name, &folder)?;
    match fs::create_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{name} already exists; it is not overwritten")
        }
        created => created.with_context(|| format!("cannot create the folder {name}"))?,
    }
    let template = options.lang.template();
    let written = template
        .write(&folder, name)
        .with_context(|| format!("cannot write {name}"))
        .and_then(|()| entry.write());
    if let Err(error) = written {
        // Nothing but what was written here.
        let _ = fs::remove_dir_all(&folder);
        return Err(error);
    }

    let tool = format!("{}{TOOL}", entry.prefix);
    let mut out = Out::stdout();
    line!(out, "wrote {name}: a plugin in {}", template.language)?;
    line!(out, "listed it in {}", file.display())?;
    line!(out, "next:")?;
    let next = [
        (format!("cd {name} && {}", template.test), "run its tests"),
        (format!("toolhost build {name}"), "build the component"),
        (
            format!(r#"toolhost call {tool} '{{"name": "Ada"}}'"#),
            "call its tool",
        ),
        (
            format!(r#"toolhost dev {name} --call '{tool} {{"name": "Ada"}}'"#),
            "build and call at every change",
        ),
    ];
    let width = next.iter().map(|(command, _)| command.len()).max();
    let width = width.unwrap_or_default();
    for (command, what) in next {
        line!(out, "  {command:width$}    {what}")?;
    }
    Ok(ANSWERED)
}

impl Template {
    fn write(&self, folder: &Path, name: &str) -> anyhow::Result<()> {
        let sdk = match self.sdk {
            // A package of crates.io has no other packages in it.
            Some((files, _)) if files.is_empty() => {
                concat!("toolhost-plugin = \"", env!("CARGO_PKG_VERSION"), "\"")
            }
            _ => r#"toolhost-plugin = { path = "toolhost-plugin" }"#,
        };
        for (path, contents) in sources::TEMPLATES.below(self.folder) {
            let path = match path {
                // Under its own name, git would heed it in this repository.
                "gitignore.in" => ".gitignore",
                // And cargo would take the folder for a package.
                path => path.strip_suffix(".in").unwrap_or(path),
            };
            let text = std::str::from_utf8(contents).context("templates are text")?;
            let text = text.replace("{{name}}", name).replace("{{sdk}}", sdk);
            let file = folder.join(path);
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(file, text)?;
        }
        if let Some((files, place)) = self.sdk {
            let sdk = folder.join(place);
            files.write(&sdk)?;
            // npm would install what the SDK is tested with.
            without_dev_dependencies(&sdk.join("package.json"))?;
        }
        Ok(())
    }
}

fn without_dev_dependencies(package: &Path) -> anyhow::Result<()> {
    let text = match fs::read_to_string(package) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        text => text?,
    };
    let mut json: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text)?;
    json.retain(|key, _| !["devDependencies", "scripts"].contains(&&**key));
    fs::write(package, serde_json::to_string_pretty(&json)? + "\n")?;
    Ok(())
}

/// The tool of every template.
const TOOL: &str = "greet";

/// A table to add to a manifest.
struct ManifestEntry<'m> {
    file: &'m Path,
    text: String,
    /// What tells its tool from that of another new plugin.
    prefix: String,
    is_new: bool,
}

const HEAD: &str = "\
# The plugins and what each may access: nothing but what is granted here.
";

impl ManifestEntry<'_> {
    /// Checks that it can be added.
    fn prepare<'m>(file: &'m Path, name: &str, folder: &Path) -> anyhow::Result<ManifestEntry<'m>> {
        let component = folder.join(format!("{name}.wasm"));
        let path = toml_string(&from_manifest(file, &component)?);
        let is_new = !file.exists();
        let mut entry = ManifestEntry {
            file,
            text: format!("\n[plugin.{name}]\npath = {path}\n"),
            prefix: String::new(),
            is_new,
        };
        if is_new {
            return Ok(entry);
        }
        let before = Manifest::read(file)?;
        if before.plugins.iter().any(|plugin| plugin.name == name) {
            bail!("{} already has a plugin `{name}`", file.display());
        }
        let tool = format!("{name}_{TOOL}");
        if before.plugins.iter().any(is_made_by_new) && tool.len() <= MAX_NAME {
            entry.prefix = format!("{name}_");
            entry.text += &format!("prefix = \"{}\"\n", entry.prefix);
        }
        let old = fs::read_to_string(file);
        let old = old.with_context(|| format!("cannot read {}", file.display()))?;
        Manifest::parse(&(old + &entry.text), file)
            .with_context(|| format!("cannot add `plugin.{name}` to {}", file.display()))?;
        Ok(entry)
    }

    fn write(&self) -> anyhow::Result<()> {
        let mut options = OpenOptions::new();
        let text = match self.is_new {
            true => format!("{HEAD}{}", self.text),
            false => self.text.clone(),
        };
        let opened = match self.is_new {
            true => options.write(true).create_new(true).open(self.file),
            false => options.append(true).open(self.file),
        };
        opened
            .and_then(|mut opened| opened.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", self.file.display()))
    }
}

/// Whether a plugin lies where `new` puts it: it may still have the tool of its template.
fn is_made_by_new(plugin: &PluginConfig) -> bool {
    let name = &plugin.name;
    plugin.prefix.is_empty() && plugin.path.ends_with(format!("{name}/{name}.wasm"))
}

/// A path below the working folder, as the manifest has it: relative to its own folder if that is above.
fn from_manifest(manifest: &Path, path: &Path) -> anyhow::Result<String> {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let path = here.context("cannot find the working folder")?.join(path);
    let folder = folder_of(manifest).canonicalize();
    let folder =
        folder.with_context(|| format!("cannot find the folder of {}", manifest.display()))?;
    let path = path.strip_prefix(&folder).unwrap_or(&path);
    let text = path.to_str();
    let text = text.with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.replace(std::path::MAIN_SEPARATOR, "/"))
}
