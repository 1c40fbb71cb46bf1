//! Core modules that speak WASI 0.1, adapted to components.

use std::collections::BTreeSet;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as WASI_0_1, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use super::component_size;

/// The custom sections in which a compiler leaves the types of a component.
const COMPONENT_TYPE: &str = "component-type";

/// How many of the modules that it imports from are named.
const SHOWN_IMPORTS: usize = 10;

/// What is read of a module before it is adapted.
#[derive(Default)]
struct Read {
    /// The modules that it imports from.
    imports: BTreeSet<String>,
    /// Whether it is a program.
    is_command: bool,
    /// Whether it says which component it wants to be.
    has_types: bool,
}

/// Makes a component of a WASI 0.1 command or reactor.
///
/// # Errors
///
/// It is something else.
pub(super) fn adapt(module: &[u8]) -> Result<Vec<u8>, String> {
    let Read {
        imports,
        is_command,
        has_types,
    } = read(module)?;
    let others = imports.iter().filter(|it| *it != WASI_0_1);
    let others: Vec<&str> = others.map(String::as_str).take(SHOWN_IMPORTS).collect();
    if !has_types {
        if !others.is_empty() {
            return Err(format!(
                "is a core module that imports from {}: only modules that import from {WASI_0_1} alone can be adapted",
                others.join(", ")
            ));
        }
        if !is_command {
            return Err(
                "is a core module, not a component: it is no WASI 0.1 command (it does not export `_start`), and \
                 nothing in it gives the types of its functions; build for wasm32-wasip2, or use `wasm-tools \
                 component new`"
                    .to_owned(),
            );
        }
    }
    let adapter = match is_command {
        true => WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        false => WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    };
    ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.adapter(WASI_0_1, adapter))
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| format!("is a core module that cannot be adapted: {error:#}"))
}

fn read(module: &[u8]) -> Result<Read, String> {
    let invalid = |error| format!("is not a valid core module: {error}");
    let mut read = Read::default();
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(invalid)? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let module = import.map_err(invalid)?.module;
                    if !read.imports.contains(module) {
                        read.imports.insert(module.to_owned());
                    }
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    read.is_command |= export.map_err(invalid)?.name == "_start";
                }
            }
            Payload::CustomSection(section) if section.name().starts_with(COMPONENT_TYPE) => {
                read.has_types = true;
                // It is a component itself, which is read before any other check.
                component_size::check(section.data())?;
            }
            _ => {}
        }
    }
    Ok(read)
}
