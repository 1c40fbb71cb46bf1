//! Event streams: whatever they are, and in whatever chunks they come.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value};
use toolhost::ToolCall;
use toolhost::wire::{Delta, Events, Format, Stop, event_data};

use crate::common::arbitrary;
use crate::common::responses::{APIS, Style, chunked, events as encoded, receive, sse};
use crate::harness::{Checked, corpus, fuzz};
use crate::mutate::{arbitrary as anything, mutated};

pub const WORDS: &[&str] = &[
    "data: ",
    "data:",
    "data",
    "event: x",
    "id: 1",
    ": ping",
    "\n",
    "\n\n",
    "\r",
    "\r\n",
    "\r\n\r\n",
    "\u{feff}",
    "\0",
    "é😀",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    "null",
    "{}",
    "[]",
    "\"\"",
    "-1",
    "18446744073709551616",
    "\"\\ud800\"",
    "[DONE]",
    "data: [DONE]\n\n",
    "\"index\":0,",
    "\"index\":1,",
    "\"id\":\"a\",",
    "\"name\":\"f\",",
    "\"arguments\":\"{}\"",
    "\"arguments\":{}",
    "\"finish_reason\":\"stop\",",
    "\"finish_reason\":\"length\",",
    "\"error\":{\"message\":\"no\"},",
    "\"output_index\":0,",
    "\"status\":\"incomplete\",",
    "\"type\":\"tool_use\",",
    "\"type\":\"function_call\",",
    "\"type\":\"content_block_start\",",
    "\"type\":\"content_block_stop\",",
    "\"type\":\"response.output_item.done\",",
    "\"functionCall\":{\"name\":\"f\"},",
    "\"functionCall\":{},",
    "\"willContinue\":true,",
    "\"partialArgs\":[{\"jsonPath\":\"$.a.b[0]['c']\",\"stringValue\":\"x\",\"willContinue\":true}],",
    "\"jsonPath\":\"$.a[1]\",",
    "\"arguments\":\"{\"",
    "\"arguments\":\"\",",
    "\"finish_reason\":\"\",",
    "\"finish_reason\":\"tool_calls\",",
    "\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"x\",\"index\":0}],",
    "\"item_id\":\"fc_0\",",
    "data: {\"choices\":[],\"usage\":{}}\n\n",
    "data: {\"type\":\"message_stop\"}\n\n",
    "data: {\"type\":\"response.completed\"}\n\n",
    "\"id\":\"a\",",
    "\"index\":0,",
    "\"call_id\":\"a\",",
    "\"item_id\":\"a\",",
    "\"type\":\"new_call\",",
    "\"status\":\"incomplete\",",
    "\"finish_reason\":\"error\",",
    "\"native_finish_reason\":\"MALFORMED_FUNCTION_CALL\",",
    "\"finishReason\":\"UNEXPECTED_TOOL_CALL\",",
    "data: {\"type\":\"response.function_call_arguments.done\",\"arguments\":\"{}\"}\n\n",
    "\"candidates\":[],",
    "\"choices\":[],",
];

#[test]
fn events() {
    let seeds = corpus("events");
    let files = seeds.iter().map(|(_, text)| text.clone()).collect();
    let inputs = prop_oneof![
        1 => anything(),
        4 => mutated(files, WORDS),
        1 => written(),
    ];
    fuzz("events", &seeds, inputs, check);
}

/// What an API could have sent, in each way to write it, is complete and comes to its calls.
#[test]
fn events_valid() {
    let seeds = corpus("events_valid");
    fuzz("events_valid", &seeds, written(), |input| {
        if !check(input)? {
            return Err("not taken for a whole stream".to_owned());
        }
        torn(input)
    });
}

/// Cut off anywhere, a stream has no call that it would not have had whole.
fn torn(input: &[u8]) -> Checked {
    let whole = receive([Bytes::copy_from_slice(input)], None);
    let calls: BTreeMap<usize, ToolCall> = whole.handed.into_iter().collect();
    // Each place in a short one, and some in a long one.
    let step = 1 + input.len() / 150;
    for at in (0..input.len()).step_by(step) {
        let cut = receive([Bytes::copy_from_slice(&input[..at])], whole.format);
        for (position, call) in cut.handed {
            if calls.get(&position) != Some(&call) {
                return Err(format!(
                    "cut at {at}: {call:?}, and not {:?}",
                    calls.get(&position)
                ));
            }
        }
    }
    Ok(true)
}

/// A stream of any API, written in any way.
fn written() -> impl Strategy<Value = Vec<u8>> {
    let style = (
        select(vec!["\n", "\r\n", "\r"]),
        any::<[bool; 4]>().no_shrink(),
    );
    let style = style.prop_map(|(line_end, [chatty, many_lines, bom, closed])| Style {
        line_end,
        chatty,
        many_lines,
        bom,
        closed,
    });
    let ids = "[a-z]{1,8}".prop_map(Some);
    let calls = arbitrary::calls(ids, 4).prop_flat_map(arbitrary::in_pieces);
    let order = proptest::collection::vec(any::<Index>(), 32);
    let format = select(APIS.to_vec());
    (format, calls, order, style).prop_map(|(format, calls, order, style)| {
        let mut order = order.iter().cycle();
        let events = encoded(format, &calls, |count| {
            order.next().expect("it has no end").index(count)
        });
        sse(&events, style).0
    })
}

