//! What the plugins that run programs of a model have in common: fences around the text, what it prints, and the answer.

mod console;

use std::fmt::Write;

pub use console::Console;
use serde::Serialize;
use serde_json::value::RawValue;
use toolhost_plugin::{Error, Output, config};

/// The longest value, in bytes of its JSON, unless `max-value` says otherwise.
const MAX_VALUE: usize = 256 << 10;

/// The JSON Schema of what the tools answer.
pub const ANSWER: &str = r#"{"type":"object","properties":{"value":{"description":"What the script returned."},"console":{"type":"array","items":{"type":"string"},"description":"What it printed."}},"required":["value"]}"#;

#[derive(Serialize)]
struct Answer<'a> {
    value: &'a RawValue,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    console: &'a [String],
}

/// The code in a Markdown fence, if there is one, and how many lines are before it.
#[must_use]
pub fn without_fences(source: &str) -> (&str, usize) {
    let trimmed = source.trim_start_matches('\u{feff}').trim_start();
    if !trimmed.starts_with("```") {
        return (source, 0);
    }
    let Some(first) = trimmed.find('\n') else {
        return (source, 0);
    };
    let skipped = source.len() - trimmed.len() + first + 1;
    let code = &source[skipped..];
    let end = code
        .rfind("```")
        .filter(|end| code[*end..].trim_end() == "```");
    let before = source[..skipped].matches('\n').count();
    (&code[..end.unwrap_or(code.len())], before)
}

/// The beginning of a line of a program.
#[must_use]
pub fn shown(line: &str) -> &str {
    const MOST: usize = 120;
    &line[..line.floor_char_boundary(MOST)]
}

/// As much of what a program says as a model reads.
#[must_use]
pub fn beginning(text: &str) -> String {
    const MOST: usize = 4 << 10;
    match text.len() > MOST {
        true => format!("{}…", &text[..text.floor_char_boundary(MOST)]),
        false => text.to_owned(),
    }
}

/// What a program's tool answers: its value as JSON, or why it has none, with what it printed.
///
/// # Errors
///
/// It has no value, or too long a one.
pub fn answer(value: Result<String, String>, console: Console) -> Result<Output, Error> {
    let console = console.into_lines();
    let value = value.map_err(|message| Error::failed(failure(message, &console)))?;
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
