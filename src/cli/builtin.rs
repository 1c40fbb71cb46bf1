//! The plugins that ship, embedded in the binary: see `build.rs`. A build that finds none has none.

use toolhost::Manifest;
use toolhost::manifest::PluginConfig;
use toolhost_core::builtin::{self, BuiltinPlugin};

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// Makes them known as `builtin:NAME`.
pub(super) fn register() {
    builtin::register(PLUGINS);
}

/// A manifest with those that need no permission; `None` if there are none.
pub(super) fn manifest() -> Option<Manifest> {
    let alone = PLUGINS.iter().filter(|plugin| !plugin.needs_permissions);
    let plugins = alone.map(|plugin| PluginConfig::new(plugin.name, builtin::path_of(plugin.name)));
    let mut manifest = Manifest::default();
    manifest.plugins = plugins.collect();
    (!manifest.plugins.is_empty()).then_some(manifest)
}
