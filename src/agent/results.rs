//! Results as the model sees them: long ones compacted, to be read on by a tool of the agent's own;
//! those that fail again and again with a word on it.

use std::collections::{BTreeMap, HashMap};

use crate::error::CallError;
pub(super) use crate::results::READ_RESULT;
use crate::results::{self, Compactor};
use crate::tool::{Output, ToolCall, ToolResult};
use crate::wire::leaks;

/// Whether a call of that name reads a compacted result.
pub(super) fn is_read_result(name: &str) -> bool {
    leaks::find(name, |name| name == READ_RESULT).is_some()
}

/// Failures of one call, the same to the letter, from which on the model is told.
const REPEATED: usize = 3;

/// The results of a conversation that are not shown whole, and the calls that failed.
pub(super) struct Results {
    compactor: Compactor,
    whole: BTreeMap<String, String>,
    /// Those that the transcript does not have yet.
    new: Vec<(String, String)>,
    failures: HashMap<(String, String), usize>,
}

impl Results {
    pub(super) fn new(max_chars: usize) -> Self {
        Results {
            compactor: Compactor::new(max_chars, READ_RESULT),
            whole: BTreeMap::new(),
            new: Vec::new(),
            failures: HashMap::new(),
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
        if is_read_result(&call.name) && result.outcome.is_ok() {
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
        if !self.compactor.is_long(&whole) {
            return None;
        }
        let id = format!("r{}", self.whole.len() + 1);
        let text = self.compactor.compact(result, &whole, Some(&id));
        self.whole.insert(id.clone(), whole.clone());
        self.new.push((id, whole));
        Some(text)
    }

    /// Serves a call of [`READ_RESULT`].
    pub(super) fn read(&self, call: &ToolCall) -> ToolResult {
        results::read(call, self.slice(&call.arguments))
    }

    fn slice(&self, arguments: &str) -> Result<String, CallError> {
        let asked = self.compactor.asked(arguments)?;
        let Some(whole) = self.whole.get(&asked.id) else {
            let known: Vec<&str> = self.whole.keys().map(String::as_str).collect();
            let known = match known.is_empty() {
                true => "no result was compacted".to_owned(),
                false => format!("there are {}", known.join(", ")),
            };
            let message = format!("no result has the id {:?}; {known}", asked.id);
            return Err(CallError::invalid_arguments("/id", message));
        };
        Ok(self.compactor.part(whole, &asked))
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
