//! Shapes beside those that the APIs document: of other servers, of SDKs, frameworks and clients. Calls
//! that cannot be read are an error, and never none.

use serde_json::{Value, json};
use toolhost_wire::ToolCall;
use toolhost_wire::tool::CallKind;
use toolhost_wire::wire::{self, DecodeError, Format};

use crate::common::forms::{read, streamed};

fn decoded(document: &Value) -> Result<(Format, Vec<ToolCall>), DecodeError> {
    wire::decode(document.to_string().as_bytes(), None)
}

/// Id, name and arguments of a call.
fn parts(call: ToolCall) -> (Option<String>, String, Value) {
    let arguments = serde_json::from_str(&call.arguments).unwrap_or(json!(call.arguments));
    (call.id, call.name, arguments)
}

/// Those of each call: the same however the document comes. Where it is an answer of its API, the agent reads it
/// too, whole and as the stream that the API would have made of it.
#[track_caller]
fn calls(document: &Value, format: Format) -> Vec<(Option<String>, String, Value)> {
    let (found, calls) = decoded(document).unwrap_or_else(|error| panic!("{error}: {document}"));
    assert_eq!(found, format, "{document}");
    let calls: Vec<_> = calls.into_iter().map(parts).collect();
    if let Some(events) = streamed(format, document) {
        let reply = wire::reply(document.to_string().as_bytes(), format);
        let reply = reply.unwrap_or_else(|error| panic!("{error}: {document}"));
        let whole: Vec<_> = reply.calls.into_iter().map(parts).collect();
        assert_eq!(whole, calls, "{document}");
        let taken = read(format, &events);
        let received = taken
            .received
            .unwrap_or_else(|error| panic!("{error}: {events:?}"));
        assert!(
            received.is_complete && received.reply.cut.is_empty(),
            "{events:?}"
        );
        let handed: Vec<_> = taken
            .calls
            .into_iter()
            .map(|(_, call)| parts(call))
            .collect();
        assert_eq!(handed, calls, "{events:?}");
    }
    calls
}

#[test]
fn an_answer_of_each_api_has_the_form_of_its_stream() {
    let message = json!({ "role": "assistant", "content": [] });
    for (format, answer) in [
        (
            Format::OpenaiChat,
            json!({ "choices": [{ "message": message }] }),
        ),
        (Format::OpenaiResponses, json!({ "output": [] })),
        (Format::Anthropic, message.clone()),
        (Format::Gemini, json!({ "candidates": [] })),
        (Format::Ollama, json!({ "message": message, "done": true })),
    ] {
        assert!(streamed(format, &answer).is_some(), "{format}");
    }
}

/// The one call `f({"x": 1})` with the id `a`.
#[track_caller]
fn is_f(document: Value, format: Format) {
    let expected = (Some("a".to_owned()), "f".to_owned(), json!({ "x": 1 }));
    assert_eq!(calls(&document, format), [expected], "{document}");
}

/// The same without an id.
#[track_caller]
fn is_f_without_id(document: Value, format: Format) {
    let expected = (None, "f".to_owned(), json!({ "x": 1 }));
    assert_eq!(calls(&document, format), [expected], "{document}");
}

#[track_caller]
fn has_none(document: Value) {
    let (format, _) = decoded(&document).unwrap_or_else(|error| panic!("{error}: {document}"));
    assert_eq!(calls(&document, format), [], "{document}");
}

/// As a document that comes whole: of a stream the call is known first.
#[track_caller]
fn has_none_whole(document: Value) {
    let (_, calls) = decoded(&document).unwrap_or_else(|error| panic!("{error}: {document}"));
    assert_eq!(calls, [], "{document}");
}

/// Nothing is read, and that is said with these words.
#[track_caller]
fn is_refused(document: Value, why: &str) {
    let error = match decoded(&document) {
        Err(error) => error.to_string(),
        Ok(read) => panic!("{read:?}: {document}"),
    };
    assert!(error.contains(why), "no `{why}` in {error}: {document}");
}

fn chat_call(id: &str) -> Value {
    json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{\"x\":1}" } })
}

fn asked() -> Value {
    json!({ "role": "assistant", "content": null, "tool_calls": [chat_call("a")] })
}

