//! Long results, if `[serve] max-result-chars` is set: they are compacted and kept for their
//! client, which reads on in them with a tool.

use std::sync::Arc;

use rmcp::model as mcp;

use crate::server::convert;
use toolhost_core::result_store::{LongResults, READ_RESULT, ResultStore};
use toolhost_core::tool::{Content, Output, ResourceBody, ToolResult};
use toolhost_core::watch::Owner;

/// How many characters of a result Claude Code shows its model.
const MAX_RESULT_SIZE: &str = "anthropic/maxResultSizeChars";

/// A result as its client gets it.
pub(crate) fn compacted_for_client(
    long: Option<&LongResults>,
    mut result: ToolResult,
    owner: &Owner,
) -> mcp::CallToolResult {
    if let Some(long) = long
        && !long.is_read_by(&result.name)
        && let Ok(output) = &result.outcome
        && let Some(compacted) = compacted(long, &result, output, owner)
    {
        result.outcome = Ok(compacted);
    }
    convert::result(result)
}

fn compacted(
    long: &LongResults,
    result: &ToolResult,
    output: &Output,
    owner: &Owner,
) -> Option<Output> {
    let text = output.to_text();
    if long.is_long(&text) {
        let mut shown = Output::text(long.compact(result, text, owner).text);
        // Its text is part of the compacted result.
        let others = output.content.iter().enumerate();
        for (index, content) in others.filter(|(_, it)| !is_text(it)) {
            if let Some(meta) = output.content_meta.get(&index) {
                shown.content_meta.insert(shown.content.len(), meta.clone());
            }
            shown.content.push(content.clone());
        }
        shown.meta.clone_from(&output.meta);
        return Some(shown);
    }
    let structured = output.structured.as_ref()?;
    if !long.is_long(structured.get()) {
        return None;
    }
    let alone = Output::default().with_structured(structured.clone());
    let alone = ToolResult::new(&result.name, Ok(alone));
    let whole = structured.get().to_owned();
    let mut content = output.content.clone();
    content.push(Content::Text(long.compact(&alone, whole, owner).text));
    let mut shown = output.clone();
    shown.content = content;
    shown.structured = None;
    Some(shown)
}

fn is_text(content: &Content) -> bool {
    match content {
        Content::Text(_) => true,
        Content::Embedded(resource) => matches!(resource.body, ResourceBody::Text(_)),
        _ => false,
    }
}

/// A name for the reading tool that no other tool has.
pub(crate) fn free_name<'t>(names: impl Iterator<Item = &'t str> + Clone) -> String {
    let is_free = |name: &String| names.clone().all(|taken| taken != name);
    let numbered = (2..).map(|number| format!("{READ_RESULT}_{number}"));
    let mut candidates = [READ_RESULT.to_owned()].into_iter().chain(numbered);
    candidates.find(is_free).unwrap_or_default()
}

/// Compacts results longer than `max_chars`, with a reading tool of that name.
pub(crate) fn results(max_chars: usize, name: &str, store: Arc<ResultStore>) -> LongResults {
    LongResults::new("server", max_chars, name, store)
}

/// Declares tools whose results are compacted, without output schemas, which a compacted result
/// would violate.
pub(crate) fn declare(tools: &mut [mcp::Tool], long: &LongResults) {
    for tool in tools.iter_mut().filter(|tool| tool.name != long.tool()) {
        tool.output_schema = None;
        let meta = tool.meta.get_or_insert_default();
        meta.insert(MAX_RESULT_SIZE.to_owned(), long.max_chars().into());
    }
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
            assert_eq!(free_name(taken.iter().copied()), name);
        }
    }
}
