//! Looks at clients' messages as text before rmcp parses them: keeps the arguments of calls as
//! written, and refuses what would take too much memory.

use std::borrow::Cow;

use rmcp::ErrorData;
use rmcp::model::{JsonObject, JsonRpcMessage, RequestId, ServerJsonRpcMessage};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use toolhost_core::schema;
use toolhost_core::tool::ToolCall;

/// The largest `_meta` accepted. It is kept as values, which take many times its text, for as long
/// as its request runs.
const MAX_META: usize = 16 << 10;
const MAX_META_VALUES: usize = 1_000;

/// A longer message that cannot be examined here is refused.
const MAX_UNSEEN: usize = 16 << 10;

/// The longest request id accepted: it is in every message about the request.
pub(crate) const MAX_ID: usize = 1 << 10;

/// Arguments up to this length are passed to rmcp unchanged.
const MAX_SEEN: usize = 16 << 10;

/// Of longer ones rmcp gets this many short members, which headers may repeat.
const SEEN_MEMBERS: usize = 100;
const SEEN_MEMBER: usize = 1 << 10;

/// Whether a `_meta` is too large.
pub(crate) fn is_much(meta: &RawValue) -> bool {
    let meta = meta.get().as_bytes();
    // An estimate: strings may contain these characters too.
    let values = || meta.iter().filter(|byte| b",[{".contains(byte)).count();
    meta.len() > MAX_META || values() > MAX_META_VALUES
}

/// Whether a `_meta` names a protocol version, as in the stateless protocol.
fn names_version(meta: &RawValue) -> bool {
    meta.get()
        .contains("io.modelcontextprotocol/protocolVersion")
}

/// What is read of a message, as text, before it is parsed.
#[derive(Default)]
pub(crate) struct MessagePeek<'a> {
    /// It is long, and not an object with unique members.
    is_unseen: bool,
    id: Option<&'a RawValue>,
    meta: Option<&'a RawValue>,
    pub(crate) call: Option<CallOutline<'a>>,
    /// Whether it is an `initialize`, which the stateless protocol lacks.
    pub(crate) is_initialize: bool,
    /// Whether it may be a request that takes long to answer.
    pub(crate) waits: bool,
}

/// Requests that are answered at once. `initialize` is counted with its session; the others end or
/// continue what waits, so they must get through whatever waits.
const AT_ONCE: [&str; 6] = [
    "initialize",
    "logging/setLevel",
    "ping",
    "tasks/cancel",
    "tasks/get",
    "tasks/update",
];

/// The outline of a call.
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

impl<'a> MessagePeek<'a> {
    /// Empty for what is not a message.
    pub(crate) fn of(message: &'a [u8]) -> MessagePeek<'a> {
        MessagePeek::read(message).unwrap_or_else(|| MessagePeek {
            is_unseen: message.len() > MAX_UNSEEN
                && message.trim_ascii_start().starts_with(b"{")
                && serde_json::from_slice::<IgnoredAny>(message).is_ok(),
            waits: true,
            ..MessagePeek::default()
        })
    }

    fn read(message: &'a [u8]) -> Option<MessagePeek<'a>> {
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
            // Arguments of another kind than a tool could take are left to rmcp to refuse. Those of
            // the right kind may be malformed inside: the result of the call says so.
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
        Some(MessagePeek {
            is_unseen: false,
            is_initialize: method == Some("initialize") && !meta.is_some_and(names_version),
            id,
            meta,
            call,
            waits,
        })
    }

    /// The refusal of a message that would take too much memory.
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
        let arguments = self.arguments.map_or("", trimmed_arguments);
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

    /// The message for rmcp, if it differs: with arguments that were written as a string turned
    /// into an object, and of long ones only what headers are compared with.
    pub(crate) fn for_rmcp(&self) -> Option<Vec<u8>> {
        let arguments = self.arguments?;
        let object = match arguments.starts_with('"') {
            true => Cow::Owned(schema::unwrapped(arguments).unwrap_or_else(|| "{}".to_owned())),
            false => Cow::Borrowed(arguments),
        };
        if object.len() > MAX_SEEN {
            return self.with_arguments(&header_members(&object));
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

/// Whether a tool could take this: an object, or one that a model wrote as a string.
pub(crate) fn are_arguments(json: &str) -> bool {
    json.starts_with(['{', '"'])
}

/// Arguments as written; blank text stands for none.
pub(crate) fn trimmed_arguments(arguments: &str) -> &str {
    let text = match arguments.starts_with('"') {
        true => serde_json::from_str::<Cow<str>>(arguments).ok(),
        false => None,
    };
    match text {
        Some(text) if text.trim_ascii().is_empty() => "{}",
        _ => arguments,
    }
}

/// The members of an object that are short and neither objects nor arrays.
fn header_members(arguments: &str) -> String {
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

/// Parses an object. Serde would also accept an array of its fields.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Option<T> {
    let is_object = json.trim_ascii_start().starts_with('{');
    is_object.then(|| serde_json::from_str(json).ok())?
}