#[test]
fn blocks_of_bedrock_may_begin_with_text() {
    let blocks =
        r#"[{"text": "x"}, {"toolUse": {"toolUseId": "t", "name": "echo", "input": {"a": 1}}}]"#;
    let (format, calls) = toolhost_wire::wire::decode(blocks.as_bytes(), None).unwrap();
    assert_eq!((format, calls.len()), (Format::Bedrock, 1));
    let parts = r#"[{"text": "x"}, {"functionCall": {"name": "echo", "args": {"a": 1}}}]"#;
    let (format, calls) = toolhost_wire::wire::decode(parts.as_bytes(), None).unwrap();
    assert_eq!((format, calls.len()), (Format::Gemini, 1));
    let (_, calls) = toolhost_wire::wire::decode(br#"[{"text": "x"}]"#, None).unwrap();
    assert!(calls.is_empty());
    let mixed =
        br#"[{"type": "new_2027"}, {"type": "tool_use", "id": "a", "name": "echo", "input": {}}]"#;
    let error = toolhost_wire::wire::decode(mixed, None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("an array whose items"), "{error}");
}

#[test]
fn ollamas_own_responses_are_read_whole_or_as_a_kept_stream() {
    let message = json!({
        "role": "assistant", "content": "", "thinking": "Hm.",
        "tool_calls": [{ "function": { "index": 0, "name": "f", "arguments": { "x": 1 } } }],
    });
    let whole = json!({
        "model": "qwen3", "created_at": "2026-11-29T00:00:00Z", "message": message,
        "done": true, "done_reason": "stop",
    });
    is_f_without_id(whole, Format::Ollama);
    let lines = [
        json!({ "model": "m", "message": { "role": "assistant", "content": "Hm" }, "done": false }),
        json!({ "model": "m", "message": message, "done": false }),
        json!({ "model": "m", "message": { "role": "assistant", "content": "" }, "done": true }),
    ];
    let text = lines.map(|line| line.to_string()).join("\n");
    let (format, calls) = wire::decode(text.as_bytes(), None).unwrap();
    assert_eq!((format, calls.len()), (Format::Ollama, 1));
    // Said in text, by `/api/chat` and by `/api/generate`.
    has_none(
        json!({ "model": "m", "message": { "role": "assistant", "content": "Hi." }, "done": true }),
    );
    has_none(json!({ "model": "m", "response": "Hi.", "done": true }));
}

#[test]
fn bedrocks_are_read_whole_as_a_message_as_blocks_and_one() {
    let block = json!({ "toolUse": { "toolUseId": "a", "name": "f", "input": { "x": 1 } } });
    let content = json!([{ "text": "Let me see." }, block]);
    let message = json!({ "role": "assistant", "content": content });
    for document in [
        json!({
            "ResponseMetadata": { "HTTPStatusCode": 200 }, "output": { "message": message },
            "stopReason": "tool_use", "usage": { "inputTokens": 1 }, "metrics": { "latencyMs": 1 },
        }),
        json!({ "message": message }),
        message.clone(),
        json!([block]),
        block.clone(),
    ] {
        is_f(document, Format::Bedrock);
    }
    has_none(json!({
        "output": { "message": { "role": "assistant", "content": [{ "text": "Hi." }] } },
        "stopReason": "end_turn",
    }));
    // What Bedrock runs by itself.
    has_none(json!({
        "output": { "message": { "role": "assistant", "content": [
            { "toolUse": { "toolUseId": "s", "name": "nova_grounding", "input": {}, "type": "server_tool_use" } },
            { "text": "Found." },
        ] } },
        "stopReason": "end_turn",
    }));
}

#[test]
fn the_function_call_of_old_is_read_as_one() {
    let message = json!({
        "role": "assistant", "content": null,
        "function_call": { "name": "f", "arguments": "{\"x\":1}" },
    });
    is_f_without_id(message.clone(), Format::OpenaiChat);
    let response = json!({ "choices": [{ "message": message, "finish_reason": "function_call" }] });
    is_f_without_id(response.clone(), Format::OpenaiChat);
    let (_, calls) = decoded(&response).unwrap();
    assert_eq!(calls[0].kind(), CallKind::Legacy);
}

#[test]
fn gemini_is_read_in_snake_case() {
    let part = json!({
        "media_resolution": null, "code_execution_result": null, "executable_code": null,
        "file_data": null, "text": null, "thought": null, "thought_signature": "c2ln",
        "function_call": {
            "id": "a", "args": { "x": 1 }, "name": "f", "partial_args": null, "will_continue": null,
        },
    });
    let content = json!({ "parts": [part], "role": "model" });
    for document in [
        json!({
            "sdk_http_response": { "headers": { "content-type": "application/json" }, "body": null },
            "candidates": [{ "content": content, "finish_reason": "STOP", "index": 0 }],
            "prompt_feedback": null, "automatic_function_calling_history": [], "parsed": null,
            "usage_metadata": { "prompt_token_count": 5, "candidates_token_count": null },
        }),
        content.clone(),
        json!([part]),
        part.clone(),
        // What its SDKs have by itself, and its Live API.
        json!({ "functionCalls": [{ "id": "a", "name": "f", "args": { "x": 1 } }] }),
        json!({ "toolCall": { "functionCalls": [{ "id": "a", "name": "f", "args": { "x": 1 } }] } }),
    ] {
        is_f(document, Format::Gemini);
    }
    has_none(json!({ "candidates": null, "prompt_feedback": { "block_reason": "SAFETY" } }));
}

#[test]
fn arrays_are_detected_by_their_first_item_or_block() {
    let call = json!({ "type": "function_call", "id": "fc", "call_id": "a", "name": "f", "arguments": "{\"x\":1}" });
    for kind in [
        "program",
        "program_output",
        "tool_search_call",
        "tool_search_output",
        "web_search_call",
        "file_search_call",
        "computer_call",
        "mcp_call",
        "mcp_list_tools",
        "mcp_approval_request",
        "image_generation_call",
        "code_interpreter_call",
        "local_shell_call",
        "shell_call",
        "shell_call_output",
        "apply_patch_call",
        "additional_tools",
        "reasoning",
    ] {
        let item = json!({ "type": kind, "id": "i", "status": "completed" });
        is_f(json!([item, call]), Format::OpenaiResponses);
    }
    let block = json!({ "type": "tool_use", "id": "a", "name": "f", "input": { "x": 1 } });
    for kind in [
        "server_tool_use",
        "web_search_tool_result",
        "web_fetch_tool_result",
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "tool_search_tool_result",
        "advisor_tool_result",
        "mcp_tool_use",
        "mcp_tool_result",
        "mcp_tool_listing",
        "container_upload",
        "fallback",
        "thinking",
        "redacted_thinking",
    ] {
        let first = json!({ "type": kind, "id": "s" });
        is_f(json!([first, block]), Format::Anthropic);
    }
    // Both have this one: what stands beside it tells.
    let compaction = json!({ "type": "compaction", "content": "…" });
    is_f(json!([compaction, call]), Format::OpenaiResponses);
    is_f(json!([compaction, block]), Format::Anthropic);
}

/// A conversation of one call that is answered, and then another.
#[test]
fn of_a_conversation_the_calls_of_its_last_message_are_run() {
    let user = json!({ "role": "user", "content": "Hi." });
    let system = json!({ "role": "system", "content": "Be brief." });
    let before = json!({ "role": "assistant", "content": "", "tool_calls": [chat_call("z")] });
    let result = json!({ "role": "tool", "tool_call_id": "z", "content": "1" });
    let picture = json!({ "role": "user", "content": [
        { "type": "text", "text": "What is it?" }, { "type": "image_url", "image_url": { "url": "x" } },
    ] });
    let chat = json!([system, picture, before, result, asked()]);
    is_f(chat.clone(), Format::OpenaiChat);
    is_f(
        json!({ "model": "m", "messages": chat, "tools": [] }),
        Format::OpenaiChat,
    );
    // All are answered, or the model has answered.
    has_none(json!([user, before, result]));
    has_none(json!([user, before, result, { "role": "assistant", "content": "One." }]));
    has_none(json!([user]));

    let items = json!([
        user,
        { "type": "function_call", "call_id": "z", "name": "g", "arguments": "{}" },
        { "type": "function_call_output", "call_id": "z", "output": "1" },
        { "type": "reasoning", "id": "rs", "summary": [] },
        { "type": "function_call", "call_id": "a", "name": "f", "arguments": "{\"x\":1}" },
    ]);
    is_f(items, Format::OpenaiResponses);

    let tool_use =
        |id: &str| json!({ "type": "tool_use", "id": id, "name": "f", "input": { "x": 1 } });
    let blocks = json!([
        user,
        { "role": "assistant", "content": [tool_use("z")] },
        { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "z", "content": "1" }] },
        { "role": "assistant", "content": [{ "type": "text", "text": "And:" }, tool_use("a")] },
    ]);
    is_f(blocks, Format::Anthropic);

    let part = |id: &str| json!({ "functionCall": { "id": id, "name": "f", "args": { "x": 1 } } });
    let contents = json!([
        { "role": "user", "parts": [{ "text": "Hi." }] },
        { "role": "model", "parts": [part("z")] },
        { "role": "user", "parts": [{ "functionResponse": { "id": "z", "name": "f", "response": {} } }] },
        { "role": "model", "parts": [part("a")] },
    ]);
    is_f(contents.clone(), Format::Gemini);
    is_f(json!({ "contents": contents }), Format::Gemini);

    let block =
        |id: &str| json!({ "toolUse": { "toolUseId": id, "name": "f", "input": { "x": 1 } } });
    let converse = json!([
        { "role": "user", "content": [{ "text": "Hi." }] },
        { "role": "assistant", "content": [block("z")] },
        { "role": "user", "content": [{ "toolResult": { "toolUseId": "z", "content": [] } }] },
        { "role": "assistant", "content": [block("a")] },
    ]);
    is_f(converse, Format::Bedrock);
}

