//! A server's section of the manifest, with the values of its secrets.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use toolhost_core::error::Diagnostic;
use toolhost_core::manifest::{McpConfig, McpTransport};
use toolhost_core::mask::Mask;
use toolhost_core::paths::Paths;
use toolhost_core::permissions::{Secret, SecretSource};

use super::cache::ServerCache;
use super::pins::ServerPins;

/// The most calls of one server that wait for replies. One more evicts one of the client with the
/// most; clients without a session and a token count as one.
pub(super) const MAX_PARKED: usize = 64;

/// A server's section of the manifest, with the values of its secrets.
pub(super) struct Settings {
    pub(super) config: McpConfig,
    pub(super) secrets: BTreeMap<String, Secret>,
    pub(super) token: Option<Secret>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) mask: Mask,
    pub(super) memory: ServerCache,
    pub(super) pins: ServerPins,
    pub(super) paths: Arc<Paths>,
    /// Missing secrets, and invalid ones: with any of these it is not started.
    pub(super) lacking: Vec<Diagnostic>,
}

impl Settings {
    /// Without any secrets: for listing only.
    pub(super) fn to_look_at(
        config: McpConfig,
        manifest: &Path,
        paths: &Arc<Paths>,
        memory: Option<&Path>,
    ) -> Settings {
        Settings {
            secrets: BTreeMap::new(),
            token: None,
            headers: Vec::new(),
            mask: Mask::default(),
            memory: ServerCache::new(memory, &config),
            pins: ServerPins::new(&config, manifest, paths, Mask::default()),
            paths: paths.clone(),
            lacking: Vec::new(),
            config,
        }
    }

    /// With the secrets that can be read.
    pub(super) fn new(
        config: McpConfig,
        manifest: &Path,
        paths: &Arc<Paths>,
        memory: Option<&Path>,
    ) -> Settings {
        let mut problems = Vec::new();
        let mut problem = |message: String| {
            problems.push(Diagnostic::new(manifest, config.at, message));
        };
        let mut read = |what: &str, source: &SecretSource| match source.read(paths) {
            Ok(secret) => Some(secret),
            Err(error) => {
                problem(format!("{what} of `mcp.{}`{error}", config.name));
                None
            }
        };
        let mut secrets = BTreeMap::new();
        for (name, source) in &config.secrets {
            if let Some(secret) = read(&format!("secret `{name}`"), source) {
                secrets.insert(name.clone(), secret);
            }
        }
        let (mut token, mut headers) = (None, Vec::new());
        if let McpTransport::Url(endpoint) = &config.transport {
            let source = endpoint.token.as_ref();
            token = source.and_then(|source| read("the token", source));
            for header in &endpoint.headers {
                let value = header.value(|name| secrets.get(name).map(Secret::reveal));
                match value {
                    Ok(value) => headers.push((header.name().clone(), value)),
                    // The missing secret has been reported already.
                    Err(_) if header.secrets().any(|name| !secrets.contains_key(name)) => {}
                    Err(error) => {
                        problem(format!("header {header} of `mcp.{}`: {error}", config.name));
                    }
                }
            }
        }
        let mask = Mask::new(secrets.values().chain(&token)).unwrap_or_else(|error| {
            problem(error);
            Mask::default()
        });
        Settings {
            memory: ServerCache::new(memory, &config),
            pins: ServerPins::new(&config, manifest, paths, mask.clone()),
            paths: paths.clone(),
            lacking: problems,
            config,
            secrets,
            token,
            headers,
            mask,
        }
    }
}
