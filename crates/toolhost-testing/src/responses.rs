//! Responses as the APIs send them, encoded here: whole, in parts, and as event streams. And what
//! becomes of a stream, read as the binary reads it.

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use toolhost_wire::ToolCall;
use toolhost_wire::wire::{DecodeError, Delta, Events, Format, Received, event_data};

/// The formats that models' APIs stream as events.
pub const APIS: [Format; 4] = [
    Format::OpenaiChat,
    Format::OpenaiResponses,
    Format::Anthropic,
    Format::Gemini,
];

/// The formats in which models answer, streamed as events or not.
pub const MODELS: [Format; 6] = [
    Format::OpenaiChat,
    Format::OpenaiResponses,
    Format::Anthropic,
    Format::Gemini,
    Format::Ollama,
    Format::Bedrock,
];

/// What a response of [`events`] and [`whole`] says beside its calls.
pub const TEXT: &str = "Let me see… 😀é";

/// How much of a response there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    /// All of it; of lines, lines.
    Response,
    /// The message alone, where the format has one.
    Message,
    /// The array of calls.
    Calls,
}

/// A response with these calls. Arguments are JSON, and are put in as they are written.
pub fn whole(format: Format, calls: &[ToolCall], around: Around) -> String {
    let calls: Vec<String> = calls
        .iter()
        .enumerate()
        .map(|(position, call)| encoded(format, position, call))
        .collect();
    let with = |first: Value| [vec![first.to_string()], calls.clone()].concat();
    match (format, around) {
        (Format::Mcp | Format::Json, Around::Response) => calls.join("\n"),
        (Format::Mcp | Format::Json, _) | (_, Around::Calls) => array(&calls),
        (Format::OpenaiChat, _) => {
            let message = object(&[
                ("role", text("assistant")),
                ("content", "null".to_owned()),
                ("tool_calls", array(&calls)),
            ]);
            if around == Around::Message {
                return message;
            }
            let choice = object(&[
                ("index", "0".to_owned()),
                ("message", message),
                (
                    "finish_reason",
                    text(if calls.is_empty() {
                        "stop"
                    } else {
                        "tool_calls"
                    }),
                ),
            ]);
            object(&[
                ("id", text("chatcmpl-1")),
                ("object", text("chat.completion")),
                ("choices", array(&[choice])),
                (
                    "usage",
                    r#"{"prompt_tokens":9,"completion_tokens":7}"#.to_owned(),
                ),
            ])
        }
        (Format::OpenaiResponses, _) => {
            let output = with(json!({ "type": "reasoning", "id": "rs_1", "summary": [] }));
            if around == Around::Message {
                // It has none: its items are what there is.
                return array(&output);
            }
            object(&[
                ("id", text("resp_1")),
                ("object", text("response")),
                ("status", text("completed")),
                ("error", "null".to_owned()),
                ("output", array(&output)),
                (
                    "usage",
                    r#"{"input_tokens":9,"output_tokens":7}"#.to_owned(),
                ),
            ])
        }
        (Format::Anthropic, _) => {
            let content = array(&with(json!({ "type": "text", "text": TEXT })));
            if around == Around::Message {
                return object(&[("role", text("assistant")), ("content", content)]);
            }
            object(&[
                ("id", text("msg_1")),
                ("type", text("message")),
                ("role", text("assistant")),
                ("content", content),
                (
                    "stop_reason",
                    text(if calls.is_empty() {
                        "end_turn"
                    } else {
                        "tool_use"
                    }),
                ),
                (
                    "usage",
                    r#"{"input_tokens":9,"output_tokens":7}"#.to_owned(),
                ),
            ])
        }
        (Format::Gemini, _) => {
            let parts = array(&with(json!({ "text": TEXT })));
            let content = object(&[("role", text("model")), ("parts", parts)]);
            if around == Around::Message {
                return content;
            }
            let candidate = object(&[
                ("content", content),
                ("finishReason", text("STOP")),
                ("index", "0".to_owned()),
            ]);
            object(&[
                ("candidates", array(&[candidate])),
                (
                    "usageMetadata",
                    r#"{"promptTokenCount":9,"candidatesTokenCount":7}"#.to_owned(),
                ),
            ])
        }
        (Format::Ollama, _) => {
            let message = object(&[
                ("role", text("assistant")),
                ("content", text(TEXT)),
                ("tool_calls", array(&calls)),
            ]);
            if around == Around::Message {
                return message;
            }
            object(&[
                ("model", text("m")),
                ("message", message),
                ("done", "true".to_owned()),
                ("done_reason", text("stop")),
                ("prompt_eval_count", "9".to_owned()),
                ("eval_count", "7".to_owned()),
            ])
        }
        (Format::Bedrock, _) => {
            let content = array(&with(json!({ "text": TEXT })));
            let message = object(&[("role", text("assistant")), ("content", content)]);
            if around == Around::Message {
                return message;
            }
            object(&[
                ("output", object(&[("message", message)])),
                (
                    "stopReason",
                    text(if calls.is_empty() {
                        "end_turn"
                    } else {
                        "tool_use"
                    }),
                ),
                ("usage", r#"{"inputTokens":9,"outputTokens":7}"#.to_owned()),
            ])
        }
        (other, _) => panic!("nobody encodes {other}"),
    }
}

/// One call by itself.
pub fn encoded(format: Format, position: usize, call: &ToolCall) -> String {
    let id = |key| call.id.as_deref().map(|id| (key, text(id)));
    let name = || ("name", text(&call.name));
    let members: Vec<(&str, String)> = match format {
        Format::OpenaiChat => {
            let function = object(&[name(), ("arguments", text(&call.arguments))]);
            let rest = [("type", text("function")), ("function", function)];
            id("id").into_iter().chain(rest).collect()
        }
        Format::OpenaiResponses => return function_call(position, call, &call.arguments, true),
        Format::Anthropic => {
            let kind = ("type", text("tool_use"));
            let rest = [name(), ("input", call.arguments.clone())];
            [kind].into_iter().chain(id("id")).chain(rest).collect()
        }
        Format::Gemini => {
            let rest = [name(), ("args", call.arguments.clone())];
            let inner: Vec<_> = id("id").into_iter().chain(rest).collect();
            let call = ("functionCall", object(&inner));
            // Of parallel calls the first alone has a signature.
            let signature = (position == 0).then(|| ("thoughtSignature", text("c2lnbmVk")));
            [call].into_iter().chain(signature).collect()
        }
        Format::Ollama => {
            let function = object(&[name(), ("arguments", call.arguments.clone())]);
            let rest = [("function", function)];
            id("id").into_iter().chain(rest).collect()
        }
        Format::Bedrock => {
            let rest = [name(), ("input", call.arguments.clone())];
            let inner: Vec<_> = id("toolUseId").into_iter().chain(rest).collect();
            vec![("toolUse", object(&inner))]
        }
        Format::Mcp => {
            let params = object(&[name(), ("arguments", call.arguments.clone())]);
            let rest = [("method", text("tools/call")), ("params", params)];
            let version = ("jsonrpc", text("2.0"));
            [version].into_iter().chain(id("id")).chain(rest).collect()
        }
        Format::Json => {
            let rest = [name(), ("arguments", call.arguments.clone())];
            id("id").into_iter().chain(rest).collect()
        }
        other => panic!("nobody encodes {other}"),
    };
    object(&members)
}

/// An item of OpenAI Responses.
fn function_call(position: usize, call: &ToolCall, arguments: &str, is_done: bool) -> String {
    let status = if is_done { "completed" } else { "in_progress" };
    json!({
        "type": "function_call",
        "id": format!("fc_{position}"),
        "call_id": call.id,
        "name": call.name,
        "arguments": arguments,
        "status": status,
    })
    .to_string()
}

fn text(text: &str) -> String {
    json!(text).to_string()
}

fn array(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

fn object(members: &[(&str, String)]) -> String {
    let members = members.iter();
    let members: Vec<_> = members
        .map(|(key, value)| format!("{}:{value}", text(key)))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// One event of a stream, and its effect on the calls.
#[derive(Clone, Debug)]
pub struct Event {
    /// What `event:` says, where the API sends that.
    pub name: Option<String>,
    pub data: String,
    /// The calls that are known from now on.
    pub begins: Vec<usize>,
    /// The calls whose arguments are complete from now on.
    pub completes: Vec<usize>,
    /// Whether the API says with it that this is all: then what has begun is complete with the end of
    /// the stream.
    pub ends: bool,
}

impl Event {
    fn new(data: impl ToString) -> Event {
        Event {
            name: None,
            data: data.to_string(),
            begins: Vec::new(),
            completes: Vec::new(),
            ends: false,
        }
    }

    /// An event whose data names its own type.
    fn named(data: Value) -> Event {
        Event {
            name: Some(data["type"].as_str().unwrap().to_owned()),
            ..Event::new(data)
        }
    }
}

/// A call whose arguments come in these pieces.
#[derive(Clone, Debug)]
pub struct Pieces {
    pub call: ToolCall,
    pub pieces: Vec<String>,
}

/// The stream of a response with these calls. `next` chooses which call continues or begins; APIs
/// without interleaving are included.
pub fn events(
    format: Format,
    calls: &[Pieces],
    mut next: impl FnMut(usize) -> usize,
) -> Vec<Event> {
    let mut events = begin(format);
    if format == Format::Gemini {
        // Calls come whole, several in an event or one.
        let mut at = 0;
        while at < calls.len() {
            let count = 1 + next(calls.len() - at);
            let parts = (at..at + count).map(|at| encoded(format, at, &calls[at].call));
            let parts: Vec<String> = parts.collect();
            events.push(Event {
                begins: (at..at + count).collect(),
                completes: (at..at + count).collect(),
                ..Event::new(gemini(&parts, None))
            });
            at += count;
        }
    } else {
        let mut open: Vec<(usize, std::slice::Iter<String>)> = Vec::new();
        let mut begun = 0;
        let mut came = vec![String::new(); calls.len()];
        loop {
            let choices = open.len() + usize::from(begun < calls.len());
            if choices == 0 {
                break;
            }
            let chosen = next(choices);
            let Some((position, pieces)) = open.get_mut(chosen) else {
                let mut event = begin_call(format, begun, &calls[begun].call);
                if format == Format::OpenaiChat {
                    // After a call with `{}`, the next one says that it was complete.
                    let is_empty = |at: &usize| is_braces(&came[*at]);
                    event.completes = (0..begun).filter(is_empty).collect();
                }
                events.push(event);
                open.push((begun, calls[begun].pieces.iter()));
                begun += 1;
                continue;
            };
            let (position, piece) = (*position, pieces.next());
            came[position].extend(piece.map(String::as_str));
            let is_last = pieces.as_slice().iter().all(String::is_empty);
            match piece {
                Some(piece) => {
                    let is_whole = is_last && !is_braces(&came[position]);
                    events.push(more(format, position, piece, is_whole));
                }
                None => {
                    drop(open.remove(chosen));
                    events.extend(end_call(format, position, &calls[position].call));
                }
            }
        }
    }
    end(format, calls, &mut events);
    events
}

fn begin(format: Format) -> Vec<Event> {
    match format {
        Format::OpenaiChat => vec![
            Event::new(chat(
                json!({ "role": "assistant", "content": "" }),
                Value::Null,
            )),
            Event::new(chat(json!({ "content": TEXT }), Value::Null)),
        ],
        Format::OpenaiResponses => {
            let response = json!({ "id": "resp_1", "status": "in_progress", "output": [] });
            let item =
                json!({ "type": "message", "id": "msg_1", "role": "assistant", "content": [] });
            let done = json!({
                "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                "content": [{ "type": "output_text", "text": TEXT }],
            });
            vec![
                Event::named(json!({ "type": "response.created", "response": response })),
                Event::named(json!({ "type": "response.in_progress", "response": response })),
                Event::named(
                    json!({ "type": "response.output_item.added", "output_index": 0, "item": item }),
                ),
                Event::named(
                    json!({ "type": "response.output_text.delta", "output_index": 0, "delta": TEXT }),
                ),
                Event::named(
                    json!({ "type": "response.output_item.done", "output_index": 0, "item": done }),
                ),
            ]
        }
        Format::Anthropic => {
            let message =
                json!({ "role": "assistant", "content": [], "usage": { "input_tokens": 9 } });
            let block = json!({ "type": "text", "text": "" });
            let delta = json!({ "type": "text_delta", "text": TEXT });
            vec![
                Event::named(json!({ "type": "message_start", "message": message })),
                Event::named(
                    json!({ "type": "content_block_start", "index": 0, "content_block": block }),
                ),
                Event::named(json!({ "type": "ping" })),
                Event::named(json!({ "type": "content_block_delta", "index": 0, "delta": delta })),
                Event::named(json!({ "type": "content_block_stop", "index": 0 })),
            ]
        }
        _ => vec![Event::new(gemini(
            &[json!({ "text": TEXT }).to_string()],
            None,
        ))],
    }
}

fn begin_call(format: Format, position: usize, call: &ToolCall) -> Event {
    let event = match format {
        Format::OpenaiChat => {
            let function = json!({ "name": call.name, "arguments": "" });
            let mut begun = json!({ "index": position, "type": "function", "function": function });
            if let Some(id) = &call.id {
                begun["id"] = json!(id);
            }
            Event::new(chat(json!({ "tool_calls": [begun] }), Value::Null))
        }
        Format::OpenaiResponses => {
            let item: Value = serde_json::from_str(&function_call(position, call, "", false))
                .expect("an item is JSON");
            Event::named(json!({
                "type": "response.output_item.added", "output_index": position + 1, "item": item,
            }))
        }
        _ => {
            let block =
                json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": {} });
            Event::named(json!({
                "type": "content_block_start", "index": position + 1, "content_block": block,
            }))
        }
    };
    Event {
        begins: vec![position],
        ..event
    }
}

/// Whether arguments are an object without any members: more may follow.
fn is_braces(arguments: &str) -> bool {
    arguments.split_ascii_whitespace().collect::<String>() == "{}"
}

fn more(format: Format, position: usize, piece: &str, is_whole: bool) -> Event {
    match format {
        Format::OpenaiChat => {
            let call = json!({ "index": position, "function": { "arguments": piece } });
            Event {
                // Nothing else says that a call has all of its arguments.
                completes: match is_whole && !piece.is_empty() {
                    true => vec![position],
                    false => Vec::new(),
                },
                ..Event::new(chat(json!({ "tool_calls": [call] }), Value::Null))
            }
        }
        Format::OpenaiResponses => Event::named(json!({
            "type": "response.function_call_arguments.delta",
            "item_id": format!("fc_{position}"),
            "output_index": position + 1,
            "delta": piece,
        })),
        _ => Event::named(json!({
            "type": "content_block_delta",
            "index": position + 1,
            "delta": { "type": "input_json_delta", "partial_json": piece },
        })),
    }
}

fn end_call(format: Format, position: usize, call: &ToolCall) -> Vec<Event> {
    match format {
        Format::OpenaiChat => Vec::new(),
        Format::OpenaiResponses => {
            let item: Value =
                serde_json::from_str(&encoded(format, position, call)).expect("an item is JSON");
            let completes = || vec![position];
            vec![
                Event {
                    // Without any they may come with the item.
                    completes: match call.arguments.is_empty() || is_braces(&call.arguments) {
                        true => Vec::new(),
                        false => completes(),
                    },
                    ..Event::named(json!({
                        "type": "response.function_call_arguments.done",
                        "item_id": format!("fc_{position}"),
                        "output_index": position + 1,
                        "arguments": call.arguments,
                    }))
                },
                Event {
                    // Without any it may also have been cut off.
                    completes: match call.arguments.is_empty() {
                        true => Vec::new(),
                        false => completes(),
                    },
                    ..Event::named(json!({
                        "type": "response.output_item.done",
                        "output_index": position + 1,
                        "item": item,
                    }))
                },
            ]
        }
        _ => vec![Event {
            // Without any it may also have been cut off: why the response ended tells.
            completes: match call.arguments.is_empty() {
                true => Vec::new(),
                false => vec![position],
            },
            ..Event::named(json!({ "type": "content_block_stop", "index": position + 1 }))
        }],
    }
}

fn end(format: Format, calls: &[Pieces], events: &mut Vec<Event>) {
    let reason = |with, without| if calls.is_empty() { without } else { with };
    match format {
        Format::OpenaiChat => {
            events.push(Event {
                ends: true,
                ..Event::new(chat(json!({}), json!(reason("tool_calls", "stop"))))
            });
            let usage = json!({ "prompt_tokens": 9, "completion_tokens": 7 });
            events.push(Event {
                completes: (0..calls.len()).collect(),
                ..Event::new(json!({ "choices": [], "usage": usage }))
            });
            events.push(Event::new("[DONE]"));
        }
        Format::OpenaiResponses => {
            let items = calls.iter().enumerate().map(|(position, given)| {
                serde_json::from_str(&encoded(format, position, &given.call))
                    .expect("an item is JSON")
            });
            let response = json!({
                "id": "resp_1", "status": "completed", "error": null, "incomplete_details": null,
                "output": items.collect::<Vec<Value>>(),
                "usage": { "input_tokens": 9, "output_tokens": 7 },
            });
            events.push(Event {
                completes: (0..calls.len()).collect(),
                ends: true,
                ..Event::named(json!({ "type": "response.completed", "response": response }))
            });
        }
        Format::Anthropic => {
            let delta = json!({ "stop_reason": reason("tool_use", "end_turn") });
            let usage = json!({ "output_tokens": 7 });
            events.push(Event {
                completes: (0..calls.len()).collect(),
                ends: true,
                ..Event::named(json!({ "type": "message_delta", "delta": delta, "usage": usage }))
            });
            events.push(Event::named(json!({ "type": "message_stop" })));
        }
        _ => events.push(Event {
            ends: true,
            ..Event::new(gemini(&[json!({ "text": "" }).to_string()], Some("STOP")))
        }),
    }
}

fn chat(delta: Value, finish_reason: Value) -> Value {
    json!({
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish_reason }],
    })
}

fn gemini(parts: &[String], finish_reason: Option<&str>) -> String {
    let content = object(&[("role", text("model")), ("parts", array(parts))]);
    let mut candidate = vec![("content", content), ("index", "0".to_owned())];
    candidate.extend(finish_reason.map(|reason| ("finishReason", text(reason))));
    let usage = r#"{"promptTokenCount":9,"candidatesTokenCount":7}"#.to_owned();
    object(&[
        ("candidates", array(&[object(&candidate)])),
        ("usageMetadata", usage),
    ])
}

/// How an event stream is written: all that the standard allows.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub line_end: &'static str,
    /// With `: ping` and `id:` lines in between, and unknown fields.
    pub chatty: bool,
    /// JSON over several lines of data.
    pub many_lines: bool,
    pub bom: bool,
    /// Whether a blank line follows the last event.
    pub closed: bool,
}

