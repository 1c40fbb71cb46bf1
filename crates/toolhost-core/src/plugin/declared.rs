//! What a component offers as a tool, before the manifest has chosen, renamed and described it.

use std::collections::HashSet;

use serde_json::Value;

use crate::manifest::PluginConfig;
use crate::provider::ProvidedTool;
use crate::tool::Tool;

/// A tool as its component has it.
pub(super) struct Declared {
    /// Its full name in the component, if that is another than the tool's.
    pub(super) path: Option<String>,
    /// Under its own name.
    pub(super) tool: Tool,
    /// The schemas as JSON text.
    pub(super) input: String,
    pub(super) output: Option<String>,
    /// Whether it has a description that was written for it.
    pub(super) is_described: bool,
    /// Why it cannot be a tool.
    pub(super) refused: Option<String>,
}

impl Declared {
    /// A function that is not a tool, whose name is known.
    pub(super) fn only_name(own_name: String, path: String) -> Declared {
        Declared {
            path: Some(path),
            tool: Tool::new(own_name, ""),
            input: String::new(),
            output: None,
            is_described: true,
            refused: None,
        }
    }

    /// Whether the manifest means it by that name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.names().any(|own| own == name)
    }

    /// Whether one of these names is its.
    pub(super) fn is_among(&self, names: &HashSet<&str>) -> bool {
        self.names().any(|own| names.contains(own))
    }

    /// The names by which the manifest may mean it.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.tool.name).chain(self.path.as_deref())
    }

    /// The name that no other tool of the component has.
    pub(super) fn full_name(&self) -> &str {
        self.path.as_deref().unwrap_or(&self.tool.name)
    }

    /// As the host offers it, under `name`. At its provider it is called by its full name.
    ///
    /// # Errors
    ///
    /// A schema is not valid.
    pub(super) fn provided(
        self,
        name: String,
        config: &PluginConfig,
    ) -> Result<ProvidedTool, String> {
        let full_name = self.full_name().to_owned();
        let callers = config.allowed_callers.of_any(self.names()).to_vec();
        let mut tool = self.tool;
        tool.name = name;
        tool.allowed_callers = callers;
        let tool = tool.with_plugin(&config.name).with_sandboxed(true);
        ProvidedTool::parse(full_name, tool, &self.input, self.output.as_deref())
    }

    /// Sets the description of an argument. Returns whether there is one of that name.
    pub(super) fn describe_argument(&mut self, argument: &str, text: &str) -> bool {
        let Ok(mut schema) = serde_json::from_str::<Value>(&self.input) else {
            return false;
        };
        let of = schema.pointer_mut("/properties");
        let of = of.and_then(Value::as_object_mut);
        let Some(Value::Object(of)) = of.and_then(|of| of.get_mut(argument)) else {
            return false;
        };
        of.insert("description".to_owned(), text.into());
        self.input = schema.to_string();
        true
    }
}
