//! The plugins that ship, as a model meets them: through a host.

mod calculator;
mod fetch;
mod filesystem;
mod html;
mod json;
mod memory;
mod reference;
mod script;
mod script_python;
mod sdk;
mod server;
mod sql;
mod test262;
mod text;
mod time;

use std::time::Duration;

use serde_json::Value;
use toolhost::ToolResult;
use toolhost::manifest::PluginConfig;
use toolhost::tool::Content;

use crate::common::{self, error};

/// The same guest once more, with little time for a call; its tools begin with `hasty_`.
fn hasty(guest: &str) -> PluginConfig {
    let mut plugin = PluginConfig::new(format!("hasty-{guest}"), common::guest(guest));
    plugin.prefix = "hasty_".to_owned();
    plugin.limits.timeout = Duration::from_millis(500);
    plugin
}

/// The structured part of an answer, which must also be its text.
#[track_caller]
fn structured(result: &ToolResult) -> Value {
    let text = common::text(result);
    let output = result.outcome.as_ref().expect("an answer");
    let structured = output.structured.as_ref().expect("structured output");
    assert_eq!(structured.get(), text);
    serde_json::from_str(&text).unwrap()
}

/// The texts of an answer, one by one: what was asked for, and then what there is to know about it.
#[track_caller]
fn texts(result: &ToolResult) -> Vec<&str> {
    let output = match &result.outcome {
        Ok(output) => output,
        Err(error) => panic!("{}: {error}", result.name),
    };
    let texts = output.content.iter().map(|content| match content {
        Content::Text(text) => &**text,
        other => panic!("{other:?} is no text"),
    });
    texts.collect()
}

/// That the result is an error with this code whose message has these words.
#[track_caller]
fn assert_error(result: &ToolResult, code: &str, words: &str) {
    let error = error(result);
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}