#[test]
fn conversation_with_an_unanswered_earlier_call_is_refused() {
    let two = json!({ "role": "assistant", "tool_calls": [chat_call("a"), chat_call("b")] });
    let result = json!({ "role": "tool", "tool_call_id": "a", "content": "1" });
    is_refused(json!([two, result]), "a call of `f` (`b`) has no result");
    is_refused(
        json!([asked(), { "role": "user", "content": "Well?" }]),
        "has no result",
    );
    is_refused(
        json!([
            { "type": "function_call", "call_id": "a", "name": "f", "arguments": "{}" },
            { "role": "user", "content": "Well?" },
        ]),
        "has no result",
    );
    let content = json!([{ "type": "tool_use", "id": "a", "name": "f", "input": {} }]);
    is_refused(
        json!([{ "role": "assistant", "content": content }, { "role": "user", "content": [] }]),
        "has no result",
    );
}

#[test]
fn a_call_that_has_its_result_beside_it_is_not_run_again() {
    has_none_whole(json!({ "output": [
        { "type": "function_call", "call_id": "a", "name": "f", "arguments": "{}" },
        { "type": "function_call_output", "call_id": "a", "output": "1" },
    ] }));
    // Vercel's, which ran those with an `execute` by itself.
    let of_sdk = |id: &str| json!({ "type": "tool-call", "toolCallId": id, "toolName": "f", "input": { "x": 1 } });
    is_f(
        json!({
            "text": "", "finishReason": "tool-calls", "toolCalls": [of_sdk("z"), of_sdk("a")],
            "toolResults": [{ "type": "tool-result", "toolCallId": "z", "toolName": "f", "output": 1 }],
        }),
        Format::OpenaiChat,
    );
}

