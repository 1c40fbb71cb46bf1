//! A completion that comes as an event stream: deltas of one message.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, json};

use super::begun::{Piece, Sort};
use super::messages::back;
use super::pieces::{Calls, Ended, Items};
use super::{Choice, only, stop, tokens};
use crate::wire::error::DecodeError;
use crate::wire::lenient::{given, is_blank, name, number};
use crate::wire::members::{Members, Merged};
use crate::wire::{
    Close, Delta, End, Received, Reply, StreamDecoder, Tokens, api_error, arguments, array,
    document, object, raw, string,
};

/// Why a model says that it is done; of another reason nobody knows whether it cut something off.
const WELL: [&str; 12] = [
    "stop",
    "tool_calls",
    "tool_call",
    "tool_use",
    "function_call",
    "end_turn",
    "stop_sequence",
    "eos",
    "eos_token",
    "end",
    "complete",
    "completed",
];

/// Members of a message that come in pieces.
const PIECES: [&str; 4] = [
    "reasoning",
    "reasoning_content",
    "reasoning_text",
    "thinking",
];

/// Members of a message that are lists to which more is added.
const LISTS: [&str; 6] = [
    "reasoning_details",
    "thinking_blocks",
    "annotations",
    "citations",
    "images",
    "audio_chunks",
];

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Default)]
pub(super) struct Stream {
    text: String,
    refusal: String,
    /// What of the content is in parts that are no text, and the text ahead of each.
    parts: Vec<Box<RawValue>>,
    has_parts: bool,
    /// How much of the text is in them.
    in_parts: usize,
    others: Merged,
    calls: Calls,
    /// The choice that has calls.
    choice: Option<u64>,
    finish_reason: Option<String>,
    /// Whether something of the message came after a reason for its end.
    went_on: bool,
    /// Whether the last chunk had nothing but what the answer took.
    took_last: bool,
    is_over: bool,
    tokens: Tokens,
}

impl super::super::Sealed for Stream {}

impl StreamDecoder for Stream {
    fn event(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        let chunk: Chunk = object(document(data)?)?;
        if let Some(error) = chunk.error.filter(|error| !is_blank(error)) {
            return Err(api_error(error));
        }
        let usage = given(chunk.usage);
        if usage.is_some() {
            self.tokens = tokens(usage);
        }
        let choices = given(chunk.choices).map(array).transpose()?;
        let choices = choices.unwrap_or_default();
        if choices.is_empty() {
            if usage.is_some() && self.has_content() {
                self.took_last = true;
            }
            // It comes after everything else.
            if usage.is_some() && self.finish_reason.is_some() && !self.went_on {
                self.over(deltas);
            }
            return Ok(());
        }
        self.took_last = false;
        self.calls.next_chunk();
        for choice in choices {
            // `message` is of a server that does not stream, or there once more at the end.
            let choice: Choice = object(choice)?;
            let delta = match (given(choice.delta), given(choice.message)) {
                (None, Some(message)) if !self.has_content() => Some(message),
                (delta, _) => delta,
            };
            if let Some(delta) = delta {
                let Members(members) = object(delta)?;
                let index = number(choice.index).unwrap_or_default();
                self.delta(index, members, deltas)?;
            }
            if let Some(error) = choice.failure() {
                return Err(error);
            }
            if let Some(reason) = choice.reason() {
                self.finish_reason = Some(reason);
                self.calls.ended(deltas);
            }
        }
        Ok(())
    }

    fn end(&self) -> End {
        match &self.finish_reason {
            _ if self.is_over => End::Over,
            Some(_) if self.has_content() => End::Said {
                doubtful: self.went_on || self.ended() == Ended::Well && self.calls.may_go_on(),
            },
            _ => End::Open,
        }
    }

    fn close(&mut self, by: Close, deltas: &mut Vec<Delta>) {
        let is_whole = self.took_last && self.calls.are_closed();
        if by == Close::Done || self.finish_reason.is_some() || is_whole {
            self.over(deltas);
        }
    }

    fn finish(mut self: Box<Self>, deltas: &mut Vec<Delta>) -> Received {
        if self.finish_reason.is_some() && !self.is_over {
            // No more was waited for, and of a reason that was said too early before, that says little.
            self.is_over = true;
            let ended = match self.ended() {
                Ended::Well if self.went_on => Ended::Silently,
                ended => ended,
            };
            self.calls.close(ended, deltas);
        }
        self.text_to_parts();
        let stop = stop(self.finish_reason, !self.calls.is_empty());
        let (items, calls, cut) = self.calls.into_parts();
        let mut message = Merged::default();
        message.set("role", &raw("assistant"));
        let content = match (&*self.text, calls.is_empty()) {
            _ if self.has_parts => raw(&self.parts),
            ("", false) => raw(&json!(null)),
            (text, _) => raw(text),
        };
        message.set("content", &content);
        if !self.refusal.is_empty() {
            message.set("refusal", &raw(&*self.refusal));
        }
        message.set_all(&self.others);
        match items {
            Items::Calls(items) if items.is_empty() => {}
            Items::Calls(items) => message.set("tool_calls", &raw(&items)),
            Items::Legacy(call) => message.set("function_call", &call),
        }
        let text = match self.text.is_empty() {
            true => self.refusal,
            false => self.text,
        };
        Received {
            reply: Reply {
                messages: vec![back(&message.to_raw())],
                carried: Map::new(),
                text,
                stop,
                calls,
                cut,
                tokens: self.tokens,
            },
            is_complete: self.is_over,
        }
    }
}

