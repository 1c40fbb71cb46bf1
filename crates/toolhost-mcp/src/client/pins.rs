//! Pinned tools: what a server's tools said of themselves when somebody looked at them. Their digests are in
//! the manifest, which decides; the texts are in a lock file beside it, to show what changed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::digest::sha256;
use crate::manifest::{McpConfig, lock_file};
use crate::mask::Mask;
use crate::paths::Paths;
use crate::provider::Pin;

/// The members of a tool that are pinned: what a model is told, and what is decided by.
const PINNED: [&str; 6] = [
    "name",
    "title",
    "description",
    "inputSchema",
    "outputSchema",
    "annotations",
];

/// A lock file may be no longer, in bytes.
const MAX_LOCK: u64 = 64 << 20;

/// The longest text that is shown of either side, in bytes.
const MAX_SHOWN: usize = 2000;

/// What a tool says of itself, as the server wrote it.
pub(super) fn pin(name: &str, written: &str) -> Pin {
    let mut tool: Map<String, Value> = serde_json::from_str(written).unwrap_or_default();
    tool.retain(|member, value| PINNED.contains(&member.as_str()) && !value.is_null());
    let text = sorted(Value::Object(tool));
    Pin::new(name, digest(&text), text)
}

fn digest(text: &Value) -> String {
    format!("sha256:{}", sha256(text.to_string()))
}

/// Servers need not write members in the same order each time.
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
pub(super) struct Pins {
    digests: Option<BTreeMap<String, String>>,
    texts: Map<String, Value>,
    lock: PathBuf,
    mask: Mask,
}

/// Why a tool is not offered.
pub(super) enum Refusal {
    /// There are pins, and none of it.
    Unpinned,
    /// It is not what was pinned: how, in lines.
    Changed(Vec<String>),
}

impl Pins {
    pub(super) fn new(config: &McpConfig, manifest: &Path, paths: &Paths, mask: Mask) -> Pins {
        let lock = lock_file(manifest);
        let texts = match config.pins {
            Some(_) => read_lock(&lock, paths).remove(&config.name),
            None => None,
        };
        let texts = match texts {
            Some(Value::Object(texts)) => texts,
            _ => Map::new(),
        };
        Pins {
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
        // A text is what was pinned only if its digest says so.
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

/// The members that differ, as they were and as they are.
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

/// The texts by server and tool; none where there is no such file, or it is something else.
fn read_lock(lock: &Path, paths: &Paths) -> Map<String, Value> {
    let text = paths.read_text(lock, MAX_LOCK).unwrap_or_default();
    match serde_json::from_str(&text) {
        Ok(Value::Object(texts)) => texts,
        _ => Map::new(),
    }
}