#[test]
fn langchain_messages_are_read_serialized_and_with_invalid_calls() {
    let call = json!({ "name": "f", "args": { "x": 1 }, "id": "a", "type": "tool_call" });
    let message = json!({
        "content": "", "additional_kwargs": {}, "response_metadata": {}, "type": "ai", "name": null,
        "id": "run-1", "tool_calls": [call], "invalid_tool_calls": [], "usage_metadata": null,
    });
    let human = json!({ "content": "Hi.", "type": "human" });
    for document in [
        message.clone(),
        json!([call]),
        call.clone(),
        json!({ "type": "ai", "data": message }),
        json!({
            "lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "AIMessage"],
            "kwargs": message,
        }),
        json!([human, message]),
        json!({ "messages": [human, message] }),
        // Its own content of late, beside which are the same calls.
        json!({ "role": "assistant", "content": [{ "type": "text", "text": "" }, call] }),
        // Of Anthropic, the content has them too.
        json!({
            "type": "ai", "tool_calls": [call],
            "content": [{ "type": "tool_use", "id": "a", "name": "f", "input": { "x": 1 } }],
        }),
    ] {
        is_f(document, Format::OpenaiChat);
    }
    let invalid = json!({ "name": "f", "args": "{\"x\":", "id": "a", "error": "…", "type": "invalid_tool_call" });
    let unread =
        json!({ "type": "ai", "content": "", "tool_calls": [], "invalid_tool_calls": [invalid] });
    let expected = (Some("a".to_owned()), "f".to_owned(), json!("{\"x\":"));
    assert_eq!(calls(&unread, Format::OpenaiChat), [expected]);
    has_none(json!({ "type": "ai", "content": "Hi.", "tool_calls": [], "invalid_tool_calls": [] }));
}

