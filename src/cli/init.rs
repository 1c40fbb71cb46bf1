//! `toolhost init`: writes a first manifest for the plugins that are there.

use std::collections::HashSet;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use toolhost::inspect::inspect;
use toolhost::manifest::FILE_NAME;
use toolhost::{LoadError, Manifest};
use toolhost_core::builtin;

use super::builtin::needed_grant;
use super::clients::toml_string;
use super::out::{Out, line, say};
use super::{ANSWERED, CommandContext, Status, is_in_name, manifest_above};

#[derive(clap::Args)]
pub(super) struct InitOptions {
    /// Folder with the plugins [default: `plugins` next to the manifest, else those shipped with
    /// toolhost]
    #[arg(long, value_name = "FOLDER")]
    plugins: Option<PathBuf>,
}

const HEAD: &str = "\
# The plugins and what each may access: nothing but what is granted here.
";

const NO_PLUGINS: &str = "
# A plugin is a WebAssembly component:
# [plugin.time]
# path = \"plugins/time.wasm\"
";

const TAIL: &str = "
# An MCP server, which is not sandboxed (`toolhost import FILE` converts a client's configuration):
# [mcp.github]
# command = \"npx\"
# args = [\"-y\", \"@modelcontextprotocol/server-github\"]
# optional = true

# The model for `toolhost agent`:
# [agent]
# provider = \"anthropic\"
# model = \"claude-sonnet-4-5\"
";

pub(super) async fn run(options: &InitOptions, session: &CommandContext) -> anyhow::Result<Status> {
    let file = session.manifest.clone().unwrap_or_else(|| FILE_NAME.into());
    let folder = file.parent().unwrap_or(Path::new(""));
    let found = match &options.plugins {
        Some(named) => {
            let plugins = plugins_in(named);
            let plugins = plugins.with_context(|| format!("cannot list {}", named.display()))?;
            if plugins.is_empty() {
                bail!("no plugins (*.wasm) in {}", named.display());
            }
            Some((named.display().to_string(), plugins))
        }
        None => found_plugins(folder),
    };
    let found = match found {
        None => None,
        Some((from, plugins)) => {
            let plugins = usable(plugins, session).await;
            if plugins.is_empty() && options.plugins.is_some() {
                bail!("no usable plugin in {from}");
            }
            (!plugins.is_empty()).then_some((from, plugins))
        }
    };
    let mut text = HEAD.to_owned();
    let (mut listed, mut left) = (Vec::new(), Vec::new());
    match &found {
        None => text += NO_PLUGINS,
        Some((_, plugins)) => {
            for plugin in plugins {
                let grant = needed_grant(&plugin.name);
                match grant {
                    Some(_) => left.push(&*plugin.name),
                    None => listed.push(&*plugin.name),
                }
                text += &plugin.entry(folder, grant)?;
            }
        }
    }
    text += TAIL;
    // Never write a manifest that cannot be read.
    Manifest::parse(&text, &file)?;
    write_new(&file, &text)?;

    let mut out = Out::stdout();
    match &found {
        None => line!(
            out,
            "wrote {} without plugins, as none were found: run `cargo xtask plugins` to build those that ship",
            file.display()
        )?,
        Some((from, _)) => line!(
            out,
            "wrote {} with plugins from {from}: {}",
            file.display(),
            match listed.is_empty() {
                true => "none that work without a grant".to_owned(),
                false => listed.join(", "),
            }
        )?,
    }
    if !left.is_empty() {
        line!(
            out,
            "commented out, as they need a grant: {}",
            left.join(", ")
        )?;
    }
    line!(out, "next:")?;
    // A manifest under the default name is found from its folder.
    let named = match is_found_from_here(&file) {
        true => String::new(),
        false => format!(" -m {}", quoted(&file.to_string_lossy())),
    };
    let time = ("call time_now", "call one of them");
    let next = [("list", "list the tools")]
        .into_iter()
        .chain(listed.contains(&"time").then_some(time))
        .chain([
            ("check", "show what is granted and what is not"),
            (
                "serve",
                "serve the tools to MCP clients; --print-config CLIENT prints a client's configuration",
            ),
        ]);
    let next: Vec<_> = next
        .map(|(command, what)| (format!("toolhost{named} {command}"), what))
        .collect();
    let width = next
        .iter()
        .map(|(command, _)| command.chars().count())
        .max();
    let width = width.unwrap_or_default();
    for (command, what) in next {
        line!(out, "  {command:width$}    {what}")?;
    }
    Ok(ANSWERED)
}

