//! Results as the model sees them: long ones compacted, to be read on by a tool of the agent's own;
//! those that fail again and again with a word on it.

use std::collections::HashMap;
use std::sync::Arc;

use toolhost_core::error::CallError;
use toolhost_core::provider::ToolProvider;
pub(super) use toolhost_core::results::READ_RESULT;
use toolhost_core::results::{LongResults, ResultStore};
use toolhost_core::tool::{Output, ToolCall, ToolResult};
use toolhost_core::watch::Owner;

/// Failures of one call, the same to the letter, from which on the model is told.
const REPEATED: usize = 3;

/// The results of a conversation that are not shown whole, and the calls that failed.
pub(super) struct Results {
    long: Arc<LongResults>,
    /// Those that the transcript does not have yet.
    new: Vec<(String, String)>,
    failures: HashMap<(String, String), usize>,
}

impl Results {
    pub(super) fn new(max_chars: usize) -> Self {
        let store = Arc::new(ResultStore::of_one());
        Results {
            long: Arc::new(LongResults::new("agent", max_chars, READ_RESULT, store)),
            new: Vec::new(),
            failures: HashMap::new(),
        }
    }

    /// What offers the tool that reads them.
    pub(super) fn provider(&self) -> Arc<dyn ToolProvider> {
        self.long.clone()
    }

    /// Results that were stored before.
    pub(super) fn restore(&mut self, stored: Vec<(String, String)>) {
        for (id, whole) in stored {
            self.long.restore(id, whole, &Owner::Only);
        }
    }

    /// Results that were stored since this was asked for last.
    pub(super) fn take_new(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.new)
    }

    /// The text that the model gets instead of the result's own, if it is another.
    pub(super) fn text(&mut self, call: &ToolCall, result: &ToolResult) -> Option<String> {
        if self.long.is_read_by(&call.name) && result.outcome.is_ok() {
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
        if !self.long.is_long(&whole) {
            return None;
        }
        let compacted = self.long.compact(result, whole.clone(), &Owner::Only);
        self.new.extend(compacted.id.map(|id| (id, whole)));
        Some(compacted.text)
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
