//! Results for the model: long ones compacted, to be read on with a tool of the agent; a note on
//! calls that fail repeatedly.

use std::collections::HashMap;
use std::sync::Arc;

use toolhost_core::error::CallError;
use toolhost_core::provider::ToolProvider;
pub(super) use toolhost_core::result_store::READ_RESULT;
use toolhost_core::result_store::{LongResults, ResultStore};
use toolhost_core::tool::{Output, ToolCall, ToolResult};
use toolhost_core::watch::Owner;

/// The number of failures of the same call from which on the model is told.
const REPEATED: usize = 3;

/// The results of a conversation that were not shown whole, and the calls that failed.
pub(super) struct ModelResults {
    long: Arc<LongResults>,
    /// Results that are not in the transcript yet.
    new: Vec<(String, String)>,
    failures: HashMap<(String, String), usize>,
}

impl ModelResults {
    pub(super) fn new(max_chars: usize) -> Self {
        let store = Arc::new(ResultStore::of_one());
        ModelResults {
            long: Arc::new(LongResults::new("agent", max_chars, READ_RESULT, store)),
            new: Vec::new(),
            failures: HashMap::new(),
        }
    }

    /// The provider of the reading tool.
    pub(super) fn provider(&self) -> Arc<dyn ToolProvider> {
        self.long.clone()
    }

    /// Restores results that were stored earlier.
    pub(super) fn restore(&mut self, stored: Vec<(String, String)>) {
        for (id, whole) in stored {
            self.long.restore(id, whole, &Owner::Only);
        }
    }

    /// Takes the results stored since the last call.
    pub(super) fn take_new(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.new)
    }

    /// The text for the model, if it differs from the result's own.
    pub(super) fn text(&mut self, call: &ToolCall, result: &ToolResult) -> Option<String> {
        if self.long.is_read_by(&call.name) && result.outcome.is_ok() {
            return None;
        }
        let key = key(call);
        match &result.outcome {
            // Not a failure of the tool.
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

/// What makes two calls the same: the tool, and the arguments, however they are written.
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
