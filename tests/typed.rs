//! Components without the plugin interface, whose functions are tools. The components are made from
//! WIT by `toolhost_testing::typed`; those in `elsewhere` were made by others.

mod asynchronous;
mod bounds;
mod built;
mod commands;
mod elsewhere;
mod manifest;
mod modules;
mod names;
mod random;
mod refused;
mod values;

use serde_json::Value;
use toolhost::error::Location;
use toolhost::manifest::PluginConfig;
use toolhost::{CallError, LoadError, ToolHost};

use crate::common::binary::Folder;
use crate::common::typed::{SPILLED, returning};
use crate::common::{call, load, manifest, try_load};

/// A host of one component.
struct Typed {
    host: ToolHost,
    /// Kept for its file.
    _folder: Folder,
}

impl Typed {
    async fn new(component: impl AsRef<[u8]>) -> Typed {
        Typed::with(component, |plugin| plugin).await
    }

    async fn with(
        component: impl AsRef<[u8]>,
        change: impl FnOnce(PluginConfig) -> PluginConfig,
    ) -> Typed {
        let folder = Folder::empty();
        let path = folder.write("typed.wasm", component);
        let plugin = change(PluginConfig::new("typed", path));
        Typed {
            host: load(manifest([plugin])).await,
            _folder: folder,
        }
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.host.tools().map(|tool| &*tool.name).collect();
        names.sort_unstable();
        names
    }

    async fn call(&self, tool: &str, arguments: Value) -> Result<Value, CallError> {
        let output = self.host.call(call(tool, arguments)).await.outcome?;
        let structured = output.structured.expect("a function has structured output");
        Ok(serde_json::from_str(structured.get()).unwrap())
    }

    /// What a function of one argument returns, without the object around it.
    async fn returned(&self, tool: &str, argument: Value) -> Result<Value, CallError> {
        let arguments = serde_json::json!({ "x": argument });
        let structured = self.call(tool, arguments).await?;
        Ok(match structured.get("result") {
            Some(result) => result.clone(),
            None => structured,
        })
    }
}

/// A component with a function `f` that returns its argument `x`.
fn returning_one(declarations: &str, ty: &str) -> Vec<u8> {
    returning(&format!(
        "package test:typed; interface api {{ {declarations} f: func(x: {ty}, {SPILLED}) -> {ty}; }} \
         world w {{ export api; }}"
    ))
}

/// Why a component is refused.
async fn refused(component: impl AsRef<[u8]>) -> String {
    refused_with(component, |plugin| plugin).await
}

async fn refused_with(
    component: impl AsRef<[u8]>,
    change: impl FnOnce(PluginConfig) -> PluginConfig,
) -> String {
    let folder = Folder::empty();
    let path = folder.write("typed.wasm", component);
    let plugin = change(PluginConfig::new("typed", path));
    match try_load(manifest([plugin])).await {
        Err(LoadError::Invalid(problems)) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            problems.join("\n")
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it loads"),
    }
}

/// Where something is in a manifest that is made in code.
fn at() -> Location {
    Location { line: 1, column: 1 }
}
