//! The responses that come one after the other: a call comes whole, or in pieces that are values at
//! paths (see [`super::partial`]).

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, json};

use super::partial::Arguments;
use super::{Gemini, back, content};
use crate::tool::ToolCall;
use crate::wire::copies::{Places, by_place};
use crate::wire::error::DecodeError;
use crate::wire::lenient::{given, is_blank, name, number, reason};
use crate::wire::members::{Members, Merged};
use crate::wire::open::Open;
use crate::wire::{
    Close, Delta, End, Received, Reply, Stop, StreamDecoder, Tokens, api_error, arguments, array,
    document, object, raw, string,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    #[serde(borrow)]
    candidates: Option<&'a RawValue>,
    #[serde(borrow, alias = "prompt_feedback")]
    prompt_feedback: Option<&'a RawValue>,
    #[serde(borrow, alias = "usage_metadata")]
    usage_metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow, alias = "finish_reason")]
    finish_reason: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    parts: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    thought: Option<&'a RawValue>,
    #[serde(borrow, alias = "function_call")]
    function_call: Option<&'a RawValue>,
    /// What the API runs by itself.
    #[serde(borrow, alias = "executable_code")]
    executable_code: Option<&'a RawValue>,
    #[serde(borrow, alias = "code_execution_result")]
    code_execution_result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionCall<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    #[serde(borrow, alias = "partial_args")]
    partial_args: Option<&'a RawValue>,
    #[serde(borrow, alias = "will_continue")]
    will_continue: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage<'a> {
    #[serde(borrow, alias = "prompt_token_count")]
    prompt_token_count: Option<&'a RawValue>,
    #[serde(borrow, alias = "candidates_token_count")]
    candidates_token_count: Option<&'a RawValue>,
    #[serde(borrow, alias = "thoughts_token_count")]
    thoughts_token_count: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback<'a> {
    #[serde(borrow, alias = "block_reason")]
    block_reason: Option<&'a RawValue>,
}

/// A call, and the part of the answer that it is.
struct Call {
    open: Open,
    part: usize,
    /// The other members of that part, where it came in pieces.
    others: Merged,
    pieces: Arguments,
    is_in_pieces: bool,
    /// Whether more of it is to come.
    goes_on: bool,
    /// Whether arguments were there, be they none.
    has_arguments: bool,
    /// Whether more of it came than was said to.
    is_doubtful: bool,
}

#[derive(Default)]
pub(super) struct Stream {
    text: String,
    /// Unchanged, signatures and all: the API wants them back so.
    parts: Vec<Box<RawValue>>,
    calls: Vec<Call>,
    places: Places,
    by_id: HashMap<String, usize>,
    finish_reason: Option<String>,
    /// Whether something of the answer came after a reason for its end.
    went_on: bool,
    /// Whether the last part is one after which an answer may end: not what the API runs by itself.
    may_end: bool,
    is_over: bool,
    tokens: Tokens,
}

impl Stream {
    pub(super) fn response(
        &mut self,
        raw: &RawValue,
        deltas: &mut Vec<Delta>,
    ) -> Result<(), DecodeError> {
        let response: Response = object(raw)?;
        if let Some(error) = response.error.filter(|error| !is_blank(error)) {
            return Err(api_error(error));
        }
        let usage = given(response.usage_metadata);
        if let Some(usage) = usage.and_then(|usage| object::<Usage>(usage).ok()) {
            let count = |raw| number(raw).unwrap_or_default();
            let thoughts = count(usage.thoughts_token_count);
            self.tokens = Tokens {
                input: count(usage.prompt_token_count),
                output: count(usage.candidates_token_count).saturating_add(thoughts),
            };
        }
        let feedback = given(response.prompt_feedback);
        let feedback = feedback.and_then(|feedback| object::<PromptFeedback>(feedback).ok());
        if let Some(blocked) = feedback.and_then(|feedback| why(feedback.block_reason)) {
            self.finish_reason = Some(blocked);
            self.may_end = true;
        }
        let candidates = given(response.candidates).map(array).transpose()?;
        // Of several alternatives the first is the answer.
        let Some(candidate) = candidates.unwrap_or_default().into_iter().next() else {
            return Ok(());
        };
        let candidate: Candidate = object(candidate)?;
        if let Some(content) = given(candidate.content) {
            let content: Content = object(content)?;
            let parts = given(content.parts).map(array).transpose()?;
            for part in parts.unwrap_or_default() {
                self.part(part, deltas)?;
            }
        }
        if let Some(reason) = why(candidate.finish_reason) {
            self.finish_reason = Some(reason);
        }
        Ok(())
    }

