//! Turns a file into a linked component, or a message that says why not.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use tokio::sync::oneshot;
use wasmparser::{Parser, Payload};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre};

use crate::bounded_read;
use crate::builtin;
use crate::engine::{Engine, Engines};
use crate::error::said_by;
use crate::limits::{seconds, size};
use crate::paths::Paths;
use crate::sandbox::Sandbox;

use super::tools::{CONCURRENT_PACKAGE, PLUGIN_PACKAGE, PLUGIN_VERSION, Tools};
use super::{async_features, component_size, core_module};

/// The packages that a host offers completely, in versions compatible with these.
const OFFERED: [(&str, &[&str]); 9] = [
    (PLUGIN_PACKAGE, &["0.1"]),
    ("toolhost:calls", &["0.1"]),
    ("wasi:cli", &["0.2", "0.3"]),
    ("wasi:clocks", &["0.2", "0.3"]),
    ("wasi:filesystem", &["0.2", "0.3"]),
    ("wasi:http", &["0.2", "0.3"]),
    ("wasi:io", &["0.2"]),
    ("wasi:random", &["0.2", "0.3"]),
    ("wasi:sockets", &["0.2", "0.3"]),
];

/// Reads a component's file, or takes a built-in one.
pub(crate) fn read(path: &Path, bound: ByteSize, paths: &Paths) -> Result<Vec<u8>, String> {
    if let Some(name) = builtin::name_of(path) {
        let component = builtin::component(name)?;
        let length = component.len() as u64;
        return match length > bound.as_u64() {
            true => Err(over(length, bound)),
            false => Ok(component.to_vec()),
        };
    }
    let error = |error: std::io::Error| format!("cannot be read: {error}");
    let file = paths.open_regular(path).map_err(error)?;
    let length = file.metadata().map_err(error)?.len();
    bounded_read::read(&file, bound.as_u64()).map_err(|it| match it.kind() {
        ErrorKind::FileTooLarge => over(length.max(bound.as_u64() + 1), bound),
        _ => error(it),
    })
}

fn over(length: u64, bound: ByteSize) -> String {
    let (found, bound) = (size(ByteSize::b(length)), size(bound));
    format!("has {found}, over the `max-component` limit of {bound}")
}

/// Compiles on a thread of its own, waiting for up to `timeout`. Compiling takes seconds of CPU and
/// cannot be interrupted, so it must not run on threads that serve others, nor on one that anyone
/// joins.
pub(crate) async fn compiling<T: Send + 'static>(
    bound: Duration,
    compile: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (sender, compiled) = oneshot::channel();
    let thread = std::thread::Builder::new().name("toolhost-compile".to_owned());
    thread
        // The receiver may be gone.
        .spawn(move || {
            let compiled = catch_unwind(AssertUnwindSafe(compile));
            drop(sender.send(compiled));
        })
        .map_err(|error| format!("cannot be compiled: {error}"))?;
    match tokio::time::timeout(bound, compiled).await {
        Ok(Ok(Ok(compiled))) => Ok(compiled),
        Ok(Ok(Err(panic))) => Err(format!(
            "cannot be compiled: the compiler panicked: {}",
            said_by(&*panic)
        )),
        Ok(Err(_)) => Err("cannot be compiled: its thread is gone".to_owned()),
        Err(_) => Err(format!(
            "takes longer to compile than the `max-compile` limit of {}",
            seconds(bound)
        )),
    }
}

/// Checks what a component imports before it is compiled, which can take minutes.
///
/// # Errors
///
/// The host does not provide all of it.
pub(crate) fn check_before_compiling(bytes: &[u8]) -> Result<(), String> {
    let mut depth = 0_usize;
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            // The compiler reports it better.
            Err(_) => return Ok(()),
            Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(Payload::ComponentImportSection(imports)) if depth == 0 => {
                let imports = imports.into_iter().flatten();
                names.extend(imports.map(|import| import.name.name.to_owned()));
            }
            Ok(_) => {}
        }
    }
    // Another version of the plugin interface is an error of its own.
    names.retain(|name| !name.starts_with(PLUGIN_PACKAGE));
    check_imports(&names)
}

/// The component in a file of these bytes: a core module for WASI 0.1 is adapted.
///
/// # Errors
///
/// It is neither, as a phrase about the file.
pub fn component_of(bytes: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    // The last four bytes are the version of a core module, or the layer of a component.
    match bytes.get(..8) {
        None => Err(format!("is not a component: it has {} bytes", bytes.len())),
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(bytes.into()),
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Ok(core_module::adapt(bytes)?.into()),
        Some([0, b'a', b's', b'm', ..]) => {
            let why = "is not a valid component: it is WebAssembly of an unknown version";
            Err(why.to_owned())
        }
        Some(_) => Err("is not a component: it is not WebAssembly at all".to_owned()),
    }
}

/// Compiles a component for the engine that it needs, or takes its code from the cache.
pub(crate) fn compile(bytes: &[u8], engines: &Engines) -> Result<(Component, Arc<Engine>), String> {
    let bytes = component_of(bytes)?;
    component_size::check(&bytes)?;
    let engine = engines.get(async_features::concurrency(&bytes)?);
    let engine = engine.map_err(|error| format!("cannot be compiled: {error}"))?;
    // Not `Component::new`, which also accepts the text format if some crate enables it.
    let component =
        Component::from_binary(&engine.engine, &bytes).map_err(|error| not_compiled(&error))?;
    Ok((component, engine))
}

