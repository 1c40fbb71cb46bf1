//! The plugins that ship, embedded in the binary: see `build.rs`. A build that finds none has none.

use toolhost::Manifest;
use toolhost::manifest::PluginConfig;
use toolhost_core::builtin::{self, BuiltinPlugin};

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// The grants that shipped plugins need to be useful; the user has to give them.
const GRANTS: [(&str, &str); 6] = [
    ("fetch", "permissions.http = [\"https://*.wikipedia.org\"]"),
    (
        "filesystem",
        "permissions.files = [{ host = \".\", guest = \"/work\", access = \"read-only\" }]",
    ),
    (
        "memory",
        "permissions.files = [{ host = \".\", guest = \"/memory\", access = \"read-write\" }]",
    ),
    ("script", "permissions.tools = [\"*\"]"),
    ("script-python", "permissions.tools = [\"*\"]"),
    (
        "sql",
        "permissions.files = [{ host = \".\", guest = \"/data\", access = \"read-only\" }]",
    ),
];

/// Makes them known as `builtin:NAME`.
pub(super) fn register() {
    builtin::register(PLUGINS);
}

/// The grant that a plugin needs, if it needs one, as a line of its table in the manifest.
pub(super) fn needed_grant(plugin: &str) -> Option<&'static str> {
    let mut grants = GRANTS.iter();
    grants.find_map(|(name, grant)| (*name == plugin).then_some(*grant))
}

/// A manifest with those that need no permission; `None` if there are none.
pub(super) fn manifest() -> Option<Manifest> {
    let alone = PLUGINS
        .iter()
        .filter(|plugin| needed_grant(plugin.name).is_none());
    let plugins = alone.map(|plugin| PluginConfig::new(plugin.name, builtin::path_of(plugin.name)));
    let mut manifest = Manifest::default();
    manifest.plugins = plugins.collect();
    (!manifest.plugins.is_empty()).then_some(manifest)
}
