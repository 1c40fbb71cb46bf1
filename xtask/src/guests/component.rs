//! From what cargo built to a component that is known to be a plugin.

use super::cargo::Guest;
use anyhow::{Context, Result, bail};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, DecodedWasm};

/// What a plugin exports: one of these.
const TOOLS: [&str; 2] = [
    "toolhost:plugin/tools@0.1.0",
    "toolhost:concurrent/tools@0.1.0",
];

/// The component of a guest. A module that imports nothing of preview1 gets no adapter.
pub(crate) fn make(guest: &Guest) -> Result<Vec<u8>> {
    let bytes = std::fs::read(&guest.file)
        .with_context(|| format!("cannot read {}", guest.file.display()))?;
    if guest.is_component {
        return Ok(bytes);
    }
    ComponentEncoder::default()
        .module(&bytes)
        .and_then(|encoder| {
            encoder.adapter(
                WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            )
        })
        .context("this module cannot become a component")?
        .encode()
        .context("this module cannot become a component")
}

/// Fails unless the bytes are a component, and a plugin if the guest is one.
pub(crate) fn check(guest: &Guest, component: &[u8]) -> Result<()> {
    let DecodedWasm::Component(resolve, world) =
        wit_component::decode(component).context("not a component")?
    else {
        bail!("not a component but a package of WIT");
    };
    if !guest.is_plugin {
        return Ok(());
    }
    let exports: Vec<String> = resolve.worlds[world]
        .exports
        .keys()
        .map(|key| resolve.name_world_key(key))
        .collect();
    if !exports.iter().any(|export| TOOLS.contains(&&**export)) {
        let found = if exports.is_empty() {
            "nothing".to_owned()
        } else {
            exports.join(", ")
        };
        bail!(
            "it exports {found}, and a plugin exports {}; if it is meant to be none, say so in its Cargo.toml: \
             [package.metadata.toolhost] world = false",
            TOOLS.join(" or ")
        );
    }
    Ok(())
}