impl Stream {
    fn has_content(&self) -> bool {
        !self.text.is_empty() || !self.refusal.is_empty() || !self.calls.is_empty()
    }

    fn ended(&self) -> Ended {
        match &self.finish_reason {
            None => Ended::Silently,
            Some(reason) if stop(Some(reason.clone()), true).is_early() => Ended::Early,
            Some(reason) if WELL.contains(&&*reason.to_lowercase()) => Ended::Well,
            Some(_) => Ended::Silently,
        }
    }

    fn over(&mut self, deltas: &mut Vec<Delta>) {
        self.is_over = true;
        self.calls.close(self.ended(), deltas);
    }

    fn delta(
        &mut self,
        choice: u64,
        members: Vec<(String, &RawValue)>,
        deltas: &mut Vec<Delta>,
    ) -> Result<(), DecodeError> {
        for (key, value) in members {
            let has_more = !is_blank(value);
            match &*key {
                "role" => {}
                "content" => self.content(value, deltas),
                "refusal" => {
                    let piece = string(Some(value)).unwrap_or_default();
                    if !piece.is_empty() {
                        self.refusal.push_str(&piece);
                        deltas.push(Delta::Text(piece));
                    }
                }
                "tool_calls" if has_more => {
                    let pieces = match value.get().starts_with('{') {
                        true => vec![value],
                        false => array(value)?,
                    };
                    for piece in pieces.into_iter().filter(|piece| piece.get() != "null") {
                        if *self.choice.get_or_insert(choice) != choice {
                            return only(vec![Vec::new(), Vec::new()], "completion", "choices")
                                .map(drop);
                        }
                        self.calls.piece(read_piece(piece)?, deltas);
                    }
                }
                "function_call" if has_more => {
                    let mut piece = Piece {
                        sort: Sort::Legacy,
                        ..Piece::default()
                    };
                    read_inner(&mut piece, value)?;
                    self.calls.piece(piece, deltas);
                }
                "tool_calls" | "function_call" => {}
                _ => self.other(&key, value),
            }
            self.went_on |= has_more && self.finish_reason.is_some() && key != "role";
        }
        Ok(())
    }

    fn content(&mut self, value: &RawValue, deltas: &mut Vec<Delta>) {
        let parts = match value.get().starts_with('[') {
            true => array(value).unwrap_or_default(),
            false => vec![value],
        };
        for part in parts {
            let text = match part.get().starts_with('{') {
                true => raw_text(part),
                false => string(Some(part)),
            };
            match text {
                Some(piece) if piece.is_empty() => {}
                Some(piece) => {
                    self.text.push_str(&piece);
                    deltas.push(Delta::Text(piece));
                }
                None if is_blank(part) || !part.get().starts_with('{') => {}
                None => {
                    self.text_to_parts();
                    self.parts.push(part.to_owned());
                    self.has_parts = true;
                }
            }
        }
    }

    /// Makes a part of the text that is in none.
    fn text_to_parts(&mut self) {
        let text = &self.text[self.in_parts..];
        if !text.is_empty() {
            self.parts
                .push(raw(&json!({ "type": "text", "text": text })));
            self.in_parts = self.text.len();
        }
    }

    /// A member of the message that is none of the API's, or new.
    fn other(&mut self, key: &str, value: &RawValue) {
        match string(Some(value)) {
            _ if is_blank(value) && PIECES.iter().chain(&LISTS).any(|known| *known == key) => {}
            Some(piece) if PIECES.contains(&key) => self.others.append(key, &piece),
            None if LISTS.contains(&key) && value.get().starts_with('[') => {
                let items = serde_json::from_str(value.get()).unwrap_or_default();
                self.others.extend(key, items);
            }
            _ => self.others.set(key, value),
        }
    }
}

/// The text of a part, if it is one.
fn raw_text(part: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Part<'a> {
        #[serde(borrow)]
        text: Option<&'a RawValue>,
    }
    let part: Part = object(part).ok()?;
    string(part.text)
}

fn read_piece(raw: &RawValue) -> Result<Piece<'_>, DecodeError> {
    let Members(members) = object(raw)?;
    let mut piece = Piece::default();
    for (key, value) in members {
        match &*key {
            "index" => piece.index = number(Some(value)),
            "id" => piece.id = name(Some(value)),
            "type" => piece.kind = name(Some(value)),
            "function" => read_inner(&mut piece, value)?,
            "custom" if !is_blank(value) => {
                piece.sort = Sort::Custom;
                read_inner(&mut piece, value)?;
            }
            _ => piece.others.push((key, value)),
        }
    }
    Ok(piece)
}

/// Reads what is called, and with what.
fn read_inner<'a>(piece: &mut Piece<'a>, raw: &'a RawValue) -> Result<(), DecodeError> {
    if is_blank(raw) {
        return Ok(());
    }
    let Members(members) = object(raw)?;
    for (key, value) in members {
        match &*key {
            "name" => piece.name = name(Some(value)),
            "arguments" | "input" | "parameters" | "args" => {
                piece.arguments.push_str(&arguments(Some(value)))
            }
            _ => piece.inner.push((key, value)),
        }
    }
    Ok(())
}
