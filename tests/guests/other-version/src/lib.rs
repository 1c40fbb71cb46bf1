//! A good plugin, of a version of the interface that the host does not serve.

use exports::toolhost::plugin::tools::{Call, Error, Guest, Output, Tool};
use toolhost::plugin::types::{Annotations, Content};

wit_bindgen::generate!({ world: "plugin" });

struct OtherVersion;
export!(OtherVersion);

impl Guest for OtherVersion {
    fn list_tools() -> Vec<Tool> {
        vec![Tool {
            name: "other_version".into(),
            title: None,
            description: "Answers its arguments.".into(),
            input_schema: r#"{"type":"object"}"#.into(),
            output_schema: None,
            annotations: Annotations {
                read_only: None,
                destructive: None,
                idempotent: None,
                open_world: None,
            },
        }]
    }

    fn call_tool(call: Call) -> Result<Output, Error> {
        Ok(Output {
            content: vec![Content::Text(call.arguments)],
            structured: None,
        })
    }
}
