//! Messages of clients, as text, before rmcp reads them: calls whose arguments are to stay as they were written, and
//! what would take too much to be kept.

use std::borrow::Cow;

use rmcp::ErrorData;
use rmcp::model::{JsonObject, JsonRpcMessage, RequestId, ServerJsonRpcMessage};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::schema;
use crate::tool::ToolCall;

/// A `_meta` with more is refused: it is kept as values, which take many times its text, for as long as its request
/// runs.
const MAX_META: usize = 16 << 10;
const MAX_META_VALUES: usize = 1_000;

/// A longer message that cannot be looked at here is not read elsewhere either.
const MAX_UNSEEN: usize = 16 << 10;

/// A longer id of a request is refused: it is in every message about it.
pub(crate) const MAX_ID: usize = 1 << 10;

/// Arguments of up to so many bytes are passed to rmcp as they are.
const MAX_SEEN: usize = 16 << 10;

/// Of longer ones so many members are, and of those the short ones: that is what headers may repeat.
const SEEN_MEMBERS: usize = 100;
const SEEN_MEMBER: usize = 1 << 10;

/// Whether a `_meta` has more than it may.
pub(crate) fn is_much(meta: &RawValue) -> bool {
    let meta = meta.get().as_bytes();
    // Roughly: strings may have such characters too.
    let values = || meta.iter().filter(|byte| b",[{".contains(byte)).count();
    meta.len() > MAX_META || values() > MAX_META_VALUES
}

/// Whether a `_meta` says a version, as in the stateless protocol.
fn names_version(meta: &RawValue) -> bool {
    meta.get()
        .contains("io.modelcontextprotocol/protocolVersion")
}

/// What is looked at of a message before it is read as what it is, as text.
#[derive(Default)]
pub(crate) struct Peeked<'a> {
    /// It is long, and no object whose members are there once.
    is_unseen: bool,
    id: Option<&'a RawValue>,
    meta: Option<&'a RawValue>,
    pub(crate) call: Option<CallOutline<'a>>,
    /// Whether it is an `initialize`, which the stateless protocol does not have.
    pub(crate) is_initialize: bool,
    /// Whether it is a request whose answer may take its time; what cannot be seen may be one.
    pub(crate) waits: bool,
}

/// Requests that are answered at once. `initialize` is kept by its session, which is counted by itself, and the others
/// end what is waited for, or have it go on: these come through whatever waits.
const AT_ONCE: [&str; 6] = [
    "initialize",
    "logging/setLevel",
    "ping",
    "tasks/cancel",
    "tasks/get",
    "tasks/update",
];

/// A call, whatever else is in its message.
pub(crate) struct CallOutline<'a> {
    message: &'a str,
    id: Option<&'a RawValue>,
    pub(crate) name: Cow<'a, str>,
    arguments: Option<&'a str>,
}

#[derive(Deserialize)]
struct MessageOutline<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ParamsOutline<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

