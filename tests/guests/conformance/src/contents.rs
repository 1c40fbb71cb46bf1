//! Tools that answer at once.

use crate::{PIXEL, SILENCE, embedded};
use std::thread::sleep;
use std::time::Duration;
use toolhost_plugin::serde_json::Value;
use toolhost_plugin::{Content, Error, Output, arguments, config, log, progress, tool};

const MOMENT: Duration = Duration::from_millis(50);

/// Answers one text.
#[tool(
    title = "Simple text",
    icon = "https://example.com/text.png",
    read_only,
    idempotent,
    closed_world
)]
pub(crate) fn test_simple_text() -> &'static str {
    "This is a simple text response for testing."
}

/// Answers one image.
#[tool(read_only)]
pub(crate) fn test_image_content() -> Output {
    Output::new().with_image("image/png", PIXEL.into())
}

/// Answers one sound.
#[tool(read_only)]
pub(crate) fn test_audio_content() -> Output {
    Output::new().with_audio("audio/wav", SILENCE.into())
}

/// Answers one embedded resource.
#[tool(read_only)]
pub(crate) fn test_embedded_resource() -> Content {
    embedded(
        "test://embedded-resource",
        "text/plain",
        "This is an embedded resource content.",
    )
}

/// Answers contents of several kinds.
#[tool(read_only)]
pub(crate) fn test_multiple_content_types() -> Output {
    Output::text("Multiple content types test:")
        .with_image("image/png", PIXEL.into())
        .with(embedded(
            "test://mixed-content-resource",
            "application/json",
            r#"{"test":"data","value":123}"#,
        ))
}

/// Always fails.
#[tool]
pub(crate) fn test_error_handling() -> Result<(), Error> {
    Err(Error::failed(
        "This tool intentionally returns an error for testing",
    ))
}

/// Reports its progress: 0, 50 and 100 of 100.
#[tool]
pub(crate) fn test_tool_with_progress() -> &'static str {
    for (done, message) in [(0.0, "Starting"), (50.0, "Halfway"), (100.0, "Complete")] {
        if done > 0.0 {
            sleep(MOMENT);
        }
        progress(done, Some(100.0), Some(message));
    }
    "Progress test completed"
}

/// Logs three lines.
#[tool]
pub(crate) fn test_tool_with_logging() -> &'static str {
    log::info("Tool execution started");
    sleep(MOMENT);
    log::info("Tool processing data");
    sleep(MOMENT);
    log::info("Tool execution completed");
    "Logging test completed"
}

/// Logs one line of every level.
#[tool]
pub(crate) fn test_logging_tool() -> &'static str {
    log::debug("a debug line");
    log::info("an info line");
    log::notice("a notice line");
    log::warn("a warning line");
    log::error("an error line");
    "Logging tool completed"
}

/// Takes a moment, in which a client may lose its connection.
#[tool]
pub(crate) fn test_reconnection() -> &'static str {
    sleep(2 * MOMENT);
    "Reconnection test completed"
}

const SCHEMA_2020_12: &str = r##"{
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": { "street": { "type": "string" }, "city": { "type": "string" } }
        }
    },
    "properties": {
        "name": { "type": "string" },
        "address": { "$ref": "#/$defs/address" },
        "contactMethod": { "type": "string", "enum": ["phone", "email"] },
        "phone": { "type": "string" },
        "email": { "type": "string" }
    },
    "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
    "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
    "then": { "required": ["phone"] },
    "else": { "required": ["email"] },
    "additionalProperties": false
}"##;

/// Tool with JSON Schema 2020-12 features
#[tool(input_schema = SCHEMA_2020_12)]
pub(crate) fn json_schema_2020_12_tool(args: Value) -> String {
    format!("JSON Schema 2020-12 tool called with: {args}")
}

#[arguments]
pub(crate) struct CustomHeader {
    #[schemars(extend("x-mcp-header" = "Value"))]
    value: String,
}

/// Has an argument that is in a header of the request too.
#[tool]
pub(crate) fn test_custom_header(args: CustomHeader) -> String {
    args.value
}

/// Changes the file that the host watches, and so has it read the tools again.
#[tool]
pub(crate) fn test_trigger_tool_change() -> Result<&'static str, Error> {
    trigger()?;
    Ok("Tool list change triggered")
}

/// Changes the file that the host watches, and so has it read the prompts again.
#[tool]
pub(crate) fn test_trigger_prompt_change() -> Result<&'static str, Error> {
    trigger()?;
    Ok("Prompt list change triggered")
}

/// Adds a comment to the file that the configuration's `trigger` names, or takes it away.
fn trigger() -> Result<(), Error> {
    const COMMENT: &str = "# triggered\n";
    let path = config("trigger")
        .ok_or_else(|| Error::denied("`trigger` of the configuration has to name a file"))?;
    let text = std::fs::read_to_string(&path)?;
    let text = match text.strip_suffix(COMMENT) {
        Some(text) => text.to_owned(),
        None if text.ends_with('\n') || text.is_empty() => text + COMMENT,
        None => text + "\n" + COMMENT,
    };
    Ok(std::fs::write(path, text)?)
}
