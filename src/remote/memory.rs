//! Which version of the protocol a server was found to speak, for the next start: a file of a few bytes for
//! each server that does not take what is tried first. What it says is a guess; a wrong one costs an attempt.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::digest::sha256;
use crate::manifest::{McpConfig, McpProtocol};

/// No version has a longer name, in bytes.
const MAX_NAME: u64 = 32;

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
        // Opening anything else could wait for ever.
        if !file.symlink_metadata().ok()?.is_file() {
            return None;
        }
        let mut name = String::new();
        let mut file = File::open(file).ok()?.take(MAX_NAME);
        file.read_to_string(&mut name).ok()?;
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
            tracing::debug!("{} is not kept: {error}", file.display());
        }
    }
}

/// Others may read it at the same time.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = file.with_extension(std::process::id().to_string());
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, file)
}
