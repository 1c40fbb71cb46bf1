//! The kinds of items and blocks that identify a format, and what a message's content tells.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::{array, frameworks, object, string};

/// Items of OpenAI Responses, beside messages.
pub(in crate::wire) const RESPONSES_ITEMS: &[&str] = &[
    "additional_tools",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "file_search_call",
    "function_call",
    "function_call_output",
    "image_generation_call",
    "item_reference",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "program",
    "program_output",
    "reasoning",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
];

/// Anthropic's blocks, beside results of the tools that it runs itself, which end in
/// `_tool_result`.
pub(in crate::wire) const ANTHROPIC_BLOCKS: &[&str] = &[
    "compaction",
    "container_upload",
    "document",
    "fallback",
    "image",
    "mcp_tool_listing",
    "mcp_tool_use",
    "redacted_thinking",
    "search_result",
    "server_tool_use",
    "text",
    "thinking",
    "tool_addition",
    "tool_reference",
    "tool_removal",
    "tool_result",
    "tool_use",
];

/// What a message's content tells about its format.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentKind {
    /// Not an array, or nothing.
    Other,
    /// An empty array.
    Empty,
    /// Blocks of Anthropic's, or parts of a chat message.
    Blocks,
    Responses,
    Bedrock,
    AiSdk,
}

impl ContentKind {
    pub(super) fn of_message(message: &RawValue) -> ContentKind {
        #[derive(Deserialize)]
        struct Message<'a> {
            #[serde(borrow)]
            content: Option<&'a RawValue>,
        }
        let message: Option<Message> = object(message).ok();
        ContentKind::of(message.and_then(|message| message.content))
    }

    pub(super) fn of(content: Option<&RawValue>) -> ContentKind {
        #[derive(Deserialize)]
        struct Part<'a> {
            #[serde(borrow)]
            r#type: Option<&'a RawValue>,
        }
        // Without a kind, its only member tells.
        let is_bedrock =
            |part: &&RawValue| object::<Part>(part).is_ok_and(|part| part.r#type.is_none());
        let Some(parts) = content.and_then(|content| array(content).ok()) else {
            return ContentKind::Other;
        };
        if parts.is_empty() {
            return ContentKind::Empty;
        }
        if frameworks::has_calls(content) {
            return ContentKind::AiSdk;
        }
        let kinds = parts.iter().map(|part| {
            let part: Option<Part> = object(part).ok();
            part.and_then(|part| string(part.r#type))
        });
        let kinds: Vec<_> = kinds.collect();
        let is_responses = |kind: &Option<String>| {
            matches!(
                kind.as_deref(),
                Some("output_text" | "refusal" | "input_text")
            )
        };
        if kinds.iter().any(is_responses) {
            return ContentKind::Responses;
        }
        match parts.iter().all(is_bedrock) {
            true => ContentKind::Bedrock,
            false => ContentKind::Blocks,
        }
    }
}