impl Style {
    pub const PLAIN: Style = Style {
        line_end: "\n",
        chatty: false,
        many_lines: false,
        bom: false,
        closed: true,
    };
}

/// The bytes of a stream, and for each event how many of them have all of its data.
pub fn sse(events: &[Event], style: Style) -> (Vec<u8>, Vec<usize>) {
    let mut out = String::new();
    let mut ends = Vec::new();
    let end = style.line_end;
    if style.bom {
        out.push('\u{feff}');
    }
    for (number, event) in events.iter().enumerate() {
        if style.chatty {
            out += &format!(": ping{end}{end}id: {number}{end}");
        }
        if style.chatty && number == 0 {
            out += &format!("retry: soon{end}nothing{end}what: ever{end}");
        }
        if let Some(name) = &event.name {
            out += &format!("event: {name}{end}");
        }
        let data = match event.data.strip_prefix('{') {
            Some(rest) if style.many_lines => {
                let members = rest.strip_suffix('}').expect("an object");
                format!("{{\n\n{members}\n}}")
            }
            _ => event.data.clone(),
        };
        for line in data.split('\n') {
            let space = if style.chatty { "" } else { " " };
            out += &format!("data:{space}{line}{end}");
        }
        ends.push(out.len() - end.len());
        if style.chatty {
            out += &format!(":{end}");
        }
        if style.closed || number + 1 < events.len() {
            out += end;
        }
    }
    (out.into_bytes(), ends)
}

