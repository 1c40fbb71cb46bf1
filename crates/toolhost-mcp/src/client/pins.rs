//! Pins: digests of what a server's tools said about themselves when a person reviewed them. The
//! manifest's digests decide; a lock file beside it has the texts, to show what changed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use toolhost_core::digest::sha256;
use toolhost_core::manifest::{McpConfig, lock_file};
use toolhost_core::mask::Mask;
use toolhost_core::paths::Paths;
use toolhost_core::provider::Pin;

/// The pinned members of a tool: what a model reads, and what decisions depend on.
const PINNED: [&str; 6] = [
    "name",
    "title",
    "description",
    "inputSchema",
    "outputSchema",
    "annotations",
];

/// The longest lock file, in bytes.
const MAX_LOCK: u64 = 64 << 20;

/// The longest text shown of either side, in bytes.
const MAX_SHOWN: usize = 2000;

/// The pin of a tool, from its text as the server wrote it.
pub(super) fn pin(name: &str, written: &str) -> Pin {
    let mut tool: Map<String, Value> = serde_json::from_str(written).unwrap_or_default();
    tool.retain(|member, value| PINNED.contains(&member.as_str()) && !value.is_null());
    let text = sorted(Value::Object(tool));
    Pin::new(name, digest(&text), text)
}

fn digest(text: &Value) -> String {
    format!("sha256:{}", sha256(text.to_string()))
}

/// Sorts members: servers need not keep their order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<String, Value> = members.into_iter().collect();
            let members = members.into_iter();
            Value::Object(members.map(|(name, it)| (name, sorted(it))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        value => value,
    }
}

/// The pins of a server.
pub(super) struct ServerPins {
    digests: Option<BTreeMap<String, String>>,
    texts: Map<String, Value>,
    lock: PathBuf,
    mask: Mask,
}

/// Why a tool is not offered.
pub(super) enum Refusal {
    /// There are pins, and none of this tool.
    Unpinned,
    /// It differs from its pin: the differences, in lines.
    Changed(Vec<String>),
}

impl ServerPins {
    pub(super) fn new(
        config: &McpConfig,
        manifest: &Path,
        paths: &Paths,
        mask: Mask,
    ) -> ServerPins {
        let lock = lock_file(manifest);
        let texts = match config.pins {
            Some(_) => read_lock(&lock, paths).remove(&config.name),
            None => None,
        };
        let texts = match texts {
            Some(Value::Object(texts)) => texts,
            _ => Map::new(),
        };
        ServerPins {
            digests: config.pins.clone(),
            texts,
            lock,
            mask,
        }
    }

    pub(super) fn check(&self, pin: &Pin) -> Result<(), Refusal> {
        let Some(digests) = &self.digests else {
            return Ok(());
        };
        let Some(pinned) = digests.get(&pin.tool) else {
            return Err(Refusal::Unpinned);
        };
        if *pinned == pin.digest {
            return Ok(());
        }
        // Use a text of the lock file only if its digest matches the pin.
        let text = self.texts.get(&pin.tool).cloned().map(sorted);
        let text = text.filter(|text| digest(text) == *pinned);
        Err(Refusal::Changed(match text {
            Some(text) => changes(&text, &pin.text, &self.mask),
            None => {
                let (lock, now) = (self.lock.display(), cut(&pin.text, &self.mask));
                vec![
                    format!("pinned: {pinned}, with no text in {lock}"),
                    format!("now: {now}"),
                ]
            }
        }))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unpinned => f.write_str("is not pinned"),
            Refusal::Changed(_) => f.write_str("differs from its pin:"),
        }
    }
}

/// The members that differ, before and now.
fn changes(before: &Value, after: &Value, mask: &Mask) -> Vec<String> {
    let differ = PINNED
        .iter()
        .filter(|it| before.get(**it) != after.get(**it));
    let shown = |tool: &Value, member: &str| match tool.get(member) {
        Some(value) => cut(value, mask),
        None => "nothing".to_owned(),
    };
    let lines = differ.flat_map(|member| {
        let (before, after) = (shown(before, member), shown(after, member));
        [
            format!("{member}, pinned: {before}"),
            format!("{member}, now: {after}"),
        ]
    });
    lines.collect()
}

fn cut(value: &Value, mask: &Mask) -> String {
    let text = value.to_string();
    let is_long = text.len() > MAX_SHOWN;
    let mut text = mask.beginning(text, MAX_SHOWN);
    if is_long {
        text.push('…');
    }
    text
}

/// The texts by server and tool; empty if there is no valid lock file.
fn read_lock(lock: &Path, paths: &Paths) -> Map<String, Value> {
    let text = paths.read_text(lock, MAX_LOCK).unwrap_or_default();
    match serde_json::from_str(&text) {
        Ok(Value::Object(texts)) => texts,
        _ => Map::new(),
    }
}
