//! Results as the model sees them: long ones compacted, to be read on by a tool of the agent's own;
//! those that fail again and again with a word on it.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::json;

use crate::error::CallError;
use crate::schema::Schema;
use crate::summarize::Summarize;
use crate::tool::{Annotations, Output, Tool, ToolCall, ToolResult, Usage};

/// The name of the tool that reads compacted results.
pub(super) const READ_RESULT: &str = "read_result";

/// Failures of one call, the same to the letter, from which on the model is told.
const REPEATED: usize = 3;

/// The tool that reads compacted results.
pub(super) fn read_result() -> Tool {
    Tool {
        name: READ_RESULT.to_owned(),
        title: None,
        description:
            "Reads on in a result that was too long to be shown whole. The result says its id."
                .to_owned(),
        icons: Vec::new(),
        input_schema: schema(),
        output_schema: None,
        annotations: Annotations {
            read_only: Some(true),
            open_world: Some(false),
            ..Annotations::default()
        },
        allowed_callers: Vec::new(),
        plugin: String::new(),
        sandboxed: true,
    }
}

fn schema() -> serde_json::Value {
    json!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "description": "The result's id, such as r1" },
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

/// The results of a conversation that are not shown whole, and the calls that failed.
pub(super) struct Results {
    max_chars: usize,
    whole: BTreeMap<String, String>,
    /// Those that the transcript does not have yet.
    new: Vec<(String, String)>,
    failures: HashMap<(String, String), usize>,
    arguments: Schema,
}

impl Results {
    pub(super) fn new(max_chars: usize) -> Self {
        let (_, arguments) = Schema::parse(&schema().to_string()).expect("the schema is valid");
        Results {
            max_chars,
            whole: BTreeMap::new(),
            new: Vec::new(),
            failures: HashMap::new(),
            arguments,
        }
    }

    /// Results that were stored before.
    pub(super) fn restore(&mut self, stored: Vec<(String, String)>) {
        self.whole.extend(stored);
    }

    /// Results that were stored since this was asked for last.
    pub(super) fn take_new(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.new)
    }

    /// The text that the model gets instead of the result's own, if it is another.
    pub(super) fn text(&mut self, call: &ToolCall, result: &ToolResult) -> Option<String> {
        if call.name == READ_RESULT && result.outcome.is_ok() {
            return None;
        }
        let key = key(call);
        match &result.outcome {
            // Nobody's failure.
            Err(CallError::Cancelled) => None,
            Err(_) => {
                let failures = self.failures.entry(key).or_default();
                *failures += 1;
                (*failures >= REPEATED).then(|| {
                    format!(
                        "{}\nNote: this same call, with these same arguments, has now failed {failures} times. \
                         Do not repeat it: change the arguments, use another tool, or answer without it.",
                        result.to_text()
                    )
                })
            }
            Ok(output) => {
                self.failures.remove(&key);
                self.compacted(result, output)
            }
        }
    }

    fn compacted(&mut self, result: &ToolResult, output: &Output) -> Option<String> {
        let whole = output.to_text();
        let total = whole.chars().count();
        if total <= self.max_chars {
            return None;
        }
        let id = format!("r{}", self.whole.len() + 1);
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
        text.push_str(&format!(
            "\n[compacted: the whole result has {total} characters; \
             {READ_RESULT} with the id \"{id}\" reads it from any offset]"
        ));
        self.whole.insert(id.clone(), whole.clone());
        self.new.push((id, whole));
        Some(text)
    }

    /// Serves a call of [`READ_RESULT`].
    pub(super) fn read(&self, call: &ToolCall) -> ToolResult {
        ToolResult {
            id: call.id.clone(),
            name: call.name.clone(),
            outcome: self.slice(call).map(Output::text),
            usage: Usage::default(),
            log: Vec::new(),
            origin: call.origin.clone(),
        }
    }

    fn slice(&self, call: &ToolCall) -> Result<String, CallError> {
        #[derive(Deserialize)]
        struct Arguments {
            id: String,
            #[serde(default)]
            offset: f64,
            limit: Option<f64>,
        }
        let arguments = call.json_arguments(&schema())?;
        self.arguments.check(&arguments)?;
        let asked: Arguments = serde_json::from_str(&arguments)
            .map_err(|error| CallError::invalid_arguments("", error.to_string()))?;
        let Some(whole) = self.whole.get(&asked.id) else {
            let known: Vec<&str> = self.whole.keys().map(String::as_str).collect();
            let known = match known.is_empty() {
                true => "no result was compacted".to_owned(),
                false => format!("there are {}", known.join(", ")),
            };
            let message = format!("no result has the id {:?}; {known}", asked.id);
            return Err(CallError::invalid_arguments("/id", message));
        };
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
        Ok(match end == total {
            true => format!("{part}\n[characters {offset} to {end}: the end of the result]"),
            false => format!("{part}\n[characters {offset} to {end} of {total}]"),
        })
    }
}

/// What makes two calls the same: the tool, and the arguments, however they are spelt.
pub(super) fn key(call: &ToolCall) -> (String, String) {
    let text = call.arguments.trim();
    let text = if text.is_empty() { "{}" } else { text };
    let arguments = match serde_json::from_str::<serde_json::Value>(text) {
        Ok(mut value) => {
            value.sort_all_objects();
            value.to_string()
        }
        Err(_) => text.to_owned(),
    };
    (call.name.clone(), arguments)
}