/// Whether the manifest is found without `-m`, in the working folder or a parent.
fn is_found_from_here(file: &Path) -> bool {
    let here = env::current_dir().ok();
    let found = here.and_then(|here| manifest_above(&here)?.canonicalize().ok());
    found.is_some() && found == file.canonicalize().ok()
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-~+".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The plugins that can be used; prints a note for each of the others.
async fn usable(found: Vec<FoundPlugin>, session: &CommandContext) -> Vec<FoundPlugin> {
    let mut usable = Vec::new();
    for plugin in found {
        let looked_at = inspect(&plugin.path, session.code_cache.clone()).await;
        let why = match looked_at.map(|it| it.tools) {
            Ok(Ok(_)) => {
                usable.push(plugin);
                continue;
            }
            Ok(Err(problems)) => problems.into_iter().next().map(|it| it.message),
            Err(LoadError::Invalid(problems)) => problems.into_iter().next().map(|it| it.message),
            Err(error) => error.to_string().lines().next().map(str::to_owned),
        };
        let why = why.unwrap_or_default();
        say!("note: skipped {}: {why}", plugin.path.display());
    }
    usable
}

struct FoundPlugin {
    name: String,
    path: PathBuf,
}

impl FoundPlugin {
    /// Its table; commented out if a grant is needed.
    fn entry(&self, folder: &Path, grant: Option<&str>) -> anyhow::Result<String> {
        let path = match builtin::name_of(&self.path) {
            Some(_) => self.path.to_string_lossy().into_owned(),
            None => within(folder, &self.path)?,
        };
        // On one line, as it may be a comment.
        let path = toml_string(&path);
        let (name, sign) = (&self.name, if grant.is_some() { "# " } else { "" });
        let mut entry = format!("\n{sign}[plugin.{name}]\n{sign}path = {path}\n");
        if let Some(grant) = grant {
            entry += &format!("# {grant}\n");
        }
        Ok(entry)
    }
}

/// A path for the manifest: relative if it is in the manifest's folder.
fn within(folder: &Path, path: &Path) -> anyhow::Result<String> {
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let real = |path: &Path| {
        let real = path.canonicalize();
        real.with_context(|| format!("cannot find {}", path.display()))
    };
    let (folder, path) = (real(folder)?, real(path)?);
    let path = path.strip_prefix(&folder).unwrap_or(&path);
    let text = path.to_str();
    let text = text.with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}

/// The plugins beside the manifest, else those that came with the command: beside it in the
/// archive, or where system packages and `cargo xtask plugins` put them, else those inside it.
fn found_plugins(folder: &Path) -> Option<(String, Vec<FoundPlugin>)> {
    let own = folder.join("plugins");
    let mut found = std::iter::once(own)
        .chain(shipped_folders())
        .filter_map(|folder| {
            let plugins = plugins_in(&folder).ok()?;
            (!plugins.is_empty()).then_some((folder.display().to_string(), plugins))
        });
    found.next().or_else(|| {
        let plugins = builtin::all().iter().map(|plugin| FoundPlugin {
            name: plugin.name.to_owned(),
            path: builtin::path_of(plugin.name),
        });
        let plugins: Vec<_> = plugins.collect();
        (!plugins.is_empty()).then(|| ("the command itself".to_owned(), plugins))
    })
}

/// Where the plugins that ship may be: beside the binary, or in the folders of an installation, the most likely first.
fn shipped_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let command = std::env::current_exe().and_then(fs::canonicalize);
    if let Some(bin) = command.as_deref().ok().and_then(Path::parent) {
        folders.push(bin.join("plugins"));
        if let Some(above) = bin.parent() {
            let places = ["share/toolhost/plugins", "lib/toolhost/plugins", "plugins"];
            folders.extend(places.map(|place| above.join(place)));
        }
    }
    folders
}

fn plugins_in(folder: &Path) -> std::io::Result<Vec<FoundPlugin>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_wasm = path.extension().is_some_and(|it| it == "wasm") && path.is_file();
        let Some(name) = path.file_stem().filter(|_| is_wasm) else {
            continue;
        };
        let name = name.to_string_lossy();
        let name = name.replace(|c| !is_in_name(c), "_");
        found.push(FoundPlugin { name, path });
    }
    found.sort_by(|a: &FoundPlugin, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    // `a b.wasm` and `a_b.wasm` are both there.
    let mut taken: HashSet<String> = found.iter().map(|it| it.name.clone()).collect();
    let mut before = None;
    for plugin in &mut found {
        let own = plugin.name.clone();
        if before.as_ref() == Some(&own) {
            let mut numbered = (2..).map(|number| format!("{own}_{number}"));
            plugin.name = numbered
                .find(|name| taken.insert(name.clone()))
                .unwrap_or_default();
        }
        before = Some(own);
    }
    Ok(found)
}

fn write_new(file: &Path, text: &str) -> anyhow::Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).open(file);
    let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()));
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} already exists; it is not overwritten", file.display())
        }
        written => written.with_context(|| format!("cannot write {}", file.display())),
    }
}
