//! What goes out, to the member: declarations, results, and what goes back of a reply.

use serde_json::value::RawValue;
use serde_json::{Value, json};
use toolhost_wire::summarize::Summarize;
use toolhost_wire::tool::{
    Annotations, EmbeddedResource, LogLine, LogSource, Media, ResourceBody, ResourceLink, Tool,
};
use toolhost_wire::wire::{self, Answer, Format, Names};
use toolhost_wire::{CallError, Content, Output, ToolResult};

use crate::common::responses::{Event, Style, Taken, receive, sse};
use bytes::Bytes;

fn tool(name: &str, schema: Value) -> Tool {
    let annotations = Annotations::default()
        .with_read_only(true)
        .with_open_world(false);
    Tool::new(name, "Does it.")
        .with_title("A title".to_owned())
        .with_input_schema(schema)
        .with_output_schema(json!({ "type": "object" }))
        .with_annotations(annotations)
        .with_plugin("plugin")
        .with_sandboxed(true)
}

fn parsed(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap()
}

#[test]
fn tools_are_declared_as_each_api_takes_them() {
    let open = json!({ "type": "object", "properties": { "b": { "type": "string" }, "a": {} } });
    let closed = json!({
        "type": "object", "properties": { "x": { "type": "string" } }, "required": ["x"],
        "additionalProperties": false,
    });
    let tools = [tool("first", open.clone()), tool("second", closed.clone())];
    let tools: Vec<&Tool> = tools.iter().collect();
    let chat = |name: &str, schema: &Value, strict: bool| {
        json!({ "type": "function", "function": {
            "name": name, "description": "Does it.", "parameters": schema, "strict": strict,
        } })
    };
    let responses = |name: &str, schema: &Value, strict: bool| {
        json!({
            "type": "function", "name": name, "description": "Does it.", "parameters": schema,
            "strict": strict, "output_schema": { "type": "object" },
        })
    };
    let anthropic = |name: &str, schema: &Value| json!({ "name": name, "description": "Does it.", "input_schema": schema });
    let gemini = |name: &str, schema: &Value| {
        json!({
            "name": name, "description": "Does it.", "parametersJsonSchema": schema,
            "responseJsonSchema": { "type": "object" },
        })
    };
    let ollama = |name: &str, schema: &Value| json!({ "type": "function", "function": { "name": name, "description": "Does it.", "parameters": schema } });
    let bedrock = |name: &str, schema: &Value| json!({ "toolSpec": { "name": name, "description": "Does it.", "inputSchema": { "json": schema } } });
    let mcp = |name: &str, schema: &Value| {
        json!({
            "name": name, "title": "A title", "description": "Does it.", "inputSchema": schema,
            "outputSchema": { "type": "object" },
            "annotations": { "readOnlyHint": true, "openWorldHint": false },
        })
    };
    let own = |name: &str, schema: &Value| {
        json!({
            "name": name, "title": "A title", "description": "Does it.", "input_schema": schema,
            "output_schema": { "type": "object" },
            "annotations": { "read_only": true, "open_world": false }, "plugin": "plugin", "sandboxed": true,
        })
    };
    for (format, expected) in [
        (
            Format::OpenaiChat,
            json!([chat("first", &open, false), chat("second", &closed, true)]),
        ),
        (
            Format::OpenaiResponses,
            json!([
                responses("first", &open, false),
                responses("second", &closed, true)
            ]),
        ),
        (
            Format::Anthropic,
            json!([anthropic("first", &open), anthropic("second", &closed)]),
        ),
        (
            Format::Gemini,
            json!([{ "functionDeclarations": [gemini("first", &open), gemini("second", &closed)] }]),
        ),
        (
            Format::Ollama,
            json!([ollama("first", &open), ollama("second", &closed)]),
        ),
        (
            Format::Bedrock,
            json!([bedrock("first", &open), bedrock("second", &closed)]),
        ),
        (
            Format::Mcp,
            json!({ "tools": [mcp("first", &open), mcp("second", &closed)] }),
        ),
        (
            Format::Json,
            json!([own("first", &open), own("second", &closed)]),
        ),
    ] {
        let names = Names::new(format, tools.iter().map(|tool| &*tool.name));
        let declared = format.wire().declare(&tools, &names);
        assert_eq!(parsed(&declared), expected, "{format}");
        // The schema's members stay in the order that their author gave them.
        assert!(
            declared.get().contains(r#""b":{"type":"string"},"a""#),
            "{declared}"
        );
    }
}

fn result(id: Option<&str>, outcome: Result<Output, CallError>) -> ToolResult {
    ToolResult::new("tool", outcome).with_id(id.map(str::to_owned))
}

fn failed() -> Result<Output, CallError> {
    Err(CallError::failed("no"))
}

fn content(content: Vec<Content>) -> Result<Output, CallError> {
    Ok(Output::new(content))
}

fn answers(format: Format, results: &[ToolResult]) -> Vec<Value> {
    let answers: Vec<Answer> = results.iter().map(Answer::new).collect();
    format
        .answers(&answers)
        .iter()
        .map(|raw| parsed(raw))
        .collect()
}

#[test]
fn results_of_parallel_calls_go_back_as_each_api_wants_them() {
    let results = [
        result(Some("a"), Ok(Output::text("fine"))),
        result(None, Ok(Output::text(""))),
        result(Some("c"), failed()),
    ];
    let usage = json!({
        "queue_ms": 0.0, "run_ms": 0.0, "cpu_ms": 0.0, "peak_memory_bytes": 0, "output_bytes": 0,
    });
    let text = |text: &str| json!([{ "type": "text", "text": text }]);
    let error = "Error: tool failed - no";
    for (format, expected) in [
        (
            Format::OpenaiChat,
            json!([
                { "role": "tool", "tool_call_id": "a", "content": "fine" },
                { "role": "tool", "content": "" },
                { "role": "tool", "tool_call_id": "c", "content": error },
            ]),
        ),
        (
            Format::OpenaiResponses,
            json!([
                { "type": "function_call_output", "call_id": "a", "output": "fine" },
                { "type": "function_call_output", "output": "" },
                { "type": "function_call_output", "call_id": "c", "output": error },
            ]),
        ),
        (
            Format::Anthropic,
            json!([{ "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "a", "content": "fine" },
                { "type": "tool_result", "content": "" },
                { "type": "tool_result", "tool_use_id": "c", "content": error, "is_error": true },
            ] }]),
        ),
        (
            Format::Gemini,
            json!([{ "role": "user", "parts": [
                { "functionResponse": { "id": "a", "name": "tool", "response": { "output": "fine" } } },
                { "functionResponse": { "name": "tool", "response": { "output": "" } } },
                { "functionResponse": { "id": "c", "name": "tool", "response": { "error": error } } },
            ] }]),
        ),
        (
            Format::Ollama,
            json!([
                { "role": "tool", "tool_name": "tool", "tool_call_id": "a", "content": "fine" },
                { "role": "tool", "tool_name": "tool", "content": "" },
                { "role": "tool", "tool_name": "tool", "tool_call_id": "c", "content": error },
            ]),
        ),
        (
            Format::Bedrock,
            json!([{ "role": "user", "content": [
                { "toolResult": { "toolUseId": "a", "content": [{ "text": "fine" }] } },
                { "toolResult": { "content": [] } },
                { "toolResult": { "toolUseId": "c", "content": [{ "text": error }], "status": "error" } },
            ] }]),
        ),
        (
            Format::Mcp,
            json!([
                { "jsonrpc": "2.0", "id": "a", "result": { "content": text("fine") } },
                { "jsonrpc": "2.0", "id": null, "result": { "content": text("") } },
                { "jsonrpc": "2.0", "id": "c", "result": { "content": text(error), "isError": true } },
            ]),
        ),
        (
            Format::Json,
            json!([
                { "id": "a", "content": "fine", "name": "tool", "usage": usage },
                { "content": "", "name": "tool", "usage": usage },
                {
                    "id": "c", "content": error, "name": "tool",
                    "error": { "code": "failed", "message": "no" }, "usage": usage,
                },
            ]),
        ),
    ] {
        assert_eq!(Value::from(answers(format, &results)), expected, "{format}");
        assert_eq!(answers(format, &[]), Vec::<Value>::new(), "{format}");
    }
}

