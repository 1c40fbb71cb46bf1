//! `toolhost agent --json`: one line of JSON for each event.

use std::io;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use toolhost::agent::{AgentError, Event, FinalAnswer};
use toolhost::wire::{self, Format, Stop};

use super::View;
use crate::cli::out::Out;

pub(super) struct EventLines;

impl View for EventLines {
    fn event(&mut self, event: Event<'_>) {
        let line = match event {
            Event::Turn { number } => json!({ "event": "turn", "number": number }),
            Event::Text(text) => json!({ "event": "text", "text": text }),
            Event::Call { number, call } => json!({
                "event": "call",
                "number": number,
                "id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            }),
            Event::Result { number, result } => {
                let result = Format::Json.wire().answer(&wire::Answer::new(result));
                return drop(print(&EndedEvent {
                    event: "result",
                    number,
                    result,
                }));
            }
            Event::Retry { why, wait } => {
                json!({ "event": "retry", "why": why, "wait_ms": wait.as_millis() as u64 })
            }
            Event::Reply { stop, tokens } => {
                json!({ "event": "reply", "stop": stop_word(stop), "tokens": tokens })
            }
            _ => return,
        };
        // A closed stdout is noticed with the answer.
        let _ = print(&line);
    }

    fn suspended(&mut self, write: &mut dyn FnMut()) {
        write();
    }

    fn answer(&mut self, answer: &FinalAnswer) -> io::Result<()> {
        print(&json!({
            "event": "answer",
            "text": answer.text,
            "stop": stop_word(&answer.stop),
        }))
    }

    fn failed(&mut self, error: &AgentError) -> io::Result<()> {
        print(&json!({ "event": "error", "message": error.to_string() }))
    }
}

#[derive(serde::Serialize)]
struct EndedEvent {
    event: &'static str,
    number: usize,
    result: Box<RawValue>,
}

fn stop_word(stop: &Stop) -> Value {
    match stop {
        Stop::End => json!("end"),
        Stop::Calls => json!("calls"),
        Stop::Length => json!("length"),
        Stop::Other(other) => json!(other),
        _ => Value::Null,
    }
}

/// Prints a line and flushes it.
pub(super) fn print(line: &impl serde::Serialize) -> io::Result<()> {
    Out::stdout().json(&serde_json::to_string(line)?)
}