#[test]
fn calls_of_vercels_sdk_are_read() {
    let new =
        json!({ "type": "tool-call", "toolCallId": "a", "toolName": "f", "input": { "x": 1 } });
    let old =
        json!({ "type": "tool-call", "toolCallId": "a", "toolName": "f", "args": { "x": 1 } });
    // As a provider of it has the input.
    let text =
        json!({ "type": "tool-call", "toolCallId": "a", "toolName": "f", "input": "{\"x\":1}" });
    for call in [new, old, text] {
        for document in [
            json!({ "text": "", "toolCalls": [call], "finishReason": "tool-calls" }),
            json!([call]),
            call.clone(),
            json!({ "role": "assistant", "content": [{ "type": "text", "text": "" }, call] }),
            json!({ "content": [call], "finishReason": "tool-calls", "usage": {} }),
        ] {
            is_f(document, Format::OpenaiChat);
        }
    }
    has_none(json!({ "text": "Hi.", "toolCalls": [], "finishReason": "stop" }));
    has_none(json!({ "toolCalls": [{
        "type": "tool-call", "toolCallId": "a", "toolName": "web_search", "input": {}, "providerExecuted": true,
    }] }));
}

#[test]
fn other_servers_chat_responses_are_read() {
    // Cohere's, and a choice by itself.
    is_f(
        json!({
            "id": "1", "finish_reason": "TOOL_CALL",
            "message": { "role": "assistant", "tool_plan": "…", "tool_calls": [chat_call("a")] },
        }),
        Format::OpenaiChat,
    );
    is_f(
        json!({ "index": 0, "message": asked(), "finish_reason": "tool_calls" }),
        Format::OpenaiChat,
    );
    // Cloudflare's Workers AI, and Qwen's own API.
    is_f_without_id(
        json!({ "result": { "tool_calls": [{ "name": "f", "arguments": { "x": 1 } }] }, "success": true }),
        Format::OpenaiChat,
    );
    is_f(
        json!({ "output": { "choices": [{ "message": asked() }] }, "request_id": "r" }),
        Format::OpenaiChat,
    );
    // One call without its array, and arguments by another name.
    is_f(
        json!({ "role": "assistant", "tool_calls": chat_call("a") }),
        Format::OpenaiChat,
    );
    is_f(
        json!([{ "id": "a", "type": "function", "function": { "name": "f", "parameters": { "x": 1 } } }]),
        Format::OpenaiChat,
    );
}

#[test]
fn what_is_around_a_response_is_taken_off() {
    let completion = json!({ "choices": [{ "message": asked() }] });
    let text = completion.to_string();
    for document in [
        // HTTP clients.
        json!({ "status": 200, "statusText": "OK", "headers": {}, "data": completion }),
        json!({ "statusCode": 200, "headers": {}, "body": completion }),
        json!({ "statusCode": 200, "headers": {}, "body": text }),
        // A line of a batch.
        json!({
            "id": "batch_req_1", "custom_id": "1", "error": null,
            "response": { "status_code": 200, "request_id": "r", "body": completion },
        }),
        // Encoded twice.
        json!(text),
        json!(json!(text).to_string()),
    ] {
        is_f(document, Format::OpenaiChat);
    }
    let message = json!({
        "type": "message", "role": "assistant",
        "content": [{ "type": "tool_use", "id": "a", "name": "f", "input": { "x": 1 } }],
    });
    is_f(
        json!({ "custom_id": "1", "result": { "type": "succeeded", "message": message } }),
        Format::Anthropic,
    );
    let item =
        json!({ "type": "function_call", "call_id": "a", "name": "f", "arguments": "{\"x\":1}" });
    for kind in ["response.completed", "response.done"] {
        is_f(
            json!({ "type": kind, "response": { "object": "response", "output": [item] } }),
            Format::OpenaiResponses,
        );
    }
    // Arguments are no response, whatever they look like.
    is_refused(
        json!({ "name": "f", "input": completion }),
        "an unknown shape",
    );
}