#[test]
fn full_detail_stands_where_no_member_of_the_api_is() {
    let mut given = result(Some("a"), failed());
    given.log.push(LogLine::new(LogSource::Stderr, "oh"));
    for format in Format::ALL {
        let mut answer = Answer::new(&given);
        let plain = parsed(&format.wire().answer(&answer));
        answer.full = true;
        let full = parsed(&format.wire().answer(&answer));
        let (plain, full) = match format {
            Format::Mcp => (plain["result"].clone(), full["result"].clone()),
            _ => (plain, full),
        };
        for (key, value) in plain.as_object().unwrap() {
            assert_eq!(full[key], *value, "{format}");
        }
        let detail = match format {
            Format::Mcp => &full["_meta"],
            _ => &full,
        };
        assert_eq!(detail["error"]["code"], "failed", "{format}");
        assert_eq!(
            detail["log"],
            json!([{ "source": "stderr", "text": "oh" }]),
            "{format}"
        );
        assert_eq!(detail["usage"]["output_bytes"], 0, "{format}");
    }
}

fn media(mime_type: &str) -> Media {
    Media::new([1, 2, 3], mime_type)
}

fn embedded(mime_type: Option<&str>, body: ResourceBody) -> Content {
    let resource = EmbeddedResource::new("file:///notes/paper.pdf", body);
    Content::Embedded(resource.with_mime_type(mime_type.map(str::to_owned)))
}