/// What came of a stream; what is none is told by its beginning, of which a chunk may have too little.
fn shown(taken: impl std::fmt::Debug) -> String {
    let shown = format!("{taken:?}");
    match shown.contains("NotEvents") {
        true => "no events".to_owned(),
        false => shown,
    }
}

/// Good is a stream that came to its end.
pub fn check(input: &[u8]) -> Checked {
    let whole = Bytes::copy_from_slice(input);
    for format in APIS.map(Some).into_iter().chain([None]) {
        let printed = shown(receive([whole.clone()], format));
        let sizes = match format {
            None => &[1, 2, 3, 7, 100][..],
            Some(_) => &[5],
        };
        for size in sizes {
            let chunks = shown(receive(chunked(input, *size), format));
            if chunks != printed {
                return Err(format!(
                    "{format:?} in {size}s: {chunks}, and not {printed}"
                ));
            }
        }
        accounted(&whole, format)?;
    }
    let taken = receive([whole.clone()], None);
    let (Some(format), None, Ok(received)) = (taken.format, taken.error, &taken.received) else {
        return Ok(false);
    };
    let handed: Vec<&ToolCall> = taken.handed.iter().map(|(_, call)| call).collect();
    for (name, arguments) in complete(&whole, format).unwrap_or_default() {
        let is_it = |call: &&ToolCall| {
            let text = call.arguments.trim_ascii();
            call.name == name && arguments.as_ref().is_none_or(|it| it.trim_ascii() == text)
        };
        if !handed.iter().any(is_it) {
            return Err(format!("{name}({arguments:?}) was lost; {handed:?}"));
        }
    }
    Ok(received.is_complete)
}

/// Each call that began is handed on once, or told to be cut, and none is both but where the API calls them
/// malformed.
fn accounted(input: &Bytes, format: Option<Format>) -> Result<(), String> {
    let data = event_data(stream::iter([Ok(input.clone())])).collect::<Vec<_>>();
    let data = data.now_or_never().expect("nothing is waited for");
    let mut reader = Events::new(format).expect("an API's format");
    let mut handed: BTreeMap<usize, ToolCall> = BTreeMap::new();
    let mut take = |deltas: Vec<Delta>| {
        for delta in deltas {
            if let Delta::Call { position, call } = delta
                && let Some(twice) = handed.insert(position, call)
            {
                return Err(format!("{position} twice: {twice:?}"));
            }
        }
        Ok(())
    };
    for event in data {
        let Ok(deltas) = event.and_then(|event| reader.event(&event)) else {
            break;
        };
        take(deltas)?;
    }
    let Ok((deltas, received)) = reader.finish() else {
        return Ok(());
    };
    take(deltas)?;
    let told: HashSet<usize> = received.reply.cut.iter().copied().collect();
    let calls = &received.reply.calls;
    let is_void = matches!(&received.reply.stop, Stop::Other(reason) if is_malformed(reason));
    for (position, call) in calls.iter().enumerate() {
        match (handed.remove(&position), told.contains(&position)) {
            // What came after its end is kept, but was not waited for.
            (Some(first), false) if call.arguments.starts_with(&first.arguments) => {}
            (None, true) => {}
            (Some(_), true) if is_void => {}
            (first, cut) => return Err(format!("{first:?} was {call:?}, cut: {cut}")),
        }
    }
    match handed.is_empty() && told.len() == received.reply.cut.len() {
        true => Ok(()),
        false => Err(format!("of no call: {handed:?}, {:?}", received.reply.cut)),
    }
}

fn is_malformed(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    let words = ["malformed", "unexpected_tool_call", "function_call_filter"];
    words.iter().any(|word| reason.contains(word))
}

