//! What is remembered of servers. Which version of the protocol one was found to speak, for the next start: a file of
//! a few bytes for each that does not take what is tried first. What it says is a guess; a wrong one costs an
//! attempt. And the tools that it listed, for who looks at a manifest without starting anything.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rmcp::model::Tool;
use serde_json::value::RawValue;

use crate::bounded;
use crate::digest::sha256;
use crate::manifest::{McpConfig, McpProtocol};
use crate::mask::Mask;
use crate::replacement::Replacement;

use super::reading::{listed_tool, written};

/// No version has a longer name, in bytes.
const MAX_NAME: u64 = 32;

/// Tools with longer texts than this together are not remembered, in bytes.
const MAX_TOOLS: u64 = 16 << 20;

pub(super) struct Memory(Option<PathBuf>);

impl Memory {
    /// Of a server, in a folder that need not exist.
    pub(super) fn new(folder: Option<&Path>, config: &McpConfig) -> Self {
        // What it is started with, and not its name: another server may have that tomorrow.
        let key = sha256(format!("{:?}", config.transport));
        Memory(folder.map(|folder| folder.join(&key[..32])))
    }

    pub(super) fn recall(&self) -> Option<McpProtocol> {
        let file = self.0.as_deref()?;
        let name = bounded::text(&bounded::open(file).ok()?, MAX_NAME).ok()?;
        McpProtocol::parse(name.trim())
    }

    /// Keeps what is not tried first anyway. That it cannot be kept costs time only.
    pub(super) fn keep(&self, protocol: McpProtocol) {
        let Some(file) = &self.0 else {
            return;
        };
        if self.recall() == Some(protocol) {
            return;
        }
        let kept = match protocol {
            McpProtocol::FIRST => std::fs::remove_file(file).or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            }),
            protocol => write(file, protocol.as_str()),
        };
        if let Err(error) = kept {
            tracing::debug!("cannot save {}: {error}", file.display());
        }
    }
}

impl Memory {
    /// The tools that it last listed, and when.
    pub(super) fn recall_tools(&self) -> Option<(Vec<Tool>, SystemTime)> {
        let file = bounded::open(&self.tools()?).ok()?;
        let listed = file.metadata().ok()?.modified().ok()?;
        let text = bounded::read(&file, MAX_TOOLS).ok()?;
        let tools: Vec<&RawValue> = serde_json::from_slice(&text).ok()?;
        let tools = tools
            .into_iter()
            .map(|text| serde_json::from_value(listed_tool(text)).ok());
        Some((tools.collect::<Option<_>>()?, listed))
    }

    /// Keeps them, without the secrets that the server was given.
    pub(super) fn keep_tools(&self, listed: &[Tool], mask: &Mask) {
        let Some(file) = self.tools() else {
            return;
        };
        let raw = listed.iter().map(written).filter(|raw| !raw.is_empty());
        let mut text = format!("[{}]\n", raw.collect::<Vec<_>>().join(",\n"));
        mask.text(&mut text);
        if text.len() as u64 > MAX_TOOLS {
            return;
        }
        if let Err(error) = write(&file, &text) {
            tracing::debug!("cannot save {}: {error}", file.display());
        }
    }

    fn tools(&self) -> Option<PathBuf> {
        Some(self.0.as_ref()?.with_extension("tools.json"))
    }
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    Replacement::write_private(file, text)?.put()
}