/// The content of one result in a format: what stands where its text would.
fn content_in(format: Format, pieces: Vec<Content>) -> Value {
    let message = &answers(format, &[result(Some("a"), content(pieces))])[0];
    match format {
        Format::OpenaiChat | Format::Json => message["content"].clone(),
        Format::OpenaiResponses => message["output"].clone(),
        Format::Anthropic => message["content"][0]["content"].clone(),
        Format::Gemini => {
            let mut part = message["parts"][0]["functionResponse"].clone();
            let part = part.as_object_mut().unwrap();
            assert_eq!(part.remove("id"), Some(json!("a")));
            assert_eq!(part.remove("name"), Some(json!("tool")));
            Value::from(std::mem::take(part))
        }
        _ => message["result"]["content"].clone(),
    }
}

#[test]
fn media_goes_out_as_the_api_has_it_or_described() {
    let pdf = || embedded(Some("application/pdf"), ResourceBody::Blob(vec![1, 2, 3]));
    let pieces = || {
        vec![
            Content::Text("before".to_owned()),
            Content::Image(media("image/png")),
            Content::Text("after".to_owned()),
            Content::Audio(media("audio/wav")),
            pdf(),
        ]
    };
    let described = "before\n[image: image/png, 3 bytes]\nafter\n[audio: audio/wav, 3 bytes]\n\
                     [file:///notes/paper.pdf: 3 bytes]";
    let sound = "after\n[audio: audio/wav, 3 bytes]";
    for (format, expected) in [
        (Format::OpenaiChat, json!(described)),
        (Format::Json, json!(described)),
        (
            Format::OpenaiResponses,
            json!([
                { "type": "input_text", "text": "before" },
                { "type": "input_image", "image_url": "data:image/png;base64,AQID" },
                { "type": "input_text", "text": sound },
                {
                    "type": "input_file", "filename": "paper.pdf",
                    "file_data": "data:application/pdf;base64,AQID",
                },
            ]),
        ),
        (
            Format::Anthropic,
            json!([
                { "type": "text", "text": "before" },
                { "type": "image", "source": {
                    "type": "base64", "media_type": "image/png", "data": "AQID",
                } },
                { "type": "text", "text": sound },
                { "type": "document", "source": {
                    "type": "base64", "media_type": "application/pdf", "data": "AQID",
                } },
            ]),
        ),
        (
            Format::Gemini,
            json!({
                "response": { "output": format!("before\n{sound}") },
                "parts": [
                    { "inlineData": { "mimeType": "image/png", "data": "AQID" } },
                    { "inlineData": { "mimeType": "application/pdf", "data": "AQID" } },
                ],
            }),
        ),
        (
            Format::Mcp,
            json!([
                { "type": "text", "text": "before" },
                { "type": "image", "data": "AQID", "mimeType": "image/png" },
                { "type": "text", "text": "after" },
                { "type": "audio", "data": "AQID", "mimeType": "audio/wav" },
                { "type": "resource", "resource": {
                    "uri": "file:///notes/paper.pdf", "mimeType": "application/pdf",
                    "blob": "AQID",
                } },
            ]),
        ),
    ] {
        assert_eq!(content_in(format, pieces()), expected, "{format}");
    }
}