/// The calls that a plain reading of the events finds complete: the name, and the arguments where
/// those are text. `None` where it cannot tell, as the events are none that the API could send.
fn complete(input: &Bytes, format: Format) -> Option<Vec<(String, Option<String>)>> {
    let data = event_data(stream::iter([Ok(input.clone())])).collect::<Vec<_>>();
    let data = data.now_or_never().expect("nothing is waited for");
    let mut events = Vec::new();
    for event in data {
        let event = event.ok()?;
        if event == "[DONE]" {
            break;
        }
        let event = serde_json::from_str::<Value>(&event).ok()?;
        let ends = [
            "message_stop",
            "response.completed",
            "response.incomplete",
            "response.failed",
        ];
        let is_last = event["type"]
            .as_str()
            .is_some_and(|kind| ends.contains(&kind));
        events.push(event);
        if is_last {
            break;
        }
    }
    // What may follow nothing, or `{}`, is a question of its own.
    let is_certain = |text: &str| {
        serde_json::from_str::<Map<String, Value>>(text).is_ok_and(|members| !members.is_empty())
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut found = Vec::new();
    // By index: the name, and what has come of the arguments.
    let mut open: BTreeMap<u64, (String, String)> = BTreeMap::new();
    let mut begun: HashSet<u64> = HashSet::new();
    let mut begun_ids: HashSet<String> = HashSet::new();
    let mut is_over = false;
    for event in &events {
        match (format, event["type"].as_str()) {
            (Format::OpenaiChat, _) => {
                for choice in event["choices"].as_array().into_iter().flatten() {
                    if choice["index"] != 0 {
                        return None;
                    }
                    let calls = choice["delta"]["tool_calls"].as_array();
                    if is_over && calls.is_some() {
                        return None;
                    }
                    is_over |= !choice["finish_reason"].is_null();
                    for call in calls.into_iter().flatten() {
                        let index = call["index"].as_u64()?;
                        let piece = text(&call["function"]["arguments"])?;
                        let id = call.get("id").and_then(Value::as_str);
                        let name = call["function"].get("name");
                        match (call.get("id"), name, open.get_mut(&index)) {
                            (Some(_), Some(name), None) => {
                                let is_id = |id: &&str| !matches!(*id, "" | "null" | "None");
                                // One that comes twice may be of a copy.
                                if !begun_ids.insert(id.filter(is_id)?.to_owned()) {
                                    return None;
                                }
                                open.insert(index, (text(name)?, piece));
                            }
                            (None, None, Some((_, arguments))) => arguments.push_str(&piece),
                            _ => return None,
                        }
                    }
                }
            }
            (Format::OpenaiResponses, Some("response.output_item.done")) => {
                let index = event["output_index"].as_u64()?;
                if open.insert(index, Default::default()).is_some() {
                    return None;
                }
                let item = &event["item"];
                if item["type"] == "function_call" && item["status"] == "completed" {
                    if !begun_ids.insert(text(&item["id"])?) {
                        return None;
                    }
                    let arguments = text(&item["arguments"])?;
                    let name = text(&item["name"])?;
                    if is_certain(&arguments) && !name.is_empty() {
                        found.push((name, Some(arguments)));
                    }
                }
            }
            // They may say something else before.
            (Format::OpenaiResponses, Some("response.output_item.added")) => {
                let index = event["output_index"].as_u64()?;
                let done = events.iter().find(|it| {
                    it["type"] == "response.output_item.done" && it["output_index"] == index
                });
                if done.is_some_and(|done| {
                    let differs = |key: &str| done["item"][key] != event["item"][key];
                    ["name", "id", "call_id", "type"].into_iter().any(differs)
                }) {
                    return None;
                }
            }
            (Format::OpenaiResponses, Some("response.function_call_arguments.done")) => {
                let index = event["output_index"].as_u64()?;
                let done = events.iter().find(|it| {
                    it["type"] == "response.output_item.done" && it["output_index"] == index
                });
                if done?["item"]["arguments"] != event["arguments"] {
                    return None;
                }
            }
            (Format::Anthropic, Some("content_block_start")) => {
                let index = event["index"].as_u64()?;
                if !begun.insert(index) {
                    return None;
                }
                let block = &event["content_block"];
                if block["type"] == "tool_use" && block["input"] == Value::from(Map::new()) {
                    open.insert(index, (text(&block["name"])?, String::new()));
                }
            }
            (Format::Anthropic, Some("content_block_delta")) => {
                let index = event["index"].as_u64()?;
                if !begun.contains(&index) {
                    return None;
                }
                if let Some((_, arguments)) = open.get_mut(&index) {
                    if event["delta"]["type"] != "input_json_delta" {
                        return None;
                    }
                    arguments.push_str(&text(&event["delta"]["partial_json"])?);
                }
            }
            // It comes after all blocks.
            (Format::Anthropic, Some("message_delta")) if !open.is_empty() => return None,
            (Format::Anthropic, Some("content_block_stop")) => {
                let call = open.remove(&event["index"].as_u64()?);
                let call = call.filter(|(_, arguments)| is_certain(arguments));
                found.extend(call.map(|(name, arguments)| (name, Some(arguments))));
            }
            (Format::Gemini, _) => {
                let parts = event["candidates"][0]["content"]["parts"].as_array();
                for call in parts
                    .into_iter()
                    .flatten()
                    .filter_map(|it| it.get("functionCall"))
                {
                    let has_more = call.get("willContinue").or(call.get("partialArgs"));
                    if has_more.is_some() {
                        return None;
                    }
                    let name = text(&call["name"])?;
                    if call["args"].is_object() && !name.is_empty() {
                        found.push((name, None));
                    }
                }
            }
            _ => {}
        }
    }
    match format {
        Format::OpenaiChat => {
            let calls = open.into_values().filter(|(_, text)| is_certain(text));
            Some(
                calls
                    .map(|(name, arguments)| (name, Some(arguments)))
                    .collect(),
            )
        }
        _ => Some(found),
    }
}
