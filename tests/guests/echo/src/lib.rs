//! The guest of the benchmarks: a tool `echo` that answers its text. It has no WASI import and
//! as little of everything as it can, so that what is measured is the host and not the guest.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

#[cfg(target_arch = "wasm32")]
mod bare;
mod json;

use alloc::{string::String, vec, vec::Vec};
use exports::toolhost::plugin::tools::{Call, Error, Guest, Output, Tool};
use toolhost::plugin::types::{Annotations, Content};

wit_bindgen::generate!({ path: "../../../wit/0.1.0", world: "plugin" });

struct Echo;
export!(Echo);

impl Guest for Echo {
    fn list_tools() -> Vec<Tool> {
        vec![Tool {
            name: String::from("echo"),
            title: None,
            description: String::from("Answers the text that it is given."),
            icons: Vec::new(),
            input_schema: String::from(
                r#"{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}"#,
            ),
            output_schema: None,
            annotations: Annotations {
                read_only: Some(true),
                destructive: None,
                idempotent: Some(true),
                open_world: Some(false),
            },
        }]
    }

    fn call_tool(call: Call) -> Result<Output, Error> {
        match json::string_member(call.arguments, "text") {
            Ok(text) => Ok(Output {
                content: vec![Content::Text(text)],
                structured: None,
            }),
            Err(reason) => Err(Error::InvalidArguments(String::from(reason))),
        }
    }
}
