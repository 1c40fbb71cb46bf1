//! A plugin of the concurrent engine: tools that wait with WASI 0.3, and attacks that only tasks,
//! streams and futures allow.

mod attacks;
mod tools;

use std::fmt::Display;

use exports::toolhost::concurrent::tools::{Call, Error, Guest, Output, Tool};
use futures::future::LocalBoxFuture;
use serde_json::{Value, json};
use toolhost::plugin::types::{Annotations, Content};

wit_bindgen::generate!({
    path: ["../../../wit/0.1.0", "../../../wit/concurrent-0.1.0"],
    world: "toolhost:concurrent/plugin",
    generate_all,
});

struct Concurrent;
export!(Concurrent);

impl Guest for Concurrent {
    fn list_tools() -> Vec<Tool> {
        let tool = |tool: &Behaviour| Tool {
            name: tool.name.into(),
            title: None,
            description: tool.description.into(),
            icons: vec![],
            input_schema: json!({ "type": "object" }).to_string(),
            output_schema: None,
            annotations: Annotations {
                read_only: None,
                destructive: None,
                idempotent: None,
                open_world: None,
            },
        };
        all().map(tool).collect()
    }

    async fn call_tool(call: Call) -> Answer {
        let Some(tool) = all().find(|tool| tool.name == call.name) else {
            return Err(Error::Failed(format!("no tool {}", call.name)));
        };
        let arguments = serde_json::from_str(&call.arguments)
            .map_err(|error| Error::InvalidArguments(error.to_string()))?;
        (tool.run)(arguments).await
    }
}

type Answer = Result<Output, Error>;

/// One tool.
struct Behaviour {
    name: &'static str,
    description: &'static str,
    run: fn(Value) -> LocalBoxFuture<'static, Answer>,
}

fn all() -> impl Iterator<Item = &'static Behaviour> {
    [tools::TOOLS, attacks::TOOLS].into_iter().flatten()
}

fn failed(error: impl Display) -> Error {
    Error::Failed(error.to_string())
}

fn text(text: impl Into<String>) -> Answer {
    Ok(Output {
        content: vec![Content::Text(text.into())],
        structured: None,
    })
}

fn string(arguments: &Value, name: &str) -> String {
    arguments[name].as_str().unwrap_or_default().to_owned()
}