#[test]
fn media_that_an_api_has_no_block_for_are_described_to_it() {
    let image = |kind: &str| vec![Content::Image(media(kind))];
    for (format, kinds) in [
        (Format::OpenaiChat, &[][..]),
        (
            Format::OpenaiResponses,
            &["image/png", "image/jpeg", "image/webp", "image/gif"],
        ),
        (
            Format::Anthropic,
            &["image/png", "image/jpeg", "image/webp", "image/gif"],
        ),
        (Format::Gemini, &["image/png", "image/jpeg", "image/webp"]),
    ] {
        for kind in [
            "image/png",
            "image/jpeg",
            "image/webp",
            "image/gif",
            "image/tiff",
            "x",
        ] {
            let content = content_in(format, image(kind)).to_string();
            let is_described = content.contains(&format!("[image: {kind}, 3 bytes]"));
            assert_eq!(
                is_described,
                !kinds.contains(&kind),
                "{format} {kind}: {content}"
            );
            assert_eq!(
                content.contains("AQID"),
                kinds.contains(&kind),
                "{format} {kind}: {content}"
            );
        }
    }
    let link = ResourceLink::new("https://example.com/a", "page");
    let link = Content::Link(link.with_description("A page.".to_owned()));
    let text = embedded(None, ResourceBody::Text("inside".to_owned()));
    let zip = embedded(Some("application/zip"), ResourceBody::Blob(vec![1]));
    let pieces = vec![link, text, zip];
    let described = "[page: https://example.com/a]\ninside\n[file:///notes/paper.pdf: 1 bytes]";
    for format in [
        Format::OpenaiChat,
        Format::OpenaiResponses,
        Format::Anthropic,
        Format::Json,
    ] {
        assert_eq!(content_in(format, pieces.clone()), described, "{format}");
    }
    assert_eq!(
        content_in(Format::Gemini, pieces.clone()),
        json!({ "response": { "output": described } })
    );
    assert_eq!(
        content_in(Format::Mcp, pieces),
        json!([
            {
                "type": "resource_link", "uri": "https://example.com/a", "name": "page",
                "description": "A page.",
            },
            { "type": "resource", "resource": { "uri": "file:///notes/paper.pdf", "text": "inside" } },
            { "type": "resource", "resource": {
                "uri": "file:///notes/paper.pdf", "mimeType": "application/zip", "blob": "AQ==",
            } },
        ])
    );
}

/// Anthropic refuses a block of text that is empty.
#[test]
fn an_empty_text_beside_an_image_is_left_out_for_anthropic() {
    let pieces = vec![
        Content::Text(String::new()),
        Content::Image(media("image/png")),
    ];
    let blocks = content_in(Format::Anthropic, pieces);
    assert_eq!(blocks.as_array().unwrap().len(), 1, "{blocks}");
    assert_eq!(blocks[0]["type"], "image");
}

#[test]
fn a_compacted_result_keeps_its_images_and_no_other_text() {
    let items: Vec<u32> = (0..100).collect();
    let pieces = vec![
        Content::Text(json!(items).to_string()),
        Content::Image(media("image/png")),
    ];
    let given = result(Some("a"), content(pieces));
    let summarize = Summarize::default().with_items(1).with_chars(20);
    for format in Format::ALL {
        let answer = Answer::new(&given).summarized(&summarize);
        let text = parsed(&format.wire().answer(&answer)).to_string();
        assert!(text.contains("Results from tool"), "{format}: {text}");
        assert!(!text.contains("99"), "{format}: {text}");
        let takes_images = [
            Format::OpenaiResponses,
            Format::Anthropic,
            Format::Gemini,
            Format::Bedrock,
        ];
        assert_eq!(
            text.contains("AQID"),
            takes_images.contains(&format),
            "{format}: {text}"
        );
    }
}

