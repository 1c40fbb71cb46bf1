//! Inspects a component without a manifest: its imports, exports and tools.

use std::path::Path;
use std::time::Duration;

use wasmtime::component::Component;

use crate::digest::sha256;
use crate::engine::{CodeCache, EngineConfig, Engines};
use crate::error::{Diagnostic, LoadError};
use crate::limits::Limits;
use crate::manifest::PluginConfig;
use crate::paths::Paths;
use crate::plugin::component::Linked;
#[doc(hidden)]
pub use crate::plugin::component::component_of;
use crate::plugin::listing::Listings;
use crate::plugin::{Compiled, component};
use crate::provider::ToolNote;
use crate::tool::Tool;

/// What [`inspect`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// The size of the file in bytes.
    pub size: u64,
    /// The SHA-256 digest of the file, in the form of a pin.
    pub sha256: String,
    /// What it imports, such as `wasi:cli/environment@0.2.6`.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
    /// The permissions it can use, by their names in the manifest.
    pub permissions: Vec<&'static str>,
    /// Its tools, or why it cannot be a plugin of this host.
    pub tools: Result<Vec<Tool>, Vec<Diagnostic>>,
    /// Whether its tools are functions of its own interfaces, or a program, rather than tools of the
    /// plugin interface.
    pub is_typed: bool,
    /// Functions that are left out, and tools without a description.
    pub notes: Vec<ToolNote>,
}

/// Inspects a component and asks it for its tools, in a sandbox without any permission.
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use toolhost::CodeCache;
/// use toolhost::inspect::inspect;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A component that is no plugin: it offers nothing.
/// let component = b"\0asm\x0d\0\x01\0";
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("empty.wasm");
/// std::fs::write(&file, component)?;
///
/// let found = inspect(&file, CodeCache::Off).await?;
/// assert_eq!(found.size, component.len() as u64);
/// assert!(found.imports.is_empty());
/// assert!(found.tools.is_err());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`LoadError::Invalid`] if the file is not a component.
pub async fn inspect(path: impl AsRef<Path>, cache: CodeCache) -> Result<Inspection, LoadError> {
    inspect_within(path, cache, Limits::default().max_compile).await
}

/// As [`inspect`], with a limit for compiling.
///
/// # Errors
///
/// As for [`inspect`].
#[doc(hidden)]
pub async fn inspect_within(
    path: impl AsRef<Path>,
    cache: CodeCache,
    bound: Duration,
) -> Result<Inspection, LoadError> {
    let path = path.as_ref().to_owned();
    let file = path.clone();
    let prepared = component::compiling(bound, move || prepare(&file, cache)).await;
    let Prepared {
        bytes,
        component,
        linked,
    } = prepared.map_err(|message| LoadError::invalid(&path, message))??;
    let imports = component::imports(&component);
    // The name of the tool that a program is.
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let config = PluginConfig::new(name, &path);
    let sha256 = sha256(&bytes);
    let is_typed = matches!(linked, Ok(Linked::Functions(_)));
    let mut notes = Vec::new();
    let tools = match linked {
        Ok(linked) => {
            let compiled = Compiled::ungranted(config, sha256.clone(), linked);
            compiled
                .discover(&path, &Listings::default())
                .await
                .map(|plugin| {
                    notes = plugin.notes;
                    plugin.tools.iter().map(|tool| tool.tool.clone()).collect()
                })
        }
        Err(message) => Err(vec![Diagnostic::new(&path, None, message)]),
    };
    Ok(Inspection {
        size: bytes.len() as u64,
        sha256,
        exports: component::exports(&component),
        permissions: component::usable_permissions(
            &imports,
            component::asks_for_secrets(&component),
        ),
        imports,
        tools,
        is_typed,
        notes,
    })
}

struct Prepared {
    bytes: Vec<u8>,
    component: Component,
    linked: Result<Linked, String>,
}

/// Reads and compiles the component: seconds of CPU if it is not in the cache.
fn prepare(path: &Path, cache: CodeCache) -> Result<Prepared, LoadError> {
    let limits = Limits::default();
    let engines = Engines::new(EngineConfig {
        instances: 1,
        stack: limits.stack(),
        cache,
    })?;
    let invalid = |message| LoadError::invalid(path, message);
    let bytes = component::read(path, limits.max_component, &Paths::default()).map_err(invalid)?;
    let (component, engine) = component::compile(&bytes, &engines).map_err(invalid)?;
    let linked = component::link(&component, &engine);
    Ok(Prepared {
        bytes,
        component,
        linked,
    })
}
