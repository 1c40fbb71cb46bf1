//! Structured output, held against the tool's schema.

use serde_json::value::RawValue;

use crate::schema::Schema;
use crate::tool::{Content, Output};

/// Objects and arrays in one another that a structured output may have: what reads it need not take
/// more.
const MAX_NESTING: usize = 128;

/// # Errors
///
/// The structured output is not JSON, nested too deep, or not what the tool's `schema` says.
pub(crate) fn checked_output(
    content: Vec<Content>,
    structured: Option<String>,
    schema: Option<&Schema>,
) -> Result<Output, String> {
    if let Some(schema) = schema {
        let Some(json) = &structured else {
            return Err(
                "it has an output schema, and answered without structured output".to_owned(),
            );
        };
        schema
            .check_json(json)
            .map_err(|message| format!("its structured output {message}"))?;
    }
    let structured = match structured {
        None => None,
        Some(json) if is_deeper(&json, MAX_NESTING) => {
            return Err(format!(
                "its structured output is nested deeper than {MAX_NESTING}"
            ));
        }
        Some(json) => Some(
            RawValue::from_string(json)
                .map_err(|error| format!("its structured output is not JSON: {error}"))?,
        ),
    };
    Ok(Output {
        content,
        structured,
        ..Output::default()
    })
}

/// Whether JSON has more than so many objects and arrays in one another.
fn is_deeper(json: &str, most: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > most {
            return true;
        }
    }
    false
}
