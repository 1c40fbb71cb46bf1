//! Results as the model sees them: long ones compacted, to be read on by a tool of the agent's own;
//! those that fail again and again with a word on it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytesize::ByteSize;
use futures_util::future::BoxFuture;

use crate::error::CallError;
use crate::limits::Limits;
use crate::provider::{ProvidedTool, Provider, Served, ToolProvider, Turn};
pub(super) use crate::results::READ_RESULT;
use crate::results::{Compactor, read_result};
use crate::tool::{Output, Tool, ToolCall, ToolResult};
use crate::wire::leaks;

/// Whether a call of that name reads a compacted result.
fn is_read_result(name: &str) -> bool {
    leaks::find(name, |name| name == READ_RESULT).is_some()
}

/// Failures of one call, the same to the letter, from which on the model is told.
const REPEATED: usize = 3;

/// The results of a conversation that are not shown whole, and the calls that failed.
pub(super) struct Results {
    kept: Arc<Kept>,
    /// Those that the transcript does not have yet.
    new: Vec<(String, String)>,
    failures: HashMap<(String, String), usize>,
}

impl Results {
    pub(super) fn new(max_chars: usize) -> Self {
        Results {
            kept: Arc::new(Kept::new(max_chars)),
            new: Vec::new(),
            failures: HashMap::new(),
        }
    }

    /// What offers the tool that reads them.
    pub(super) fn provider(&self) -> Arc<dyn ToolProvider> {
        self.kept.clone()
    }

    /// Results that were stored before.
    pub(super) fn restore(&mut self, stored: Vec<(String, String)>) {
        self.kept.whole().extend(stored);
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
        let compactor = &self.kept.compactor;
        if !compactor.is_long(&whole) {
            return None;
        }
        let mut kept = self.kept.whole();
        let id = format!("r{}", kept.len() + 1);
        let text = compactor.compact(result, &whole, Some(&id));
        kept.insert(id.clone(), whole.clone());
        drop(kept);
        self.new.push((id, whole));
        Some(text)
    }
}

/// The results that are not shown whole, and the tool that reads on in them.
struct Kept {
    compactor: Compactor,
    whole: Mutex<BTreeMap<String, String>>,
    tools: Arc<[Arc<ProvidedTool>]>,
    limits: Limits,
}

impl Kept {
    fn new(max_chars: usize) -> Kept {
        let tool = read_result(READ_RESULT);
        let schema = tool.input_schema.to_string();
        let tool = ProvidedTool::new(READ_RESULT.to_owned(), tool, &schema, None);
        Kept {
            compactor: Compactor::new(max_chars, READ_RESULT),
            whole: Mutex::default(),
            tools: [Arc::new(tool.expect("the schema is valid"))].into(),
            // The characters of a result are bounded as it is.
            limits: Limits {
                max_output: ByteSize::b(u64::MAX),
                ..Limits::default()
            },
        }
    }

    fn whole(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slice(&self, arguments: &str) -> Result<String, CallError> {
        let asked = self.compactor.asked(arguments)?;
        let kept = self.whole();
        let Some(whole) = kept.get(&asked.id) else {
            let known: Vec<&str> = kept.keys().map(String::as_str).collect();
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

impl ToolProvider for Kept {
    fn name(&self) -> &str {
        "agent"
    }

    fn title(&self) -> String {
        "the agent".to_owned()
    }

    fn provenance(&self) -> Provider<'_> {
        Provider::Host
    }

    fn tools(&self) -> Arc<[Arc<ProvidedTool>]> {
        self.tools.clone()
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn memory(&self) -> ByteSize {
        ByteSize::b(0)
    }

    fn may_change(&self, _: &Tool) -> bool {
        false
    }

    fn is_isolated(&self) -> bool {
        true
    }

    fn call<'c>(
        &'c self,
        _: &'c ProvidedTool,
        call: &'c ToolCall,
        _: Turn<'c>,
    ) -> BoxFuture<'c, Served> {
        let part = self.slice(call.arguments_text());
        Box::pin(std::future::ready(Served::of(part.map(Output::text))))
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