#[test]
fn structured_output_keeps_every_digit() {
    let document = r#"{"n":12345678901234567890123,"x":1.50,"e":1E400,"n":0}"#;
    let given = result(
        Some("a"),
        Ok(Output::default().with_structured(RawValue::from_string(document.to_owned()).unwrap())),
    );
    for (format, key) in [
        (Format::Mcp, "structuredContent"),
        (Format::Json, "structured"),
    ] {
        let line = format.wire().answer(&Answer::new(&given));
        let member = format!(r#""{key}":{document}"#);
        assert!(line.get().contains(&member), "{line}");
    }
    // To the others it is text.
    for format in Format::ALL {
        let line = format.wire().answer(&Answer::new(&given));
        let text = match format {
            // Which is told what the document is like.
            Format::Gemini => format!(r#"{{"output":{document}}}"#),
            _ => json!(document).to_string(),
        };
        assert!(line.get().contains(&text), "{format}: {line}");
    }
}

#[test]
fn ids_of_mcp_come_back_with_their_type() {
    for id in [
        "7",
        "\"7\"",
        "1.50",
        "\"1.50\"",
        "\"a\"",
        "\"\"",
        "null",
        "\"null\"",
        "\"[1]\"",
        "\"\\\"a\\\"\"",
        "12345678901234567890123",
    ] {
        let request = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"f"}}}}"#
        );
        let (_, calls) = wire::decode(request.as_bytes(), None).unwrap();
        let mut given = result(None, failed());
        given.id.clone_from(&calls[0].id);
        let response = Format::Mcp.wire().answer(&Answer::new(&given));
        let member = format!(r#""id":{id},"#);
        assert!(response.get().contains(&member), "{response}");
    }
}

/// What is sent besides `tools/call` is no call, and must not be answered as one.
#[test]
fn other_requests_of_mcp_are_refused() {
    for request in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}"#,
    ] {
        assert!(wire::decode(request.as_bytes(), None).is_err(), "{request}");
    }
}

fn stream(format: Format, events: &[Value]) -> Taken {
    let events: Vec<Event> = events
        .iter()
        .map(|data| Event {
            name: None,
            data: data.to_string(),
            begins: Vec::new(),
            completes: Vec::new(),
            ends: false,
        })
        .collect();
    let taken = receive([Bytes::from(sse(&events, Style::PLAIN).0)], Some(format));
    assert!(taken.error.is_none(), "{:?}", taken.error);
    taken
}

fn went_back(taken: Taken) -> Vec<Value> {
    let reply = taken.received.unwrap().reply;
    reply.messages.iter().map(|raw| parsed(raw)).collect()
}

#[test]
fn parts_of_gemini_go_back_unchanged_whole_or_streamed() {
    let parts = [
        json!({ "text": "Hm.", "thought": true, "thoughtSignature": "c2ln" }),
        json!({ "text": "I will look." }),
        json!({ "functionCall": { "name": "f", "args": { "z": 1, "a": 2.50 } }, "thoughtSignature": "c2lnMg==" }),
        json!({ "functionCall": { "id": "b", "name": "f" }, "somethingNew": [1] }),
    ];
    let candidate = |parts: &[Value]| json!({ "candidates": [{ "content": { "role": "model", "parts": parts } }] });
    let expected = json!({ "role": "model", "parts": parts });
    let whole = candidate(&parts).to_string();
    let reply = Format::Gemini.api().unwrap().reply(&whole).unwrap();
    assert_eq!(reply.messages.len(), 1);
    assert_eq!(parsed(&reply.messages[0]), expected);
    // The thought is nothing that it says.
    assert_eq!(reply.text, "I will look.");
    assert_eq!(reply.calls.len(), 2);
    let chunks: Vec<Value> = parts.chunks(1).map(candidate).collect();
    let taken = stream(Format::Gemini, &chunks);
    assert_eq!(taken.text, "I will look.");
    assert_eq!(went_back(taken), [expected]);
    let array = json!(chunks).to_string();
    let reply = Format::Gemini.api().unwrap().reply(&array).unwrap();
    assert_eq!((reply.messages.len(), reply.calls.len()), (1, 2));
}

