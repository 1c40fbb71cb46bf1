//! Items of a streamed response: what identifies them, and the calls among them.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::wire::lenient::{given, name};
use crate::wire::open_call::OpenCall;
use crate::wire::{arguments, object, raw, string};

/// What identifies an item.
#[derive(Deserialize)]
pub(super) struct ItemIdentity<'a> {
    #[serde(borrow)]
    pub(super) r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) call_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) name: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
    /// A custom tool's free text.
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) status: Option<&'a RawValue>,
}

impl ItemIdentity<'_> {
    pub(super) fn kind(&self) -> String {
        string(self.r#type).unwrap_or_default()
    }

    /// The API does not run these: they are for the client.
    pub(super) fn is_call(&self) -> bool {
        matches!(&*self.kind(), "function_call" | "custom_tool_call")
    }

    pub(super) fn given(&self) -> String {
        arguments(given(self.arguments).or(self.input))
    }
}

/// An item of the output.
pub(super) struct OutputSlot {
    pub(super) kind: String,
    pub(super) call_id: Option<String>,
    /// Whether it has an index in the output.
    pub(super) has_place: bool,
    /// Its first announcement.
    pub(super) began: Box<RawValue>,
    /// Its final state.
    pub(super) done: Option<Box<RawValue>>,
    /// The call that it is, among those that have begun.
    pub(super) call: Option<usize>,
}

/// A call, and its item.
pub(super) struct CallItem {
    pub(super) open: OpenCall,
    pub(super) slot: usize,
    /// Whether its arguments arrived before it.
    pub(super) is_orphan: bool,
    pub(super) has_ended: bool,
    pub(super) is_incomplete: bool,
}

impl CallItem {
    /// As the API requires it back: as it arrived, except what its end left out.
    pub(super) fn item(&self, slot: &OutputSlot) -> Box<RawValue> {
        let (open, done) = (&self.open, slot.done.as_ref());
        let said = done.and_then(|done| object::<ItemIdentity>(done).ok());
        if let (Some(done), Some(said)) = (done, said)
            && name(said.name).is_some()
            && said.given() == open.arguments()
        {
            return done.clone();
        }
        let item = done.unwrap_or(&slot.began);
        let mut item: Map<String, Value> = serde_json::from_str(item.get()).unwrap_or_default();
        if done.is_none() {
            // The API does not know its status.
            item.remove("status");
            item.remove("id");
        }
        let input = match open.is_text {
            true => "input",
            false => "arguments",
        };
        item.insert("type".to_owned(), json!(slot.kind));
        item.insert("call_id".to_owned(), json!(open.id));
        item.insert("name".to_owned(), json!(open.name));
        item.insert(input.to_owned(), json!(open.arguments()));
        raw(&item)
    }
}
