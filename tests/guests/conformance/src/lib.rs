//! Everything that the official MCP conformance suite asks of a server, under the names that it knows, and some tools
//! for our own tests beside it. Where the suite pins a schema or a text, it stands here verbatim.

mod contents;
mod elicitation;
mod ours;
mod prompts;
mod resources;
mod rounds;
mod tasks;
#[cfg(test)]
mod tests;

use toolhost_plugin::{Content, EmbeddedResource, ResourceBody, plugin};

plugin! {
    tools: [
        contents::test_simple_text,
        contents::test_image_content,
        contents::test_audio_content,
        contents::test_embedded_resource,
        contents::test_multiple_content_types,
        contents::test_error_handling,
        contents::test_tool_with_progress,
        contents::test_tool_with_logging,
        contents::test_logging_tool,
        contents::test_reconnection,
        contents::json_schema_2020_12_tool,
        contents::test_custom_header,
        contents::test_trigger_tool_change,
        contents::test_trigger_prompt_change,
        elicitation::test_sampling,
        elicitation::test_elicitation,
        elicitation::test_elicitation_sep1034_defaults,
        elicitation::test_elicitation_sep1330_enums,
        elicitation::test_missing_capability,
        elicitation::test_streaming_elicitation,
        rounds::test_input_required_result_elicitation,
        rounds::test_input_required_result_sampling,
        rounds::test_input_required_result_list_roots,
        rounds::test_input_required_result_request_state,
        rounds::test_input_required_result_tampered_state,
        rounds::test_input_required_result_multiple_inputs,
        rounds::test_input_required_result_multi_round,
        rounds::test_input_required_result_capabilities,
        tasks::greet,
        tasks::slow_compute,
        tasks::failing_job,
        tasks::protocol_error_job,
        tasks::confirm_delete,
        tasks::multi_input,
        tasks::test_tool_with_task,
        tasks::confirm_twice,
        ours::spin,
        ours::ask_twice,
        ours::ask_typed,
        ours::ask_page,
        ours::ask_and_count,
        ours::touch_resource,
        ours::change_resources,
        ours::many_changes,
        ours::structured_wrong,
        ours::structured_missing,
        ours::many_progress,
    ],
    resources: resources::Fixtures,
    prompts: [
        prompts::test_simple_prompt,
        prompts::test_prompt_with_arguments,
        prompts::test_prompt_with_embedded_resource,
        prompts::test_prompt_with_image,
        prompts::test_input_required_result_prompt,
    ],
    completion: prompts::complete,
}

/// One red pixel.
const PIXEL: &[u8] = include_bytes!("pixel.png");

/// No sound at all.
const SILENCE: &[u8] = include_bytes!("silence.wav");

fn embedded(uri: &str, mime_type: &str, text: &str) -> Content {
    Content::Embedded(EmbeddedResource {
        uri: uri.into(),
        mime_type: Some(mime_type.into()),
        body: ResourceBody::Text(text.into()),
    })
}
