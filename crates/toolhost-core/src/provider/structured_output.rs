//! Validation of structured output against the tool's schema.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::RunOutcome;
use crate::error::CallError;
use crate::json_text::StringScanner;
use crate::schema::Schema;
use crate::schema::check_scheduling::{Allowed, apart, at_once};
use crate::tool::{Content, Output};

/// The most nested objects and arrays in structured output: its readers may not accept more.
const MAX_NESTING: usize = 128;

/// # Errors
///
/// The structured output is not JSON, or nested too deep.
pub fn output(content: Vec<Content>, structured: Option<String>) -> Result<Output, String> {
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
    Ok(Output::new(content).with_structured(structured))
}

/// Validates structured output against its tool's schema: what is wrong with it, and the CPU time
/// this took.
///
/// # Errors
///
/// The deadline of the call has passed.
pub async fn mismatch(
    structured: Option<&RawValue>,
    schema: Option<&Arc<Schema>>,
    allowed: Allowed<'_>,
) -> (Result<Option<String>, CallError>, Duration) {
    let Some(schema) = schema else {
        return (Ok(None), Duration::ZERO);
    };
    let Some(json) = structured.map(RawValue::get) else {
        let message = "the tool has an output schema but returned no structured output";
        return (Ok(Some(message.to_owned())), Duration::ZERO);
    };
    let (found, spent) = match at_once(json.len(), |watch| schema.check_json(json, watch)) {
        Some(found) => (Ok(found), Duration::ZERO),
        None => {
            let (schema, json) = (schema.clone(), json.to_owned());
            apart(allowed, move |watch| schema.check_json(&json, watch)).await
        }
    };
    let problem = found.map(|found| {
        let problem = found.err();
        problem.map(|message| format!("its structured output {message}"))
    });
    (problem, spent)
}

/// The outcome, unless its structured output violates the tool's schema.
pub async fn validated(
    mut served: RunOutcome,
    schema: Option<&Arc<Schema>>,
    allowed: Allowed<'_>,
) -> RunOutcome {
    let Ok(output) = &served.outcome else {
        return served;
    };
    let (problem, spent) = mismatch(output.structured.as_deref(), schema, allowed).await;
    served.cpu += spent;
    match problem {
        Ok(None) => {}
        Ok(Some(message)) => served.outcome = Err(CallError::Failed { message }),
        Err(error) => served.outcome = Err(error),
    }
    served
}

/// Whether JSON is nested deeper than `most`.
fn is_deeper(json: &str, most: usize) -> bool {
    let (mut depth, mut strings) = (0_usize, StringScanner::default());
    for byte in json.bytes() {
        match byte {
            _ if strings.push(byte) => {}
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
