//! A plugin but for its list of tools: the `listing-*` guests differ in nothing else.

pub use exports::toolhost::plugin::tools::{Call, Error, Guest, Output, Tool};
use toolhost::plugin::types::{Annotations, Content};

wit_bindgen::generate!({
    path: "../../../wit/0.1.0",
    world: "plugin",
    pub_export_macro: true,
    export_macro_name: "export",
    default_bindings_module: "listing",
});

/// The input schema of a tool that takes anything.
pub const ANYTHING: &str = r#"{"type":"object"}"#;

/// A plugin that lists these tools.
#[macro_export]
macro_rules! plugin {
    ($tools:expr) => {
        struct Plugin;

        impl $crate::Guest for Plugin {
            fn list_tools() -> Vec<$crate::Tool> {
                $tools
            }

            fn call_tool(call: $crate::Call) -> Result<$crate::Output, $crate::Error> {
                $crate::answer(call)
            }
        }

        $crate::export!(Plugin);
    };
}

/// A tool with this name and input schema.
pub fn tool(name: impl Into<String>, input_schema: impl Into<String>) -> Tool {
    Tool {
        name: name.into(),
        title: None,
        description: "Answers its name and its arguments.".into(),
        icons: vec![],
        input_schema: input_schema.into(),
        output_schema: None,
        annotations: Annotations {
            read_only: None,
            destructive: None,
            idempotent: None,
            open_world: None,
        },
    }
}

/// What every tool of these plugins answers.
pub fn answer(call: Call) -> Result<Output, Error> {
    Ok(Output {
        content: vec![Content::Text(format!(
            "{} got {}",
            call.name, call.arguments
        ))],
        structured: None,
    })
}
