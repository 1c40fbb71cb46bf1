//! Results that are too long to be shown whole: they are compacted, and a tool reads on in them.

use serde::Deserialize;
use serde_json::json;

use crate::error::CallError;
use crate::schema::Schema;
use crate::summarize::Summarize;
use crate::tool::{Annotations, Tool, ToolResult};

/// The name of the tool that reads compacted results.
pub(crate) const READ_RESULT: &str = "read_result";

/// The tool that reads compacted results, under a name.
pub(crate) fn read_result(name: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        description:
            "Reads on in a result that was too long to be shown whole. The result says its id."
                .to_owned(),
        input_schema: schema(),
        annotations: Annotations {
            read_only: Some(true),
            open_world: Some(false),
            ..Annotations::default()
        },
        sandboxed: true,
        ..Tool::default()
    }
}

fn schema() -> serde_json::Value {
    json!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "description": "The result's id, as the result says it" },
            "offset": {
                "type": "integer",
                "minimum": 0,
                "description": "The first character to read, from 0 (the default)",
            },
            "limit": {
                "type": "integer",
                "minimum": 1,
                "description": "How many characters to read; by default, and at most, as many as a result may have",
            },
        },
        "required": ["id"],
        "additionalProperties": false,
    })
}

/// Compacts results, and reads on in them.
pub(crate) struct Compactor {
    pub(crate) max_chars: usize,
    /// The tool that reads.
    pub(crate) tool: String,
    arguments: Schema,
}

/// What is read.
#[derive(Deserialize)]
pub(crate) struct Asked {
    /// Of which result.
    pub(crate) id: String,
    #[serde(default)]
    offset: f64,
    limit: Option<f64>,
}

impl Compactor {
    pub(crate) fn new(max_chars: usize, tool: impl Into<String>) -> Self {
        let (_, arguments) = Schema::parse(&schema().to_string()).expect("the schema is valid");
        Compactor {
            max_chars,
            tool: tool.into(),
            arguments,
        }
    }

    /// Whether a result's text is too long to be shown whole.
    pub(crate) fn is_long(&self, whole: &str) -> bool {
        // Most are short: no character has less than a byte.
        whole.len() > self.max_chars && whole.chars().nth(self.max_chars).is_some()
    }

    /// What is shown of a result whose text is too long. Where it is kept, `id` is what it is read by.
    pub(crate) fn compact(&self, result: &ToolResult, whole: &str, id: Option<&str>) -> String {
        let summary = Summarize {
            chars: Summarize::default().chars.min(self.max_chars),
            ..Summarize::default()
        };
        let mut text = summary.text(result);
        // A few items may be as long as many.
        if let Some((end, _)) = text.char_indices().nth(self.max_chars) {
            text.truncate(end);
            text.push_str("\n[cut]");
        }
        let total = whole.chars().count();
        let more = match id {
            Some(id) => format!(
                "{} with the id \"{id}\" reads it from any offset",
                self.tool
            ),
            None => "it is too long to be kept: ask for less".to_owned(),
        };
        text.push_str(&format!(
            "\n[compacted: the whole result has {total} characters; {more}]"
        ));
        text
    }

    /// What a call of the tool asks for.
    ///
    /// # Errors
    ///
    /// The arguments are not the tool's.
    pub(crate) fn asked(&self, arguments: &str) -> Result<Asked, CallError> {
        let fitted = self.arguments.fit(&schema(), arguments)?;
        serde_json::from_str(&fitted.text)
            .map_err(|error| CallError::invalid_arguments("", error.to_string()))
    }

    /// The part of a result that is asked for.
    pub(crate) fn part(&self, whole: &str, asked: &Asked) -> String {
        let total = whole.chars().count();
        // Whole numbers by the schema; a cast takes what is too large for the largest.
        let offset = (asked.offset as usize).min(total);
        let limit = asked.limit.map_or(self.max_chars, |limit| limit as usize);
        let part: String = whole
            .chars()
            .skip(offset)
            .take(limit.clamp(1, self.max_chars))
            .collect();
        let end = offset + part.chars().count();
        match end == total {
            true => format!("{part}\n[characters {offset} to {end}: the end of the result]"),
            false => format!("{part}\n[characters {offset} to {end} of {total}]"),
        }
    }
}