/// What a server tool is called with, or finds, is data.
#[test]
fn data_that_looks_like_a_call_is_none() {
    let call =
        json!({ "type": "tool_use", "name": "f", "input": {}, "tool_calls": [chat_call("a")] });
    has_none(json!({ "role": "assistant", "content": [
        { "type": "mcp_tool_use", "id": "m", "name": "f", "server_name": "x", "input": call },
        { "type": "text", "text": call.to_string() },
    ] }));
    has_none(json!({ "output": [
        { "type": "mcp_call", "id": "m", "name": "f", "arguments": call.to_string(), "output": "1" },
        { "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "Hi." }] },
    ], "tools": [call], "metadata": call }));
}

#[test]
fn fields_that_decide_nothing_may_be_of_any_type() {
    let odd = [
        json!(null),
        json!(1.5),
        json!("x"),
        json!([]),
        json!({}),
        json!(true),
    ];
    for odd in odd {
        is_f(
            json!({
                "id": odd, "created": odd, "usage": odd, "model": odd,
                "choices": [{
                    "index": odd, "finish_reason": odd, "logprobs": odd,
                    "message": { "role": odd, "content": odd, "refusal": odd, "tool_calls": [chat_call("a")] },
                }],
            }),
            Format::OpenaiChat,
        );
        is_f(
            json!({
                "id": odd, "status": odd, "usage": odd, "incomplete_details": odd, "reasoning": odd,
                "output": [
                    { "type": "message", "status": odd, "content": odd, "role": odd },
                    {
                        "type": "function_call", "id": odd, "status": odd, "namespace": odd, "caller": odd,
                        "call_id": "a", "name": "f", "arguments": "{\"x\":1}",
                    },
                ],
            }),
            Format::OpenaiResponses,
        );
        is_f(
            json!({
                "id": odd, "type": "message", "role": "assistant", "usage": odd, "stop_reason": odd,
                "container": odd,
                "content": [
                    { "type": "text", "text": odd },
                    { "type": "tool_use", "id": "a", "name": "f", "input": { "x": 1 }, "caller": odd },
                ],
            }),
            Format::Anthropic,
        );
        is_f(
            json!({
                "usageMetadata": odd, "promptFeedback": odd, "modelVersion": odd,
                "candidates": [{
                    "index": odd, "finishReason": odd,
                    "content": { "role": odd, "parts": [
                        { "thought": odd, "text": odd },
                        { "functionCall": { "id": "a", "name": "f", "args": { "x": 1 } }, "thoughtSignature": odd },
                    ] },
                }],
            }),
            Format::Gemini,
        );
        is_f(
            json!({
                "usage": odd, "stopReason": odd, "metrics": odd,
                "output": { "message": { "role": odd, "content": [
                    { "text": odd },
                    { "toolUse": { "toolUseId": "a", "name": "f", "input": { "x": 1 }, "type": odd } },
                ] } },
            }),
            Format::Bedrock,
        );
        is_f_without_id(
            json!({
                "model": odd, "created_at": odd, "eval_count": odd, "done_reason": odd, "done": true,
                "message": { "role": odd, "content": odd, "thinking": odd, "tool_calls": [
                    { "function": { "name": "f", "arguments": { "x": 1 } } },
                ] },
            }),
            Format::Ollama,
        );
    }
    // Ids that are numbers, arguments that are objects or none.
    let given = json!({ "role": "assistant", "content": [], "tool_calls": [
        { "id": 7, "function": { "name": "f", "arguments": { "x": 1 } } },
        { "id": null, "function": { "name": "f", "arguments": null } },
    ] });
    assert_eq!(
        calls(&given, Format::OpenaiChat),
        [
            (Some("7".to_owned()), "f".to_owned(), json!({ "x": 1 })),
            (None, "f".to_owned(), json!("")),
        ]
    );
}

#[test]
fn an_answer_in_text_has_no_calls() {
    for document in [
        json!({ "choices": [{ "message": { "role": "assistant", "content": "Hi." }, "finish_reason": "stop" }] }),
        json!({ "choices": [{ "message": {
            "role": "assistant", "content": "Use `tool_calls` and <tool_call>.", "tool_calls": [],
            "function_call": null, "audio": null,
        } }] }),
        json!({ "output": [{ "type": "message", "role": "assistant",
            "content": [{ "type": "output_text", "text": "Hi.", "annotations": [] }] }],
            "tools": [{ "type": "function", "name": "f", "parameters": {} }],
            "tool_choice": { "type": "function", "name": "f" } }),
        json!({ "output": [{ "type": "web_search_call", "id": "ws", "status": "completed" }] }),
        json!({ "role": "assistant", "content": [{ "type": "text", "text": "Hi." }], "stop_reason": "end_turn" }),
        json!({ "role": "assistant", "content": [
            { "type": "server_tool_use", "id": "s", "name": "web_search", "input": {} },
            { "type": "web_search_tool_result", "tool_use_id": "s", "content": [] },
            { "type": "mcp_tool_use", "id": "m", "name": "f", "server_name": "x", "input": {} },
            { "type": "text", "text": "Hi." },
        ] }),
        json!({ "candidates": [{ "content": { "parts": [{ "text": "Hi." }] }, "finishReason": "STOP" }] }),
        json!({ "candidates": [{ "content": { "parts": [
            { "toolCall": { "id": "s", "toolType": "GOOGLE_SEARCH", "args": {} } }, { "text": "Hi." },
        ] } }] }),
    ] {
        has_none(document);
    }
}

#[test]
fn calls_that_stand_where_nobody_looks_are_an_error() {
    for (document, place) in [
        // A chunk of a stream.
        (
            json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [chat_call("a")] } }] }),
            "`choices[0].delta.tool_calls`",
        ),
        // LangChain's, whose own list was lost.
        (
            json!({ "type": "ai", "content": "", "additional_kwargs": { "tool_calls": [chat_call("a")] } }),
            "`additional_kwargs.tool_calls`",
        ),
        // Pydantic AI's, Semantic Kernel's, Mistral's and Llama Stack's.
        (
            json!({ "kind": "response", "parts": [
                { "part_kind": "tool-call", "tool_name": "f", "args": "{}", "tool_call_id": "a" },
            ] }),
            "parts[0] is a `tool-call`",
        ),
        (
            json!({ "role": "assistant", "items": [{ "content_type": "function_call", "name": "f" }] }),
            "items[0] is a `function_call`",
        ),
        (
            json!({ "role": "assistant", "outputs": [{ "type": "function.call", "name": "f" }] }),
            "outputs[0] is a `function.call`",
        ),
        (
            json!({ "role": "assistant", "completion_message": { "toolCalls": [{ "tool_name": "f" }] } }),
            "`completion_message.toolCalls`",
        ),
        // Vercel's messages for its user interface.
        (
            json!({ "role": "assistant", "parts": [
                { "type": "tool-f", "toolCallId": "a", "state": "input-available", "input": {} },
            ] }),
            "parts[0] is a `tool-f`",
        ),
        // Blocks of another API in a chat message.
        (
            json!({ "choices": [{ "message": { "role": "assistant", "content": [
                { "type": "tool_use", "id": "a", "name": "f", "input": {} },
            ] } }] }),
            "content[0] is a `tool_use`",
        ),
        // What a client has to run that is no function.
        (
            json!({ "output": [{ "type": "apply_patch_call", "call_id": "a", "operation": {} }] }),
            "`apply_patch_call`",
        ),
        (
            json!({ "output": [{ "type": "tool_search_call", "call_id": "a", "execution": "client" }] }),
            "`tool_search_call`",
        ),
        (
            json!({ "output": [{ "type": "computer_call", "call_id": "a", "action": {} }] }),
            "`computer_call`",
        ),
    ] {
        is_refused(document, place);
    }
}

