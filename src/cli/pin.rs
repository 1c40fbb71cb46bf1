//! `toolhost check --pin`: writes what the tools of MCP servers say of themselves into the manifest, as
//! digests, and into the lock file beside it, as texts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Map, Value};
use toml_edit::{DocumentMut, InlineTable, Item, Key, Table, Value as TomlValue, value};
use toolhost::manifest::{Manifest, lock_file};
use toolhost::replacement::Replacement;
use toolhost::{Pin, ToolHost, printable};

use super::out::{Out, masked};

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
            "{}: no `[mcp.NAME]` whose tools could be pinned",
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
                    let old = old.map_or("unknown text".to_owned(), Value::to_string);
                    said.push(format!("{name} is now pinned as it is"));
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
                "mcp.{server}: {gone} is no longer pinned, as it is not offered"
            ));
        }
        enter(&mut document, server, pins)?;
        // Others may read the file: of a text with a secret in it the digest has to do.
        let is_shown = |pin: &&Pin| {
            let text = pin.text.to_string();
            masked(text.clone()) == text
        };
        let tools = pins.iter().filter(is_shown);
        let tools = tools.map(|pin| (pin.tool.clone(), pin.text.clone()));
        texts.insert(server.clone(), Value::Object(tools.collect()));
    }
    // The texts first: a digest whose text is missing could not be explained.
    let texts = serde_json::to_string_pretty(&texts)? + "\n";
    let written =
        |file: &Path, text: &str| Replacement::write(file, text).with_context(|| not_written(file));
    let texts = written(&lock, &printable::json(&texts))?;
    let document = written(file, &document.to_string())?;
    texts.put().with_context(|| not_written(&lock))?;
    document.put().with_context(|| not_written(file))?;
    for line in said {
        out.line(line)?;
    }
    Ok(())
}

/// Writes a server's digests into the manifest, and leaves everything else of it as it is.
fn enter(document: &mut DocumentMut, server: &str, pins: &[Pin]) -> anyhow::Result<()> {
    let table = document.get_mut("mcp").and_then(|it| it.get_mut(server));
    let Some(table) = table else {
        bail!("the manifest no longer has `mcp.{server}`");
    };
    if table.get("pins").is_none_or(|pins| !pins.is_table_like()) {
        table["pins"] = match table.is_inline_table() {
            true => value(InlineTable::new()),
            false => Item::Table(Table::new()),
        };
    }
    let Some(known) = table["pins"].as_table_like_mut() else {
        return Ok(());
    };
    let gone = known.iter().map(|(tool, _)| tool.to_owned());
    let gone: Vec<String> = gone
        .filter(|tool| pins.iter().all(|pin| pin.tool != *tool))
        .collect();
    let is_same = gone.is_empty() && pins.iter().all(|pin| known.contains_key(&pin.tool));
    for tool in gone {
        known.remove(&tool);
    }
    for Pin { tool, digest, .. } in pins {
        match known.get_mut(tool).and_then(Item::as_value_mut) {
            // The comment behind it stays.
            Some(old) => {
                let mut new = TomlValue::from(digest);
                *new.decor_mut() = old.decor().clone();
                *old = new;
            }
            None => drop(known.entry_format(&key(tool)).or_insert(value(digest))),
        }
    }
    if !is_same && let Some(inline) = table["pins"].as_inline_table_mut() {
        inline.fmt();
    }
    Ok(())
}

/// Written so that whoever reads the manifest sees all of the name, in its order.
fn key(tool: &str) -> Key {
    if let Cow::Borrowed(_) = printable::line(tool) {
        return Key::new(tool);
    }
    let mut quoted = String::from("\"");
    for c in tool.chars() {
        match printable::line(c.encode_utf8(&mut [0; 4])) {
            Cow::Borrowed(shown) if !matches!(c, '"' | '\\') => quoted += shown,
            _ => quoted += &format!("\\U{:08X}", u32::from(c)),
        }
    }
    quoted.push('"');
    quoted.parse().unwrap_or_else(|_| Key::new(tool))
}

fn read_lock(lock: &Path) -> Map<String, Value> {
    // Nothing else is opened: that could wait for ever.
    let text = match lock.is_file() {
        true => std::fs::read_to_string(lock).unwrap_or_default(),
        false => String::new(),
    };
    serde_json::from_str(&text).unwrap_or_default()
}

fn not_written(file: &Path) -> String {
    format!("cannot write {}", file.display())
}
