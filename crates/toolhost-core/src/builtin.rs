//! Plugins inside the program: `path = "builtin:NAME"` in a manifest. The program that has some
//! registers them when it starts; the core has none.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What a path begins with that names no file.
const SCHEME: &str = "builtin:";

/// A plugin inside the program.
#[derive(Debug)]
pub struct BuiltinPlugin {
    /// Its name.
    pub name: &'static str,
    /// The component.
    pub component: &'static [u8],
}

static PLUGINS: OnceLock<&[BuiltinPlugin]> = OnceLock::new();

/// Registers the plugins of the program, once.
pub fn register(plugins: &'static [BuiltinPlugin]) {
    let _ = PLUGINS.set(plugins);
}

/// The registered plugins.
pub fn all() -> &'static [BuiltinPlugin] {
    PLUGINS.get().copied().unwrap_or_default()
}

/// The path of the plugin with this name.
pub fn path_of(name: &str) -> PathBuf {
    format!("{SCHEME}{name}").into()
}

/// The name of a plugin inside the program, if the path is that of one.
pub fn name_of(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix(SCHEME)
}

/// The component with this name.
///
/// # Errors
///
/// There is none, as the end of a sentence that begins with its path.
pub(crate) fn component(name: &str) -> Result<&'static [u8], String> {
    let plugins = all();
    if let Some(plugin) = plugins.iter().find(|plugin| plugin.name == name) {
        return Ok(plugin.component);
    }
    let names: Vec<&str> = plugins.iter().map(|plugin| plugin.name).collect();
    Err(match names.is_empty() {
        true => "cannot be used: this program was built without plugins in it; a toolhost that is built after \
                 `cargo xtask plugins` has them"
            .to_owned(),
        false => format!("is not among the built-in plugins: {}", names.join(", ")),
    })
}