impl<'a> Peeked<'a> {
    /// Of what is no message there is nothing.
    pub(crate) fn of(message: &'a [u8]) -> Peeked<'a> {
        Peeked::read(message).unwrap_or_else(|| Peeked {
            is_unseen: message.len() > MAX_UNSEEN
                && message.trim_ascii_start().starts_with(b"{")
                && serde_json::from_slice::<IgnoredAny>(message).is_ok(),
            waits: true,
            ..Peeked::default()
        })
    }

    fn read(message: &'a [u8]) -> Option<Peeked<'a>> {
        let message = str::from_utf8(message).ok()?;
        let outline: MessageOutline = object(message)?;
        let params: Option<ParamsOutline> = match outline.params.map(RawValue::get) {
            Some(params) if params.starts_with('{') => Some(object(params)?),
            _ => None,
        };
        let (id, method) = (outline.id, outline.method.as_deref());
        let is_call = method == Some("tools/call");
        let waits = id.is_some() && method.is_some_and(|method| !AT_ONCE.contains(&method));
        let call = params.as_ref().filter(|_| is_call).and_then(|params| {
            let arguments = params.arguments.map(RawValue::get);
            // Those of another kind than a tool could be meant to get are rmcp's to refuse. Inside they need be no
            // JSON that can be read: how a call fails that has such arguments, its tool's result says.
            if arguments.is_some_and(|arguments| !are_arguments(arguments)) {
                return None;
            }
            Some(CallOutline {
                message,
                id,
                name: serde_json::from_str(params.name?.get()).ok()?,
                arguments,
            })
        });
        let meta = params.and_then(|params| params.meta);
        Some(Peeked {
            is_unseen: false,
            is_initialize: method == Some("initialize") && !meta.is_some_and(names_version),
            id,
            meta,
            call,
            waits,
        })
    }

    /// The answer to a message that would take too much to be kept.
    pub(crate) fn refusal(&self) -> Option<ServerJsonRpcMessage> {
        let (error, id) = if self.id.is_some_and(|id| id.get().len() > MAX_ID) {
            let text = format!("a request id may have at most {MAX_ID} bytes");
            (ErrorData::invalid_request(text, None), None)
        } else if self.is_unseen {
            let text = format!(
                "a message of more than {MAX_UNSEEN} bytes must be a JSON object without duplicate keys"
            );
            (ErrorData::invalid_request(text, None), None)
        } else if self.meta.is_some_and(is_much) {
            let text =
                format!("`_meta` may have at most {MAX_META} bytes and {MAX_META_VALUES} values");
            let id = self.id.and_then(|id| serde_json::from_str(id.get()).ok());
            (ErrorData::invalid_params(text, None), id)
        } else {
            return None;
        };
        Some(JsonRpcMessage::error(error, id))
    }
}

impl<'a> CallOutline<'a> {
    /// The call, as the host runs it.
    pub(crate) fn call(&self) -> ToolCall {
        let id = self.id.and_then(|id| serde_json::from_str(id.get()).ok());
        let id = id.map(|id: RequestId| id.to_string());
        let arguments = self.arguments.map_or("", meant);
        ToolCall::new(id.unwrap_or_default(), &*self.name, arguments)
    }

    /// The message with other arguments, if it has any.
    pub(crate) fn with_arguments(&self, arguments: &str) -> Option<Vec<u8>> {
        let written = self.arguments?;
        let start = written.as_ptr().addr() - self.message.as_ptr().addr();
        let (before, rest) = self.message.split_at(start);
        let after = &rest[written.len()..];
        Some([before, arguments, after].concat().into_bytes())
    }

    /// The message as rmcp reads it, where that is another: with the object that arguments are which are
    /// written as a string, and of long ones with what headers may be held against.
    pub(crate) fn for_rmcp(&self) -> Option<Vec<u8>> {
        let arguments = self.arguments?;
        let object = match arguments.starts_with('"') {
            true => Cow::Owned(schema::unwrapped(arguments).unwrap_or_else(|| "{}".to_owned())),
            false => Cow::Borrowed(arguments),
        };
        if object.len() > MAX_SEEN {
            return self.with_arguments(&seen(&object));
        }
        match object {
            Cow::Borrowed(_) => None,
            Cow::Owned(object) => {
                let is_read = serde_json::from_str::<JsonObject>(&object).is_ok();
                self.with_arguments(if is_read { &object } else { "{}" })
            }
        }
    }
}

/// Whether a tool could be meant to get that: an object, or one that a model wrote as a string.
pub(crate) fn are_arguments(json: &str) -> bool {
    json.starts_with(['{', '"'])
}

/// Arguments as they are written; text that is blank stands for none.
pub(crate) fn meant(arguments: &str) -> &str {
    let text = match arguments.starts_with('"') {
        true => serde_json::from_str::<Cow<str>>(arguments).ok(),
        false => None,
    };
    match text {
        Some(text) if text.trim_ascii().is_empty() => "{}",
        _ => arguments,
    }
}

/// An object's members that are short and neither objects nor arrays.
fn seen(arguments: &str) -> String {
    struct Seen(JsonObject);
    impl<'de> Deserialize<'de> for Seen {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Members)
        }
    }
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Seen;
        fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
            formatter.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen, A::Error> {
            let mut seen = JsonObject::new();
            while seen.len() < SEEN_MEMBERS
                && let Some((name, value)) = map.next_entry::<Cow<str>, &RawValue>()?
            {
                let value = value.get();
                let is_short = name.len() <= SEEN_MEMBER && value.len() <= SEEN_MEMBER;
                if is_short && !value.starts_with(['{', '[']) {
                    let value = serde_json::from_str(value).map_err(serde::de::Error::custom)?;
                    seen.insert(name.into_owned(), value);
                }
            }
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Seen(seen))
        }
    }
    let read: Result<Seen, _> = serde_json::from_str(arguments);
    let seen = read.and_then(|Seen(seen)| serde_json::to_string(&seen));
    seen.unwrap_or_else(|_| "{}".to_owned())
}

/// What an object has. Arrays of the same in order would be taken as well.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Option<T> {
    let is_object = json.trim_ascii_start().starts_with('{');
    is_object.then(|| serde_json::from_str(json).ok())?
}
