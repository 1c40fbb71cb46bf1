//! A block of a streamed message, from its beginning to what is sent back.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Anthropic;
use crate::tool::ToolCall;
use crate::wire::duplicate_calls::CallPositions;
use crate::wire::open_call::{Given, OpenCall};
use crate::wire::{Delta, raw};

/// A block that arrives in pieces: its beginning, and what has arrived since.
pub(super) struct StreamedBlock {
    pub(super) kind: String,
    pub(super) began: Map<String, Value>,
    /// The input of a call, or of something the API runs itself.
    pub(super) input: Option<OpenCall>,
    pub(super) is_call: bool,
    pub(super) has_ended: bool,
    /// Whether a piece has arrived.
    pub(super) has_more: bool,
}

impl StreamedBlock {
    pub(super) fn plain(kind: &str, began: Map<String, Value>) -> StreamedBlock {
        StreamedBlock {
            kind: kind.to_owned(),
            began,
            input: None,
            is_call: false,
            has_ended: false,
            has_more: false,
        }
    }

    pub(super) fn given(&self) -> Given {
        self.input.as_ref().map_or(Given::Nothing, OpenCall::given)
    }

    pub(super) fn call(&self) -> Option<ToolCall> {
        let input = self.input.as_ref().filter(|_| self.is_call)?;
        let mut call = input.call(&Anthropic, self.whole().get());
        // An input that is not an object is sent back differently.
        call.arguments = input.arguments().to_owned();
        Some(call)
    }

    /// Whether it repeats an earlier call.
    pub(super) fn is_copy(&self) -> bool {
        self.input.as_ref().is_some_and(|input| input.is_copy)
    }

    /// Delivers it, if it is a call that has not been delivered. Returns whether it was.
    pub(super) fn complete(&mut self, places: &mut CallPositions, deltas: &mut Vec<Delta>) -> bool {
        let call = match &self.input {
            Some(input) if !places.has_taken(input) => self.call(),
            _ => None,
        };
        let (Some(input), Some(call)) = (&mut self.input, call) else {
            return false;
        };
        places.complete(input, call, deltas)
    }

    /// The block as it would be if it had not been streamed.
    pub(super) fn whole(&self) -> Box<RawValue> {
        let Some(input) = &self.input else {
            return raw(&self.began);
        };
        let json = input.arguments();
        let is_object = serde_json::from_str::<Map<String, Value>>(json).is_ok();
        let input = match RawValue::from_string(json.to_owned()) {
            Ok(input) if is_object => input,
            _ if input.given() == Given::Nothing => raw(&json!({})),
            // As the API's documentation on fine-grained streaming requires.
            _ => raw(&json!({ "INVALID_JSON": json })),
        };
        #[derive(Serialize)]
        struct Called<'a> {
            #[serde(flatten)]
            began: &'a Map<String, Value>,
            input: &'a RawValue,
        }
        let mut began = self.began.clone();
        began.remove("input");
        raw(&Called {
            began: &began,
            input: &input,
        })
    }
}

/// Appends to a text.
pub(super) fn append(members: &mut Map<String, Value>, key: &str, piece: &str) {
    match members.entry(key).or_insert(json!("")) {
        Value::String(text) => text.push_str(piece),
        other => *other = json!(piece),
    }
}