/// What came of a stream.
#[derive(Debug)]
pub struct Taken {
    pub format: Option<Format>,
    /// The calls that were handed on, in the order in which they were.
    pub handed: Vec<(usize, ToolCall)>,
    pub text: String,
    /// What ended it early.
    pub error: Option<DecodeError>,
    pub received: Result<Received, DecodeError>,
}

/// Reads a stream as `run --sse` does.
pub fn receive<C>(chunks: C, format: Option<Format>) -> Taken
where
    C: IntoIterator<Item = Bytes>,
{
    let chunks: Vec<_> = chunks.into_iter().map(Ok).collect();
    let events = event_data(stream::iter(chunks)).collect::<Vec<_>>();
    let events = events.now_or_never().expect("nothing is waited for");
    let mut reader = Events::new(format).expect("an API's format");
    let (mut handed, mut text) = (Vec::new(), String::new());
    let mut take = |deltas: Vec<Delta>| {
        for delta in deltas {
            match delta {
                Delta::Call { position, call } => handed.push((position, call)),
                Delta::Text(piece) => text += &piece,
                other => panic!("{other:?}"),
            }
        }
    };
    let mut error = None;
    for data in events {
        let taken = match data {
            Ok(data) => reader.event(&data),
            Err(error) => reader.broke(error).map(|()| Vec::new()),
        };
        match taken {
            Ok(deltas) => take(deltas),
            Err(why) => {
                error = Some(why);
                break;
            }
        }
    }
    let format = reader.format();
    let received = reader.finish().map(|(deltas, received)| {
        take(deltas);
        received
    });
    Taken {
        format,
        handed,
        text,
        error,
        received,
    }
}

/// The bytes in chunks of so many.
pub fn chunked(bytes: &[u8], size: usize) -> Vec<Bytes> {
    bytes.chunks(size).map(Bytes::copy_from_slice).collect()
}

/// A chunk of a chat completion with these pieces of calls.
pub fn chunk(pieces: Value) -> Value {
    json!({ "choices": [{ "index": 0, "delta": { "tool_calls": pieces }, "finish_reason": null }] })
}

/// The chunk that ends one.
pub fn finish(reason: &str) -> Value {
    json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] })
}
