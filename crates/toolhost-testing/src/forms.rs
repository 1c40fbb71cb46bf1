//! A whole answer as the stream of its API, and what is decoded from either: the calls must be the
//! same.

use serde_json::{Value, json};
use toolhost_wire::ToolCall;
use toolhost_wire::wire::{DecodeError, Delta, Events, Format, Received};

/// The data of the events as which an answer would be streamed; `None` if it is not its API's
/// answer.
pub fn streamed(format: Format, answer: &Value) -> Option<Vec<String>> {
    let mut events = match format {
        Format::OpenaiChat => chat(answer)?,
        Format::OpenaiResponses => responses(answer)?,
        Format::Anthropic => anthropic(answer)?,
        Format::Gemini => vec![answer.get("candidates").map(|_| answer.clone())?],
        Format::Ollama => vec![
            answer
                .get("message")
                .and(answer.get("done"))
                .map(|_| answer.clone())?,
        ],
        _ => return None,
    };
    let end = match format {
        Format::Ollama => None,
        _ => Some("[DONE]".to_owned()),
    };
    let events = events.drain(..).map(|event| event.to_string());
    Some(events.chain(end).collect())
}

fn chat(answer: &Value) -> Option<Vec<Value>> {
    let mut events = Vec::new();
    for choice in answer.get("choices")?.as_array()? {
        let mut delta = choice.get("message")?.clone();
        if let Some(calls) = delta.get_mut("tool_calls").and_then(Value::as_array_mut) {
            for (index, call) in calls.iter_mut().enumerate() {
                call["index"] = json!(index);
            }
        }
        let mut chunk = answer.clone();
        let mut choice = choice.clone();
        choice.as_object_mut()?.remove("message");
        choice["delta"] = delta;
        chunk["choices"] = json!([choice]);
        events.push(chunk);
    }
    Some(events)
}

fn responses(answer: &Value) -> Option<Vec<Value>> {
    let items = answer.get("output")?.as_array()?.iter().enumerate();
    let items = items.map(|(index, item)| {
        json!({ "type": "response.output_item.done", "output_index": index, "item": item })
    });
    let end = json!({ "type": "response.completed", "response": answer });
    Some(items.chain([end]).collect())
}

fn anthropic(answer: &Value) -> Option<Vec<Value>> {
    answer.get("role")?;
    let mut events = vec![json!({ "type": "message_start", "message": { "content": [] } })];
    for (index, block) in answer.get("content")?.as_array()?.iter().enumerate() {
        events
            .push(json!({ "type": "content_block_start", "index": index, "content_block": block }));
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    let delta = json!({ "stop_reason": answer.get("stop_reason") });
    events.push(json!({ "type": "message_delta", "delta": delta }));
    Some(events)
}

/// What came of a stream.
#[derive(Debug)]
pub struct Read {
    /// The calls that were handed on, by their positions.
    pub calls: Vec<(usize, ToolCall)>,
    /// All of it, or what ended it.
    pub received: Result<Received, DecodeError>,
}

/// Reads the events of a stream, as the agent does.
pub fn read(format: Format, events: &[String]) -> Read {
    let mut reader = Events::new(Some(format)).expect("an API's format");
    let mut calls = Vec::new();
    let mut take = |deltas: Vec<Delta>| {
        for delta in deltas {
            if let Delta::Call { position, call } = delta {
                calls.push((position, call));
            }
        }
    };
    let mut failed = None;
    for event in events {
        match reader.event(event) {
            Ok(deltas) => take(deltas),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let received = reader.finish().map(|(deltas, received)| {
        take(deltas);
        received
    });
    calls.sort_by_key(|(position, _)| *position);
    Read {
        calls,
        received: failed.map_or(received, Err),
    }
}
