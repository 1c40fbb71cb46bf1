//! The cache of servers: the negotiated protocol version of each server that does not accept the
//! first attempt (a wrong one costs an attempt), and the tools it listed, for commands that start
//! nothing.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rmcp::model::Tool;
use serde_json::value::RawValue;

use toolhost_core::bounded_read;
use toolhost_core::digest::sha256;
use toolhost_core::manifest::{McpConfig, McpProtocol};
use toolhost_core::mask::Mask;
use toolhost_core::replacement::Replacement;

use super::message_reader::{listed_tool, raw_tool};

/// The longest name of a version, in bytes.
const MAX_NAME: u64 = 32;

/// The most bytes of cached tools.
const MAX_TOOLS: u64 = 16 << 20;

pub(super) struct ServerCache(Option<PathBuf>);

impl ServerCache {
    /// The cache of a server, in a folder that need not exist.
    pub(super) fn new(folder: Option<&Path>, config: &McpConfig) -> Self {
        // Keyed by how it is started, not by its name, which another server may have tomorrow.
        let key = sha256(format!("{:?}", config.transport));
        ServerCache(folder.map(|folder| folder.join(&key[..32])))
    }

    pub(super) fn recall(&self) -> Option<McpProtocol> {
        let file = self.0.as_deref()?;
        let name = bounded_read::text(&bounded_read::open(file).ok()?, MAX_NAME).ok()?;
        McpProtocol::parse(name.trim())
    }

    /// Stores the version, unless it is tried first anyway. Failing to store it only costs time.
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

impl ServerCache {
    /// The tools that it last listed, and when.
    pub(super) fn recall_tools(&self) -> Option<(Vec<Tool>, SystemTime)> {
        let file = bounded_read::open(&self.tools()?).ok()?;
        let listed = file.metadata().ok()?.modified().ok()?;
        let text = bounded_read::read(&file, MAX_TOOLS).ok()?;
        let tools: Vec<&RawValue> = serde_json::from_slice(&text).ok()?;
        let tools = tools
            .into_iter()
            .map(|text| serde_json::from_value(listed_tool(text)).ok());
        Some((tools.collect::<Option<_>>()?, listed))
    }

    /// Stores them, with the server's secrets masked.
    pub(super) fn keep_tools(&self, listed: &[Tool], mask: &Mask) {
        let Some(file) = self.tools() else {
            return;
        };
        let raw = listed.iter().map(raw_tool).filter(|raw| !raw.is_empty());
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
