//! Which format a document is in. What could be of several is not guessed at.

use serde_json::{Value, json};
use toolhost_wire::wire::{self, DecodeError, Format};

#[derive(Debug, PartialEq)]
enum Told {
    As(Format),
    OneOf(Vec<Format>),
    None,
}

fn told(document: &str) -> Told {
    match wire::decode(document.as_bytes(), None) {
        Ok((format, _)) => Told::As(format),
        Err(DecodeError::Ambiguous { fits }) => Told::OneOf(fits),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            Told::None
        }
    }
}

#[track_caller]
fn all_are(expected: &Told, documents: impl IntoIterator<Item = Value>) {
    for document in documents {
        let compact = document.to_string();
        assert_eq!(told(&compact), *expected, "{compact}");
        let over_lines = format!("\u{feff}\n {document:#}\n\n");
        assert_eq!(told(&over_lines), *expected, "{compact}");
    }
}

#[test]
fn responses_as_the_apis_send_them_are_told_by_their_shape() {
    let chat_call =
        json!({ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let message = json!({
        "role": "assistant", "content": null, "refusal": null, "annotations": [],
        "tool_calls": [chat_call],
    });
    all_are(
        &Told::As(Format::OpenaiChat),
        [
            json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
                "choices": [{
                    "index": 0, "message": message, "logprobs": null, "finish_reason": "tool_calls",
                }],
                "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
                "service_tier": "default", "system_fingerprint": null,
            }),
            message.clone(),
            json!([chat_call]),
            chat_call.clone(),
            json!({ "id": "a", "type": "custom", "custom": { "name": "f", "input": "x" } }),
            json!({ "choices": [] }),
            json!({ "tool_calls": null }),
            json!({ "role": "assistant", "content": "Hello!" }),
            // With parts, as Anthropic's content has blocks.
            json!({ "role": "assistant", "content": [], "tool_calls": [chat_call] }),
            json!({ "role": "assistant", "content": null }),
        ],
    );
    let item = json!({
        "type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": "{}",
        "status": "completed",
    });
    let reasoning =
        json!({ "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x" });
    let said = json!({
        "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [{ "type": "output_text", "text": "Let me see.", "annotations": [] }],
    });
    all_are(
        &Told::As(Format::OpenaiResponses),
        [
            json!({
                "id": "resp_1", "object": "response", "created_at": 1, "status": "completed",
                "error": null, "incomplete_details": null, "model": "m",
                "output": [reasoning, said, item], "usage": { "input_tokens": 1 },
            }),
            json!({ "output": [] }),
            json!([reasoning, said, item]),
            json!([said]),
            said.clone(),
            item.clone(),
        ],
    );
    let block = json!({ "type": "tool_use", "id": "a", "name": "f", "input": {} });
    let thinking = json!({ "type": "thinking", "thinking": "…", "signature": "s" });
    let text = json!({ "type": "text", "text": "Let me see." });
    all_are(
        &Told::As(Format::Anthropic),
        [
            json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
                "content": [thinking, text, block], "stop_reason": "tool_use",
                "stop_sequence": null, "usage": { "input_tokens": 1, "output_tokens": 1 },
            }),
            json!({ "role": "assistant", "content": [text, block] }),
            json!({ "role": "assistant", "content": [] }),
            json!([thinking, text, block]),
            block.clone(),
            text.clone(),
        ],
    );
    let part = json!({ "functionCall": { "name": "f", "args": {} }, "thoughtSignature": "s" });
    let content = json!({ "role": "model", "parts": [{ "text": "Let me see." }, part] });
    all_are(
        &Told::As(Format::Gemini),
        [
            json!({
                "candidates": [{ "content": content, "finishReason": "STOP", "index": 0 }],
                "usageMetadata": { "promptTokenCount": 1 }, "modelVersion": "m", "responseId": "r",
            }),
            json!([{ "candidates": [{ "content": content }] }, { "candidates": [] }]),
            json!({ "promptFeedback": { "blockReason": "SAFETY" } }),
            content.clone(),
            json!([{ "text": "Let me see." }, part]),
            part.clone(),
        ],
    );
    let request =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "f" } });
    all_are(&Told::As(Format::Mcp), [json!([request]), request.clone()]);
    let own = json!({ "id": "a", "name": "f", "arguments": {} });
    all_are(
        &Told::As(Format::Json),
        [
            own.clone(),
            json!([own, own]),
            json!({ "name": "f" }),
            json!({ "name": "f", "arguments": "{}" }),
        ],
    );
}