#[test]
fn what_is_of_no_format_has_calls_of_none_whichever_is_named() {
    for document in [
        json!({}),
        json!({ "hello": 1 }),
        json!({ "status": 200, "data": { "x": 1 } }),
    ] {
        let document = document.to_string();
        for format in Format::ALL {
            let read = wire::decode(document.as_bytes(), Some(format));
            assert!(read.is_err(), "{format}: {document}: {read:?}");
        }
    }
    // Only what a script writes has no layers around it.
    let named = json!({ "data": [{ "name": "f", "arguments": {} }] }).to_string();
    for format in [None, Some(Format::Json), Some(Format::Mcp)] {
        let read = wire::decode(named.as_bytes(), format);
        assert!(read.is_err(), "{format:?}: {read:?}");
    }
}

#[test]
fn an_end_that_speaks_of_calls_without_any_is_an_error() {
    let message = json!({ "role": "assistant", "content": "Let me look." });
    is_refused(
        json!({ "choices": [{ "message": message, "finish_reason": "tool_calls" }] }),
        "is `tool_calls`",
    );
    is_refused(
        json!({ "role": "assistant", "content": [{ "type": "text", "text": "…" }], "stop_reason": "tool_use" }),
        "is `tool_use`",
    );
    is_refused(
        json!({ "output": { "message": { "role": "assistant", "content": [] } }, "stopReason": "tool_use" }),
        "is `tool_use`",
    );
}

