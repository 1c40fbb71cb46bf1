//! `toolhost check --pin`: writes the digests of MCP servers' tools into the manifest, and their
//! texts into the lock file beside it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Map, Value};
use toml_edit::{DocumentMut, InlineTable, Item, Key, Table, Value as TomlValue, value};
use toolhost::bounded_read;
use toolhost::manifest::{MAX_MANIFEST, Manifest, lock_file};
use toolhost::replacement::Replacement;
use toolhost::{Pin, ToolHost, printable};

use super::out::{Out, masked};

/// Takes the pins out of a manifest, by server, so that tools that have changed still load.
pub(super) fn take(manifest: &mut Manifest) -> PinnedDigests {
    let servers = manifest.mcp.iter_mut();
    servers
        .map(|server| (server.name.clone(), server.pins.take().unwrap_or_default()))
        .collect()
}

/// The largest lock file, in bytes.
const MAX_LOCK: u64 = 64 << 20;

/// Digests by tool, by server.
pub(super) type PinnedDigests = BTreeMap<String, BTreeMap<String, String>>;

/// Pins the tools of every server, and reports changes.
pub(super) fn write(
    out: &mut Out,
    host: &ToolHost,
    before: &PinnedDigests,
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
    let old_texts = read_lock(&lock)?;
    let opened = bounded_read::open(file);
    let text = opened.and_then(|opened| bounded_read::text(&opened, MAX_MANIFEST));
    let text = text.with_context(|| file.display().to_string())?;
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
        // Others may read the file: of a text with a secret in it only the digest is kept.
        let is_shown = |pin: &&Pin| {
            let text = pin.text.to_string();
            masked(text.clone()) == text
        };
        let tools = pins.iter().filter(is_shown);
        let tools = tools.map(|pin| (pin.tool.clone(), pin.text.clone()));
        texts.insert(server.clone(), Value::Object(tools.collect()));
    }
    // The texts first: a digest without its text could not be explained.
    let texts = serde_json::to_string_pretty(&texts)? + "\n";
    let texts = Replacement::write_unless_link(&lock, &printable::json(&texts));
    let texts = texts.with_context(|| not_written(&lock))?;
    let document = Replacement::write(file, &document.to_string());
    let document = document.with_context(|| not_written(file))?;
    texts.put().with_context(|| not_written(&lock))?;
    document.put().with_context(|| not_written(file))?;
    for line in said {
        out.line(line)?;
    }
    Ok(())
}

/// Writes a server's digests into the manifest, leaving everything else as it is.
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
            // Keep the comment behind it.
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

/// Quoted so that all of the name is visible, in order.
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

fn read_lock(lock: &Path) -> anyhow::Result<Map<String, Value>> {
    let opened = bounded_read::open(lock);
    let text = match opened.and_then(|opened| bounded_read::text(&opened, MAX_LOCK)) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("cannot read {}", lock.display()))?,
    };
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

fn not_written(file: &Path) -> String {
    format!("cannot write {}", file.display())
}