    fn part(&mut self, raw: &RawValue, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        let part: Part = object(raw)?;
        let is_thought = part.thought.is_some_and(|flag| flag.get() == "true");
        let text = string(part.text).unwrap_or_default();
        if let Some(called) = given(part.function_call) {
            self.went_on |= self.finish_reason.is_some();
            self.may_end = true;
            return self.called(raw, object(called)?, deltas);
        }
        let says_nothing = text.is_empty() && part.text.is_some();
        let runs = part.executable_code.or(part.code_execution_result);
        if !says_nothing {
            self.went_on |= self.finish_reason.is_some();
            self.may_end = !is_thought && given(runs).is_none();
        }
        if !is_thought && !text.is_empty() {
            self.text.push_str(&text);
            deltas.push(Delta::Text(text));
        }
        self.parts.push(raw.to_owned());
        Ok(())
    }

    fn called(
        &mut self,
        part: &RawValue,
        call: FunctionCall,
        deltas: &mut Vec<Delta>,
    ) -> Result<(), DecodeError> {
        let (id, called) = (name(call.id), name(call.name));
        // A piece has neither, or says them again.
        let is_its = |at: &usize| {
            let known = &self.calls[*at];
            let same_id = id.is_none() || known.open.id.is_none() || known.open.id == id;
            let same_name = called.as_ref().is_none_or(|name| *name == known.open.name);
            (known.goes_on || !known.has_arguments) && same_id && same_name
        };
        let by_id = id.as_ref().and_then(|id| self.by_id.get(id).copied());
        let last = self.calls.len().checked_sub(1);
        let known = by_id.filter(is_its).or(last.filter(is_its));
        let is_begun = called.is_some() || id.is_some() || given(call.args).is_some();
        let partial_args = given(call.partial_args);
        let (at, is_new) = match known {
            // Two that have nothing are two, unless the first is to go on.
            Some(at) if self.calls[at].goes_on || called.is_none() => (at, false),
            // What ends a call that has ended already.
            _ if !is_begun && partial_args.is_none() => return Ok(()),
            _ => (self.begin(part, &id, called.as_deref()), true),
        };
        let known = &mut self.calls[at];
        known.is_in_pieces |= !is_new;
        known.is_doubtful |= !is_new && !known.goes_on;
        for (key, value) in object::<Members>(part)?.0 {
            if !matches!(&*key, "functionCall" | "function_call") {
                known.others.set(&key, value);
            }
        }
        if let Some(partial_args) = partial_args {
            known.pieces.add(partial_args);
            known.is_in_pieces = true;
            known.has_arguments = true;
        }
        if let Some(args) = given(call.args) {
            known.open.set(arguments(Some(args)));
            known.has_arguments = true;
        }
        known.goes_on = call.will_continue.is_some_and(|flag| flag.get() == "true");
        known.is_in_pieces |= known.goes_on;
        if known.is_whole() && !known.is_doubtful {
            self.complete(at, deltas);
        }
        Ok(())
    }

    fn begin(&mut self, part: &RawValue, id: &Option<String>, name: Option<&str>) -> usize {
        let at = self.calls.len();
        if let Some(id) = id {
            self.by_id.insert(id.clone(), at);
        }
        let name = name.unwrap_or_default();
        let mut open = Open::new(id.clone(), name.to_owned(), String::new());
        open.place = self.places.begin(id.as_deref(), name);
        self.calls.push(Call {
            open,
            part: self.parts.len(),
            others: Merged::default(),
            pieces: Arguments::default(),
            is_in_pieces: false,
            goes_on: false,
            has_arguments: false,
            is_doubtful: false,
        });
        self.parts.push(part.to_owned());
        at
    }

    fn complete(&mut self, at: usize, deltas: &mut Vec<Delta>) {
        if !self.places.has_taken(&self.calls[at].open) {
            self.put_together(at);
            let call = self.tool_call(&self.calls[at]);
            self.places.complete(&mut self.calls[at].open, call, deltas);
        }
    }