/// With all the members that the API's reference has, of which one is named `text`.
#[test]
fn a_whole_response_of_openai_is_told_with_all_of_its_members() {
    let response = json!({
        "id": "resp_67ccd2bed1ec8190b14f964abc054267", "object": "response",
        "created_at": 1741476542, "status": "completed", "background": false, "error": null,
        "incomplete_details": null, "instructions": null, "max_output_tokens": null,
        "max_tool_calls": null, "metadata": {}, "model": "gpt-4.1-2025-04-14",
        "output": [{
            "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f",
            "arguments": "{}", "status": "completed",
        }],
        "parallel_tool_calls": true, "previous_response_id": null, "prompt_cache_key": null,
        "reasoning": { "effort": null, "summary": null }, "safety_identifier": null,
        "service_tier": "default", "store": true, "temperature": 1.0,
        "text": { "format": { "type": "text" }, "verbosity": "medium" },
        "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": 36, "input_tokens_details": { "cached_tokens": 0 },
            "output_tokens": 87, "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": 123,
        },
        "user": null,
    });
    all_are(&Told::As(Format::OpenaiResponses), [response]);
}

#[test]
fn what_fits_two_formats_is_refused_with_their_names() {
    for (fits, document) in [
        (
            [Format::OpenaiChat, Format::Json],
            json!({ "role": "x", "name": "f", "arguments": {} }),
        ),
        (
            [Format::OpenaiChat, Format::Gemini],
            json!({ "choices": [], "candidates": [] }),
        ),
        (
            [Format::OpenaiResponses, Format::Mcp],
            json!({ "jsonrpc": "2.0", "output": [] }),
        ),
        (
            [Format::Gemini, Format::Json],
            json!([{ "name": "f", "functionCall": {} }]),
        ),
        // Gemini's SDK and LangChain's messages have calls of the same members.
        (
            [Format::OpenaiChat, Format::Gemini],
            json!([{ "name": "f", "args": {} }]),
        ),
    ] {
        all_are(&Told::OneOf(fits.to_vec()), [document.clone()]);
        let error = wire::decode(document.to_string().as_bytes(), None).unwrap_err();
        let error = error.to_string();
        for format in fits {
            assert!(error.contains(format.name()), "{error}");
        }
        assert!(error.contains("choose one"), "{error}");
    }
}

#[test]
fn what_fits_no_format_is_refused() {
    let chat_call = json!({ "function": { "name": "f" } });
    let block = json!({ "type": "tool_use", "id": "a", "name": "f", "input": {} });
    all_are(
        &Told::None,
        [
            json!({}),
            json!({ "a": 1 }),
            json!({ "type": "hello" }),
            json!({ "error": { "message": "overloaded" } }),
            json!({ "type": "error", "error": { "type": "overloaded_error" } }),
            json!([{}]),
            json!([1]),
            json!([[]]),
            json!([null]),
            json!(["a", "f", {}]),
            json!([chat_call, block]),
            json!([chat_call, { "name": "f" }]),
            // By another name the arguments would be none.
            json!({ "name": "f", "input": {} }),
            json!(42),
            json!("f"),
            json!(null),
            json!(true),
        ],
    );
    for text in [
        "",
        " \n",
        "hello",
        "{",
        "f({})",
        "data: {\"choices\":[]}\n\n",
    ] {
        assert_eq!(told(text), Told::None, "{text}");
    }
}

#[test]
fn of_lines_each_is_a_call() {
    let own = r#"{"name":"f"}"#;
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"f"}}"#;
    let block = r#"{"type":"tool_use","id":"a","name":"f","input":{}}"#;
    for (lines, expected) in [
        ([own, own], Told::As(Format::Json)),
        ([request, request], Told::As(Format::Mcp)),
        ([own, request], Told::None),
        ([request, own], Told::None),
        ([own, "{"], Told::None),
        // Of these there are no lines.
        ([block, block], Told::None),
    ] {
        for end in ["\n", "\r\n", "\n\n"] {
            let text = lines.join(end);
            assert_eq!(told(&text), expected, "{text}");
        }
    }
}

#[test]
fn a_part_that_is_no_call_is_geminis_all_the_same() {
    let call = json!({ "functionCall": { "name": "f", "args": {} } });
    for part in [
        json!({ "inlineData": { "mimeType": "image/png", "data": "" } }),
        json!({ "executableCode": { "code": "1" } }),
        json!({ "text": "hm" }),
    ] {
        all_are(&Told::As(Format::Gemini), [json!([part, call])]);
    }
}