#[test]
fn anthropic_blocks_keep_thinking_signatures_and_citations() {
    let began = |index: usize, block: Value| json!({ "type": "content_block_start", "index": index, "content_block": block });
    let more = |index: usize, delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta });
    let stop = |index: usize| json!({ "type": "content_block_stop", "index": index });
    let citation = json!({ "type": "char_location", "cited_text": "x", "start_char_index": 0 });
    let redacted = json!({ "type": "redacted_thinking", "data": "ZGF0YQ==" });
    let taken = stream(
        Format::Anthropic,
        &[
            began(
                0,
                json!({ "type": "thinking", "thinking": "", "signature": "" }),
            ),
            more(
                0,
                json!({ "type": "thinking_delta", "thinking": "Let me " }),
            ),
            more(0, json!({ "type": "thinking_delta", "thinking": "see." })),
            more(0, json!({ "type": "signature_delta", "signature": "c2ln" })),
            stop(0),
            began(1, redacted.clone()),
            stop(1),
            began(2, json!({ "type": "text", "text": "" })),
            more(2, json!({ "type": "text_delta", "text": "I " })),
            more(2, json!({ "type": "text_delta", "text": "will." })),
            more(
                2,
                json!({ "type": "citations_delta", "citation": citation }),
            ),
            stop(2),
            // The API refuses empty texts.
            began(3, json!({ "type": "text", "text": "" })),
            stop(3),
            // What the API runs itself is no call of ours, and goes back whole.
            began(
                4,
                json!({ "type": "server_tool_use", "id": "s", "name": "web_search", "input": {} }),
            ),
            more(
                4,
                json!({ "type": "input_json_delta", "partial_json": "{\"q\":" }),
            ),
            more(
                4,
                json!({ "type": "input_json_delta", "partial_json": "\"x\"}" }),
            ),
            stop(4),
            began(
                5,
                json!({ "type": "tool_use", "id": "a", "name": "f", "input": {} }),
            ),
            more(5, json!({ "type": "input_json_delta", "partial_json": "" })),
            more(
                5,
                json!({ "type": "input_json_delta", "partial_json": "{\"n\":1}" }),
            ),
            stop(5),
            began(
                6,
                json!({ "type": "tool_use", "id": "b", "name": "f", "input": {} }),
            ),
            stop(6),
            json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" } }),
            json!({ "type": "message_stop" }),
        ],
    );
    assert_eq!(taken.text, "I will.");
    let ids: Vec<_> = taken
        .handed
        .iter()
        .map(|(_, call)| call.id.as_deref().unwrap())
        .collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(
        went_back(taken),
        [json!({ "role": "assistant", "content": [
            { "type": "thinking", "thinking": "Let me see.", "signature": "c2ln" },
            redacted,
            { "type": "text", "text": "I will.", "citations": [citation] },
            { "type": "server_tool_use", "id": "s", "name": "web_search", "input": { "q": "x" } },
            { "type": "tool_use", "id": "a", "name": "f", "input": { "n": 1 } },
            { "type": "tool_use", "id": "b", "name": "f", "input": {} },
        ] })]
    );
}

#[test]
fn whole_replies_go_back_as_they_came() {
    let chat = json!({
        "role": "assistant", "content": "Hm.", "reasoning_content": "…",
        "tool_calls": [{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } }],
    });
    let completion = json!({ "choices": [{ "index": 0, "message": chat }] });
    let items = json!([
        { "type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x" },
        { "type": "function_call", "id": "fc", "call_id": "a", "name": "f", "arguments": "{}" },
    ]);
    let blocks = json!([
        { "type": "thinking", "thinking": "…", "signature": "c2ln" },
        { "type": "tool_use", "id": "a", "name": "f", "input": {} },
    ]);
    for (format, response, expected) in [
        (Format::OpenaiChat, completion, json!([chat])),
        (
            Format::OpenaiResponses,
            json!({ "output": items }),
            items.clone(),
        ),
        (
            Format::Anthropic,
            json!({ "role": "assistant", "content": blocks }),
            json!([{ "role": "assistant", "content": blocks }]),
        ),
    ] {
        let reply = format.api().unwrap().reply(&response.to_string()).unwrap();
        let back: Vec<Value> = reply.messages.iter().map(|raw| parsed(raw)).collect();
        assert_eq!(Value::from(back), expected, "{format}");
        assert_eq!(reply.calls[0].id.as_deref(), Some("a"), "{format}");
    }
}

/// Gemini behind OpenAI's interface has its signatures there; others want their reasoning back.
#[test]
fn a_streamed_message_of_chat_keeps_what_servers_want_back() {
    let delta = |delta: Value| json!({ "choices": [{ "index": 0, "delta": delta }] });
    let extra = json!({ "google": { "thought_signature": "c2ln" } });
    let call = json!({
        "index": 0, "id": "a", "type": "function", "extra_content": extra,
        "function": { "name": "f", "arguments": "{}" },
    });
    let taken = stream(
        Format::OpenaiChat,
        &[
            delta(json!({ "role": "assistant", "reasoning_content": "Let me " })),
            delta(json!({ "reasoning_content": "see." })),
            delta(json!({ "content": "I will." })),
            delta(json!({ "tool_calls": [call] })),
            json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] }),
        ],
    );
    assert_eq!(
        went_back(taken),
        [json!({
            "role": "assistant", "content": "I will.", "reasoning_content": "Let me see.",
            "tool_calls": [{
                "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" },
                "extra_content": extra,
            }],
        })]
    );
}