    /// Makes one part of the pieces of a call, as the API wants it back.
    fn put_together(&mut self, at: usize) {
        let call = &mut self.calls[at];
        if !call.is_in_pieces {
            return;
        }
        if !call.pieces.is_empty() {
            call.open.set(call.pieces.to_json());
        }
        let args = RawValue::from_string(call.open.arguments().to_owned());
        let args = args.ok().filter(|_| call.pieces.is_valid());
        let mut called = Merged::default();
        if let Some(id) = &call.open.id {
            called.set("id", &raw(id));
        }
        called.set("name", &raw(&call.open.name));
        called.set("args", &args.unwrap_or_else(|| raw(&json!({}))));
        let mut part = Merged::default();
        part.set("functionCall", &called.to_raw());
        part.set_all(&call.others);
        self.parts[call.part] = part.to_raw();
    }

    fn tool_call(&self, call: &Call) -> ToolCall {
        let mut read = call.open.call(&Gemini, self.parts[call.part].get());
        if !call.pieces.is_valid() {
            // It is no object: that is the call's error.
            read.arguments = call.pieces.to_json();
        }
        read
    }

    fn is_early(&self) -> bool {
        let reason = self.finish_reason.as_deref();
        reason.is_some_and(|reason| !matches!(reason, "STOP" | "FUNCTION_CALL"))
    }

    fn over(&mut self, deltas: &mut Vec<Delta>) {
        self.is_over = true;
        self.places.over();
        let is_well = self.finish_reason.is_some() && !self.is_early();
        for at in 0..self.calls.len() {
            let call = &self.calls[at];
            if call.is_whole() || is_well && !call.pieces.is_open() {
                self.complete(at, deltas);
            }
        }
    }

    /// An answer that came whole.
    pub(super) fn into_reply(mut self) -> Reply {
        self.complete_whole();
        self.places.over();
        self.complete_whole();
        self.received()
    }

    fn complete_whole(&mut self) {
        for at in 0..self.calls.len() {
            if !self.calls[at].goes_on {
                self.complete(at, &mut Vec::new());
            }
        }
    }

    fn received(mut self) -> Reply {
        for at in 0..self.calls.len() {
            if !self.calls[at].open.is_complete() {
                self.put_together(at);
            }
        }
        for call in &mut self.calls {
            self.places.end(&mut call.open);
        }
        let calls = self.calls.iter();
        let (calls, cut) = by_place(calls.map(|call| (&call.open, self.tool_call(call))));
        let stop = match self.finish_reason.as_deref() {
            Some("MAX_TOKENS") => Stop::Length,
            Some("STOP" | "FUNCTION_CALL") | None if !calls.is_empty() => Stop::Calls,
            Some("STOP") | None => Stop::End,
            Some(other) => Stop::Other(other.to_owned()),
        };
        let copies = self.calls.iter().filter(|call| call.open.is_copy);
        let copies: HashSet<usize> = copies.map(|call| call.part).collect();
        let parts = self.parts.iter().enumerate();
        let parts = parts.filter(|(at, _)| !copies.contains(at));
        let parts: Vec<_> = parts.filter_map(|(_, part)| back(part)).collect();
        Reply {
            cut,
            messages: match parts.is_empty() {
                true => Vec::new(),
                false => vec![content("model", parts)],
            },
            carried: Map::new(),
            text: self.text,
            calls,
            stop,
            tokens: self.tokens,
        }
    }
}

impl super::super::Sealed for Stream {}

impl StreamDecoder for Stream {
    fn event(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        let document = document(data)?;
        let responses = match document.get().starts_with('[') {
            true => array(document)?,
            false => vec![document],
        };
        for response in responses {
            self.response(response, deltas)?;
        }
        Ok(())
    }

    fn end(&self) -> End {
        match &self.finish_reason {
            _ if self.is_over => End::Over,
            // Some proxies say it ahead of everything, and the API between what it runs by itself.
            Some(_) if self.may_end => End::Said {
                doubtful: self.went_on || self.calls.last().is_some_and(|call| call.goes_on),
            },
            _ => End::Open,
        }
    }

    fn close(&mut self, by: Close, deltas: &mut Vec<Delta>) {
        if by == Close::Done || self.finish_reason.is_some() {
            self.over(deltas);
        }
    }

    fn finish(mut self: Box<Self>, deltas: &mut Vec<Delta>) -> Received {
        if self.finish_reason.is_some() && !self.is_over {
            self.over(deltas);
        }
        Received {
            is_complete: self.is_over,
            reply: self.received(),
        }
    }
}

/// A reason that is one.
fn why(raw: Option<&RawValue>) -> Option<String> {
    reason(raw).filter(|reason| !reason.ends_with("_UNSPECIFIED"))
}

impl Call {
    /// Whether nothing says that there is more of it.
    fn is_whole(&self) -> bool {
        !self.goes_on && self.has_arguments && !self.pieces.is_open()
    }
}