/// Why a component cannot be compiled.
fn not_compiled(error: &wasmtime::Error) -> String {
    let why = format!("{error:#}");
    // wasmparser names the feature that is off, and has no error type for it.
    match why.contains("component model async") {
        true => format!(
            "uses async features of the component model that this host does not support: {why}"
        ),
        false => format!("is not a valid component: {why}"),
    }
}

/// A linked component, by what it exports.
pub(crate) enum Linked {
    /// The plugin interface.
    Plugin(Tools),
    /// Functions of any type.
    Functions(InstancePre<Sandbox>),
}

impl Linked {
    pub(super) fn instance_pre(&self) -> &InstancePre<Sandbox> {
        match self {
            Linked::Plugin(tools) => tools.pre(),
            Linked::Functions(pre) => pre,
        }
    }
}

/// Links a component.
pub(crate) fn link(component: &Component, engine: &Engine) -> Result<Linked, String> {
    let is_plugin = is_plugin(&exports(component))?;
    check_imports(&imports(component))?;
    let pre = engine.linker.instantiate_pre(component);
    let pre = pre.map_err(|error| format!("does not fit this host: {error:#}"))?;
    match is_plugin {
        true => Tools::new(pre).map(Linked::Plugin),
        false => Ok(Linked::Functions(pre)),
    }
}

/// The names of its imports, such as `wasi:cli/environment@0.2.6`.
pub(crate) fn imports(component: &Component) -> Vec<String> {
    let engine = component.engine();
    let ty = component.component_type();
    ty.imports(engine)
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The names of its exports.
pub(crate) fn exports(component: &Component) -> Vec<String> {
    let engine = component.engine();
    let ty = component.component_type();
    ty.exports(engine)
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The permission that an interface uses.
const PERMISSIONS: [(&str, &str); 11] = [
    ("toolhost:calls/", "tools"),
    ("wasi:filesystem/", "files"),
    ("wasi:http/outgoing-handler@", "http"),
    ("wasi:http/client@", "http"),
    ("wasi:sockets/tcp-create-socket@", "sockets"),
    ("wasi:sockets/types@", "sockets"),
    ("wasi:cli/environment@", "env"),
    ("wasi:clocks/wall-clock@", "clock"),
    ("wasi:clocks/system-clock@", "clock"),
    ("wasi:clocks/monotonic-clock@", "clock"),
    ("wasi:random/", "random"),
];

/// The permissions it can use, by their names in the manifest.
pub(crate) fn usable_permissions(imports: &[String], asks_for_secrets: bool) -> Vec<&'static str> {
    let imported = |prefix: &str| imports.iter().any(|import| import.starts_with(prefix));
    let mut permissions: Vec<&str> = PERMISSIONS
        .iter()
        .filter(|(prefix, _)| imported(prefix))
        .map(|(_, permission)| *permission)
        .collect();
    permissions.dedup();
    if asks_for_secrets {
        permissions.push("secrets");
    }
    permissions
}

/// Whether it imports the function that returns secrets.
pub(crate) fn asks_for_secrets(component: &Component) -> bool {
    let engine = component.engine();
    let ty = component.component_type();
    let prefix = format!("{PLUGIN_PACKAGE}/host@");
    ty.imports(engine).any(|(name, item)| match item.ty {
        ComponentItem::ComponentInstance(host) => {
            name.starts_with(&prefix) && host.get_export(engine, "secret").is_some()
        }
        _ => false,
    })
}

/// Whether it exports the plugin interface.
///
/// # Errors
///
/// It exports another version, a part of it only, or nothing.
fn is_plugin(exports: &[String]) -> Result<bool, String> {
    for package in [PLUGIN_PACKAGE, CONCURRENT_PACKAGE] {
        let prefix = format!("{package}/tools@");
        let versions = exports.iter().filter_map(|it| it.strip_prefix(&prefix));
        let versions: Vec<&str> = versions.collect();
        if versions.contains(&PLUGIN_VERSION) {
            return Ok(true);
        }
        if !versions.is_empty() {
            return Err(format!(
                "is a plugin for {package}@{}, but this host supports {PLUGIN_VERSION}",
                versions.join(", ")
            ));
        }
    }
    if exports.is_empty() {
        return Err(format!(
            "is not a toolhost plugin: it exports neither {PLUGIN_PACKAGE}/tools@{PLUGIN_VERSION} nor any function (it \
             exports nothing; in Rust, `plugin!(TOOL, …)` exports tools)"
        ));
    }
    let package = format!("{PLUGIN_PACKAGE}/");
    if exports.iter().any(|it| it.starts_with(&package)) {
        return Err(format!(
            "is not a toolhost plugin: it does not export {PLUGIN_PACKAGE}/tools@{PLUGIN_VERSION} (it exports {})",
            exports.join(", ")
        ));
    }
    Ok(false)
}

fn check_imports(imports: &[String]) -> Result<(), String> {
    let strange: Vec<&str> = imports
        .iter()
        .map(String::as_str)
        .filter(|import| !is_offered(import))
        .collect();
    if strange.is_empty() {
        return Ok(());
    }
    Err(format!(
        "imports interfaces that this host does not provide: {}",
        strange.join(", ")
    ))
}

/// Whether an import such as `wasi:io/poll@0.2.6` is of a package that the host offers.
pub(crate) fn is_offered(import: &str) -> bool {
    let Some((package, rest)) = import.split_once('/') else {
        return false;
    };
    let version = rest.split_once('@').map_or("", |(_, version)| version);
    OFFERED.iter().any(|(offered, compatible)| {
        let mut patches = compatible.iter().filter_map(|it| version.strip_prefix(it));
        *offered == package && patches.any(|patch| patch.starts_with('.'))
    })
}