#[test]
fn api_error_is_no_answer_without_calls() {
    for (document, why) in [
        // A gateway that lost its server in the middle of an answer.
        (
            json!({ "choices": [{
                "finish_reason": "error", "message": { "role": "assistant", "content": "" },
                "error": { "code": 502, "message": "upstream gone" },
            }] }),
            "502: upstream gone",
        ),
        (
            json!({ "candidates": [{ "content": {}, "finishReason": "MALFORMED_FUNCTION_CALL" }] }),
            "is `MALFORMED_FUNCTION_CALL`",
        ),
        (
            json!({
                "output": { "message": { "role": "assistant", "content": [{ "text": "…" }] } },
                "stopReason": "malformed_tool_use",
            }),
            "is `malformed_tool_use`",
        ),
    ] {
        is_refused(document, why);
    }
}

#[test]
fn unparsed_tool_call_text_is_an_error() {
    for text in [
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>",
        "<think>\nHm.\n</think>\n\n<tool_call>{}</tool_call>",
        "<|python_tag|>f(x=1)",
        "[TOOL_CALLS][{\"name\": \"f\"}]",
        "<function=f>{}</function>",
        "<｜tool▁calls▁begin｜>f",
    ] {
        let message = json!({ "role": "assistant", "content": text });
        is_refused(
            json!({ "choices": [{ "message": message }] }),
            "did not parse the call",
        );
        is_refused(
            json!({ "message": message, "done": true }),
            "did not parse the call",
        );
        is_refused(
            json!({ "role": "assistant", "content": [{ "type": "text", "text": text }] }),
            "did not parse the call",
        );
    }
}

#[test]
fn what_is_no_json_is_told_by_what_it_looks_like() {
    let html = "<!DOCTYPE html>\n<html><body>502</body></html>";
    for (text, like) in [
        (
            "ChatCompletion(id='chatcmpl-1', choices=[Choice(",
            "a Python repr",
        ),
        ("[ChatCompletionMessageToolCall(id='a')]", "a Python repr"),
        ("AIMessage(content='', tool_calls=[])", "a Python repr"),
        (
            "<openai.types.ChatCompletion object at 0x7f>",
            "a Python repr",
        ),
        (
            "{'role': 'assistant', 'content': None}",
            "model_dump_json()",
        ),
        ("[{'name': 'f'}]", "json.dumps()"),
        (
            "{ id: 'chatcmpl-1', choices: [ [Object] ] }",
            "JSON.stringify()",
        ),
        ("{\n  role: 'assistant',\n}", "JSON.stringify()"),
        (html, "an HTML page"),
        ("<?xml version=\"1.0\"?><Error/>", "XML"),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{}",
            "without `-i`",
        ),
        ("HTTP/2 200 \r\n\r\n{}", "without `-i`"),
        ("```json\n{}\n```", "a Markdown code block"),
        ("choices:\n  - message:\n      role: assistant\n", "YAML"),
        ("---\nrole: assistant\n", "YAML"),
        ("event: message_start\ndata: {}\n\n", "see --sse"),
        ("data: {}\n\n", "see --sse"),
        (": keep-alive\n\ndata: {}\n\n", "see --sse"),
        ("eyJjaG9pY2VzIjpbXX0=eyJjaG9p", "base64"),
    ] {
        for format in [
            None,
            Some(Format::OpenaiChat),
            Some(Format::Gemini),
            Some(Format::Ollama),
        ] {
            let error = wire::decode(text.as_bytes(), format).unwrap_err();
            assert!(
                matches!(error, DecodeError::LooksLike { .. }),
                "{text}: {error}"
            );
            assert!(error.to_string().contains(like), "{text}: {error}");
        }
    }
    let utf16: Vec<u8> = "\u{feff}{}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let error = wire::decode(&utf16, None).unwrap_err().to_string();
    assert!(error.contains("UTF-16"), "{error}");
    let error = wire::decode(b"\x1f\x8b\x08\0", None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("gzip"), "{error}");
    // Anything else is reported as not JSON, and truncated JSON as truncated.
    for text in ["hello", "{\"choices\": [", "f({})"] {
        let error = wire::decode(text.as_bytes(), None).unwrap_err();
        assert!(
            matches!(error, DecodeError::NotJson { .. }),
            "{text}: {error}"
        );
    }
}
