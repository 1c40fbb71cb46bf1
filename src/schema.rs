//! A tool's JSON Schema, compiled once, and arguments held against it.

use jsonschema::Validator;
use serde_json::Value;

use crate::error::{ArgumentProblem, CallError};

/// Problems told to the model at once: enough to mend a call, few enough to read.
const MAX_PROBLEMS: usize = 5;

/// The longest message of one problem, in characters; schemas can hold long lists.
const MAX_MESSAGE: usize = 400;

/// A schema's text may be no longer: each tool's is held in memory and shown to the model.
const MAX_SCHEMA: usize = 256 << 10;

#[derive(Debug)]
pub(crate) struct Schema(Validator);

impl Schema {
    /// Parses and compiles a schema of objects. It never leaves the process: a `$ref` to anywhere
    /// but the schema itself is an error.
    pub(crate) fn parse(json: &str) -> Result<(Value, Schema), String> {
        if json.len() > MAX_SCHEMA {
            return Err(format!("has {} bytes, of at most {MAX_SCHEMA}", json.len()));
        }
        let value: Value =
            serde_json::from_str(json).map_err(|error| format!("is not JSON: {error}"))?;
        if !value.is_object() {
            return Err(format!("is {}, not an object", kind(&value)));
        }
        let validator = jsonschema::options()
            .offline()
            .build(&value)
            .map_err(|error| {
                let at = error.instance_path().to_string();
                let message = shorten(error.masked().to_string());
                match at.as_str() {
                    "" => format!("is not a valid JSON Schema: {message}"),
                    at => format!("is not a valid JSON Schema: {at}: {message}"),
                }
            })?;
        Ok((value, Schema(validator)))
    }

    /// Checks the text of a call's arguments.
    pub(crate) fn check(&self, arguments: &str) -> Result<(), CallError> {
        let value: Value = serde_json::from_str(arguments)
            .map_err(|error| CallError::invalid_arguments("", format!("not JSON: {error}")))?;
        if !value.is_object() {
            let message = format!("must be a JSON object, and is {}", kind(&value));
            return Err(CallError::invalid_arguments("", message));
        }
        if self.0.is_valid(&value) {
            return Ok(());
        }
        let problems = self
            .0
            .iter_errors(&value)
            .take(MAX_PROBLEMS)
            .map(|error| ArgumentProblem {
                pointer: error.instance_path().to_string(),
                // The value itself may be as long as the arguments, and the model knows it.
                message: shorten(error.masked().to_string()),
            })
            .collect();
        Err(CallError::InvalidArguments { problems })
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn shorten(message: String) -> String {
    match message.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message,
    }
}
