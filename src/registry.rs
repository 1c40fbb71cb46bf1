//! From a tool's name to the plugin that offers it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Diagnostic, similar};
use crate::plugin::{Plugin, PluginTool};
use crate::wire::leaks;

pub(crate) struct Registry {
    pub(crate) plugins: Vec<Arc<Plugin>>,
    /// Indexes into `plugins` and the plugin's `tools`.
    by_name: HashMap<String, (usize, usize)>,
}

impl Registry {
    /// # Errors
    ///
    /// One for each name that two plugins offer.
    pub(crate) fn new(plugins: Vec<Plugin>, manifest: &Path) -> Result<Registry, Vec<Diagnostic>> {
        let mut by_name: HashMap<String, (usize, usize)> = HashMap::new();
        let mut problems = Vec::new();
        for (index, plugin) in plugins.iter().enumerate() {
            for (position, tool) in plugin.tools.iter().enumerate() {
                let name = &tool.tool.name;
                let Some((first, _)) = by_name.insert(name.clone(), (index, position)) else {
                    continue;
                };
                let first = &plugins[first];
                let message = match (first.server(), plugin.server()) {
                    (None, None) => format!(
                        "the plugins `{}` ({}) and `{}` both offer a tool named `{name}`",
                        first.config.name,
                        first.config.path.display(),
                        plugin.config.name
                    ),
                    _ => {
                        let (first, second) = (first.title(), plugin.title());
                        format!("the {first} and the {second} both offer a tool named `{name}`")
                    }
                };
                let problem = match plugin.server() {
                    Some(server) => Diagnostic::new(manifest, server.at, message),
                    None => Diagnostic::new(&plugin.config.path, None, message),
                };
                let help = "give one of them a `prefix`, or choose its `tools`, in the manifest";
                problems.push(problem.help(help));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Registry {
            plugins: plugins.into_iter().map(Arc::new).collect(),
            by_name,
        })
    }

    /// The tool that a call of that name is for: its plugin's index among all, the plugin, and the tool.
    pub(crate) fn find(&self, name: &str) -> Option<(usize, &Plugin, &PluginTool)> {
        let name = leaks::find(name, |name| self.by_name.contains_key(name))?;
        let (index, position) = *self.by_name.get(name)?;
        let plugin = &self.plugins[index];
        Some((index, plugin, &plugin.tools[position]))
    }

    /// The names most like `name`.
    pub(crate) fn similar(&self, name: &str) -> Vec<String> {
        similar(name, self.by_name.keys().map(String::as_str))
    }
}
