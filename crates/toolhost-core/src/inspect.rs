//! Inspects a component without a manifest: its imports, exports and tools.

use std::path::Path;

use wasmtime::component::Component;

use crate::digest::sha256;
use crate::engine::{CodeCache, EngineConfig, Engines};
use crate::error::{Diagnostic, LoadError};
use crate::limits::Limits;
use crate::manifest::PluginConfig;
use crate::paths::Paths;
use crate::plugin::{Compiled, Tools, component};
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
/// let component = wat::parse_str("(component)")?;
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("empty.wasm");
/// std::fs::write(&file, &component)?;
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
    let path = path.as_ref().to_owned();
    let file = path.clone();
    let bound = Limits::default().max_compile;
    let prepared = component::compiling(bound, move || prepare(&file, cache)).await;
    let Prepared {
        bytes,
        component,
        functions,
    } = prepared.map_err(|message| LoadError::invalid(&path, message))??;
    let imports = component::imports(&component);
    let config = PluginConfig::new("", &path);
    let sha256 = sha256(&bytes);
    let tools = match functions {
        Ok(functions) => Compiled::ungranted(config, sha256.clone(), functions)
            .discover(&path)
            .await
            .map(|plugin| plugin.tools.iter().map(|tool| tool.tool.clone()).collect()),
        Err(message) => Err(vec![Diagnostic::new(&path, None, message)]),
    };
    Ok(Inspection {
        size: bytes.len() as u64,
        sha256,
        exports: component::exports(&component),
        permissions: component::usable_permissions(&component, &imports),
        imports,
        tools,
    })
}

struct Prepared {
    bytes: Vec<u8>,
    component: Component,
    functions: Result<Tools, String>,
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
    let functions = component::link(&component, &engine);
    Ok(Prepared {
        bytes,
        component,
        functions,
    })
}
