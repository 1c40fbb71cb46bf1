//! Long results, where `[serve] max-result-chars` bounds them: compacted, and kept for the client that
//! they are for, which reads on in them by a tool.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmcp::model as mcp;

use super::convert;
use super::hub::Offer;
use super::requests::Owner;
use crate::error::CallError;
use crate::kept::{Bounds, Kept, unguessable};
use crate::results::{Compactor, READ_RESULT};
use crate::tool::{Content, Output, ResourceBody, ToolCall, ToolResult, Usage};

const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(60 * 60),
    items: 1_000,
    bytes: 64 << 20,
    all_items: 10_000,
    all_bytes: 256 << 20,
};

/// How many characters of a tool's result Claude Code shows its model.
const MAX_RESULT_SIZE: &str = "anthropic/maxResultSizeChars";

/// The results that are not shown whole.
pub(super) struct Long(Mutex<Kept<Owner, String>>);

impl Long {
    pub(super) fn new() -> Long {
        Long(Mutex::new(Kept::new(BOUNDS)))
    }

    fn kept(&self) -> MutexGuard<'_, Kept<Owner, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn end_owner(&self, owner: &Owner) {
        self.kept().end(owner);
    }

    /// A result as its client gets it.
    pub(super) fn shown(
        &self,
        offer: &Offer,
        mut result: ToolResult,
        owner: &Owner,
    ) -> mcp::CallToolResult {
        if let Some(compactor) = &offer.compactor
            && let Ok(output) = &result.outcome
            && let Some(compacted) = self.compacted(compactor, &result, output, owner)
        {
            result.outcome = Ok(compacted);
        }
        convert::result(result)
    }

    fn compacted(
        &self,
        compactor: &Compactor,
        result: &ToolResult,
        output: &Output,
        owner: &Owner,
    ) -> Option<Output> {
        let text = output.to_text();
        if compactor.is_long(&text) {
            let mut content = vec![self.compact(compactor, result, text, owner)];
            // Its text is in what was compacted.
            let others = output.content.iter().filter(|it| !is_text(it));
            content.extend(others.cloned());
            return Some(Output {
                content,
                structured: None,
                meta: output.meta.clone(),
            });
        }
        let structured = output.structured.as_ref()?;
        if !compactor.is_long(structured.get()) {
            return None;
        }
        let alone = ToolResult {
            outcome: Ok(Output {
                content: Vec::new(),
                structured: Some(structured.clone()),
                meta: None,
            }),
            ..result.clone()
        };
        let mut content = output.content.clone();
        content.push(self.compact(compactor, &alone, structured.get().to_owned(), owner));
        Some(Output {
            content,
            structured: None,
            meta: output.meta.clone(),
        })
    }

    fn compact(
        &self,
        compactor: &Compactor,
        result: &ToolResult,
        whole: String,
        owner: &Owner,
    ) -> Content {
        let mut kept = self.kept();
        let id = unguessable().filter(|_| kept.fits(whole.len()));
        let text = compactor.compact(result, &whole, id.as_deref());
        if let Some(id) = id {
            let bytes = whole.len();
            kept.add(owner, id, whole, bytes);
        }
        Content::Text(text)
    }

    /// Serves a call of the tool that reads on.
    pub(super) fn read(
        &self,
        compactor: &Compactor,
        call: &ToolCall,
        owner: &Owner,
    ) -> mcp::CallToolResult {
        let part = compactor.asked(&call.arguments).and_then(|asked| {
            let kept = self.kept();
            let whole = kept.get(owner, &asked.id).ok_or_else(|| {
                let message =
                    "no result with this id: results are kept for an hour; call the tool again";
                CallError::invalid_arguments("/id", message)
            })?;
            Ok(compactor.part(whole, &asked))
        });
        convert::result(ToolResult {
            id: call.id.clone(),
            name: call.name.clone(),
            outcome: part.map(Output::text),
            usage: Usage::default(),
            log: Vec::new(),
            repairs: Vec::new(),
            origin: None,
        })
    }
}

fn is_text(content: &Content) -> bool {
    match content {
        Content::Text(_) => true,
        Content::Embedded(resource) => matches!(resource.body, ResourceBody::Text(_)),
        _ => false,
    }
}

/// What compacts results of so many characters, with a tool whose name none of the others has.
pub(super) fn compactor<'t>(
    max_chars: usize,
    names: impl Iterator<Item = &'t str> + Clone,
) -> Compactor {
    let is_free = |name: &String| names.clone().all(|taken| taken != name);
    let numbered = (2..).map(|number| format!("{READ_RESULT}_{number}"));
    let mut candidates = [READ_RESULT.to_owned()].into_iter().chain(numbered);
    let name = candidates.find(is_free);
    Compactor::new(max_chars, name.unwrap_or_default())
}

/// Declares tools whose results are compacted. A schema of their output would be a promise that a
/// compacted result breaks.
pub(super) fn declare(tools: &mut Vec<mcp::Tool>, compactor: &Compactor) {
    for tool in tools.iter_mut() {
        tool.output_schema = None;
        let meta = tool.meta.get_or_insert_default();
        meta.insert(MAX_RESULT_SIZE.to_owned(), compactor.max_chars.into());
    }
    tools.push(convert::tool(&crate::results::read_result(&compactor.tool)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_that_reads_takes_no_other_tool_s_name() {
        for (taken, name) in [
            (&["echo"][..], "read_result"),
            (&["read_result"], "read_result_2"),
            (&["read_result_2", "read_result"], "read_result_3"),
        ] {
            assert_eq!(compactor(100, taken.iter().copied()).tool, name);
        }
    }
}
