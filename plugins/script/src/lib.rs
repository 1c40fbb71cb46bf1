//! Runs a program of the model, in JavaScript or TypeScript, that calls the host's other tools.

mod console;
mod engine;
mod erase;
mod source;

use std::fmt::Write;

use engine::Ran;
use serde::Serialize;
use serde_json::value::RawValue;
use toolhost_plugin::{Error, Output, arguments, config, plugin, tool};

plugin!(run_script);

/// The longest value, in bytes of its JSON, unless `max-value` says otherwise.
const MAX_VALUE: usize = 256 << 10;

/// The JSON Schema of what the tool answers.
const ANSWER: &str = r#"{"type":"object","properties":{"value":{"description":"What the script returned."},"console":{"type":"array","items":{"type":"string"},"description":"What it printed."}},"required":["value"]}"#;

#[arguments]
#[serde(deny_unknown_fields)]
struct Script {
    /// The program. Top-level `await` and `return` are allowed; without a `return`, its last expression is its value.
    code: String,
}

#[derive(Serialize)]
struct Answer<'a> {
    value: &'a RawValue,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    console: &'a [String],
}

/// Runs a JavaScript or TypeScript program that calls other tools as async functions, `await tools.NAME(args)`, and
/// returns its value. Use one program where several calls would be needed: run independent calls together with
/// `Promise.all`, loop over results, filter them, and return only what is needed. A tool returns its structured output, or
/// else its text. A call that fails throws an error with the properties `code`, `message` and `tool`.
///
/// The value is JSON: what the program returns, or its last expression. `console.log` is shown as well. There are timers,
/// but no files, network, modules or Node.js: everything else is done by tools. `await tools.search("words")` finds tools,
/// `await tools.describe("NAME")` says how one is called.
///
/// ${tools}
#[tool(title = "Run a script", open_world, output_schema = ANSWER)]
fn run_script(args: Script) -> Result<Output, Error> {
    let program = source::prepare(&args.code).map_err(|error| Error::failed(error.to_string()))?;
    let Ran { value, console } = engine::run(&program)?;
    let value = match value {
        Ok(value) => value,
        Err(message) => return Err(Error::failed(failure(message, &console))),
    };
    let most = config("max-value").and_then(|most| most.parse().ok());
    let most = most.unwrap_or(MAX_VALUE);
    if value.len() > most {
        return Err(Error::failed(format!(
            "the value has {} bytes as JSON, over the {most} allowed: return less of it, such as a count, a part or a \
             summary",
            value.len()
        )));
    }
    let json: &RawValue = serde_json::from_str(&value)?;
    // A string reads better as it is.
    let text = match serde_json::from_str::<String>(&value) {
        Ok(text) => text,
        Err(_) => value.clone(),
    };
    let mut output = Output::text(text);
    if !console.is_empty() {
        output = output.with_text(format!("console:\n{}", console.join("\n")));
    }
    output.with_structured(&Answer {
        value: json,
        console: &console,
    })
}

/// Why a program failed, with the end of what it printed.
fn failure(mut message: String, console: &[String]) -> String {
    const LAST: usize = 20;
    if !console.is_empty() {
        message += "\nconsole:";
        for line in &console[console.len().saturating_sub(LAST)..] {
            let _ = write!(message, "\n{line}");
        }
    }
    message
}
