//! `toolhost check --pin`: writes what the tools of MCP servers say of themselves into the manifest, as
//! digests, and into the lock file beside it, as texts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Map, Value};
use toml_edit::{DocumentMut, InlineTable, Item, Table, value};
use toolhost::manifest::{Manifest, beside, lock_file};
use toolhost::{Pin, ToolHost};

use super::out::Out;

/// The pins of a manifest, by server; they are taken out of it, so that tools that changed load.
pub(super) fn take(manifest: &mut Manifest) -> Pins {
    let servers = manifest.mcp.iter_mut();
    servers
        .map(|server| (server.name.clone(), server.pins.take().unwrap_or_default()))
        .collect()
}

/// Digests by tool, by server.
pub(super) type Pins = BTreeMap<String, BTreeMap<String, String>>;

/// Pins the tools of every server, and says what changed.
pub(super) fn write(
    out: &mut Out,
    host: &ToolHost,
    before: &Pins,
    file: &Path,
) -> anyhow::Result<()> {
    let mut now: BTreeMap<String, Vec<Pin>> = BTreeMap::new();
    for (server, pin) in host.pins() {
        now.entry(server.name.clone()).or_default().push(pin);
    }
    if now.is_empty() {
        bail!(
            "{}: there is no `[mcp.NAME]` whose tools could be pinned",
            file.display()
        );
    }
    let lock = lock_file(file);
    let old_texts = read_lock(&lock);
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut document: DocumentMut = text.parse().with_context(|| file.display().to_string())?;
    let mut texts = Map::new();
    let mut said = Vec::new();
    for (server, pins) in &now {
        let none = BTreeMap::new();
        let before = before.get(server).unwrap_or(&none);
        for pin in pins {
            let name = format!("mcp.{server}: {}", pin.tool);
            match before.get(&pin.tool) {
                Some(digest) if *digest == pin.digest => {}
                Some(_) => {
                    let old = old_texts.get(server).and_then(|tools| tools.get(&pin.tool));
                    let old = old.map_or("its text is not known".to_owned(), Value::to_string);
                    said.push(format!("{name} is pinned as it is now"));
                    said.push(format!("  before: {old}"));
                    said.push(format!("  now: {}", pin.text));
                }
                None => said.push(format!("{name} is pinned")),
            }
        }
        for gone in before
            .keys()
            .filter(|it| pins.iter().all(|pin| pin.tool != **it))
        {
            said.push(format!(
                "mcp.{server}: {gone} is pinned no more, as it is not offered"
            ));
        }
        enter(&mut document, server, pins)?;
        let tools = pins.iter().map(|pin| (pin.tool.clone(), pin.text.clone()));
        texts.insert(server.clone(), Value::Object(tools.collect()));
    }
    // The texts first: a digest whose text is missing could not be explained.
    let texts = serde_json::to_string_pretty(&texts)? + "\n";
    let texts = Replacement::write(&lock, &texts)?;
    let document = Replacement::write(file, &document.to_string())?;
    texts.put()?;
    document.put()?;
    for line in said {
        out.line(line)?;
    }
    Ok(())
}

/// Writes a server's digests into the manifest, and leaves everything else of it as it is.
fn enter(document: &mut DocumentMut, server: &str, pins: &[Pin]) -> anyhow::Result<()> {
    let table = document.get_mut("mcp").and_then(|it| it.get_mut(server));
    let Some(table) = table else {
        bail!("the manifest has no `mcp.{server}` any more");
    };
    let digests = pins.iter().map(|pin| (&*pin.tool, &*pin.digest));
    let pins = match table.as_inline_table() {
        Some(_) => value(digests.collect::<InlineTable>()),
        None => {
            let mut pins = Table::new();
            digests.for_each(|(tool, digest)| drop(pins.insert(tool, value(digest))));
            Item::Table(pins)
        }
    };
    table["pins"] = pins;
    Ok(())
}

fn read_lock(lock: &Path) -> Map<String, Value> {
    // Nothing else is opened: that could wait for ever.
    let text = match lock.is_file() {
        true => std::fs::read_to_string(lock).unwrap_or_default(),
        false => String::new(),
    };
    serde_json::from_str(&text).unwrap_or_default()
}

/// A file written whole, that has not taken the place of the one before yet. Dropped before it has, it is removed.
struct Replacement {
    beside: PathBuf,
    /// Where it belongs, through a link to where that is.
    file: PathBuf,
}

impl Replacement {
    fn write(file: &Path, text: &str) -> anyhow::Result<Replacement> {
        let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        let beside = beside(&file);
        // What is there may be a link, which is not to be written through.
        let removed = match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let new = removed.and_then(|()| File::create_new(&beside));
        let mut new = new.with_context(|| not_written(&file))?;
        let replacement = Replacement { beside, file };
        let written = new.write_all(text.as_bytes()).and_then(|()| {
            if let Ok(old) = replacement.file.metadata() {
                new.set_permissions(old.permissions())?;
            }
            // Where there turns out to be no room for it, what was there before stays.
            new.sync_all()
        });
        written.with_context(|| not_written(&replacement.file))?;
        Ok(replacement)
    }

    fn put(self) -> anyhow::Result<()> {
        std::fs::rename(&self.beside, &self.file).with_context(|| not_written(&self.file))
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.beside);
    }
}

fn not_written(file: &Path) -> String {
    format!("{} cannot be written", file.display())
}
