//! `initialize`, as clients that were written by hand send it: without members that the protocol wants
//! and the server does not need, or with the name of a session that a restart has ended.

use std::borrow::Cow;
use std::fmt;

use rmcp::ErrorData;
use rmcp::model::{
    InitializeRequestParams, JsonObject, JsonRpcMessage, RequestId, ServerJsonRpcMessage,
    TASKS_EXTENSION_ID,
};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::server::message::MAX_ID;
use Needed::{Members, Present, Short, Whole};

/// What a client is called that does not say.
const UNKNOWN: &str = "unknown";

/// A longer name, version or the like says nothing that anybody goes by.
const MAX_TEXT: usize = 256;

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
}

/// Whether a message is an `initialize`.
pub(crate) fn is_initialize(message: &[u8]) -> bool {
    let head = serde_json::from_slice::<Head>(message);
    head.is_ok_and(|head| head.method == "initialize")
}

/// What is needed of a value. The rest is never read into values, which would take many times what the client sent, for
/// as long as its session is.
enum Needed {
    Whole,
    /// A short value as it is; of a longer string its beginning, and of anything else nothing.
    Short,
    /// That it is there; what is no object is left to be refused.
    Present,
    /// Of an object, these members.
    Members(&'static [(&'static str, Needed)]),
}

static MESSAGE: Needed = Members(&[
    ("jsonrpc", Short),
    ("method", Short),
    // The answer has the whole of it.
    ("id", Whole),
    (
        "params",
        Members(&[
            ("protocolVersion", Short),
            ("capabilities", CAPABILITIES),
            (
                "clientInfo",
                Members(&[("name", Short), ("version", Short)]),
            ),
        ]),
    ),
]);

const CAPABILITIES: Needed = Members(&[
    (
        "elicitation",
        Members(&[("form", Present), ("url", Present)]),
    ),
    ("roots", Present),
    ("sampling", Present),
    ("extensions", Members(&[(TASKS_EXTENSION_ID, Present)])),
]);

impl Needed {
    fn of(&self, raw: &RawValue) -> Value {
        let text = raw.get();
        let is_object = text.starts_with('{');
        match self {
            Whole => return serde_json::from_str(text).unwrap_or_default(),
            Present if is_object => return json!({}),
            Members(known) if is_object => {
                let mut read = serde_json::Deserializer::from_str(text);
                if let Ok(object) = read.deserialize_map(Object(known)) {
                    return object;
                }
            }
            _ => {}
        }
        if text.len() <= MAX_TEXT {
            return serde_json::from_str(text).unwrap_or_default();
        }
        match serde_json::from_str::<String>(text) {
            Ok(text) => json!(text[..text.floor_char_boundary(MAX_TEXT)]),
            Err(_) => json!({}),
        }
    }
}

/// An object, of which these members are read.
struct Object(&'static [(&'static str, Needed)]);

impl<'de> Visitor<'de> for Object {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = JsonObject::new();
        while let Some(name) = map.next_key::<Cow<str>>()? {
            let Some((name, needed)) = self.0.iter().find(|(known, _)| *known == name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let raw: &RawValue = map.next_value()?;
            if object.contains_key(*name) {
                return Err(serde::de::Error::duplicate_field(name));
            }
            if raw.get() != "null" {
                object.insert((*name).to_owned(), needed.of(raw));
            }
        }
        Ok(Value::Object(object))
    }
}

/// Fills in what is missing.
fn fill(params: &mut JsonObject) {
    let set = |object: &mut JsonObject, name: &str, value: Value| {
        if object.get(name).is_none_or(Value::is_null) {
            object.insert(name.to_owned(), value);
        }
    };
    // As one that is not supported: the client learns which is.
    set(params, "protocolVersion", json!(""));
    set(params, "capabilities", json!({}));
    set(params, "clientInfo", json!({}));
    if let Some(Value::Object(info)) = params.get_mut("clientInfo") {
        set(info, "name", json!(UNKNOWN));
        set(info, "version", json!(UNKNOWN));
    }
}

/// An `initialize` with what is needed of it alone; where `is_filled`, also with what it lacks. Nothing for one that
/// rmcp refuses anyway, or as any other request is.
///
/// # Errors
///
/// The answer to one with something wrong.
pub(crate) fn reduced(
    message: &[u8],
    is_filled: bool,
) -> Result<Option<Vec<u8>>, Box<ServerJsonRpcMessage>> {
    let Ok(read) = serde_json::from_slice(message) else {
        return Ok(None);
    };
    let Value::Object(mut message) = MESSAGE.of(read) else {
        return Ok(None);
    };
    let is_long = |id: &Value| id.to_string().len() > MAX_ID;
    if !message.contains_key("method") || message.get("id").is_some_and(is_long) {
        return Ok(None);
    }
    let mut params = match message.remove("params") {
        Some(Value::Object(params)) => params,
        None => JsonObject::new(),
        Some(_) => return Err(refusal(&message, "`params` is not an object")),
    };
    if is_filled {
        fill(&mut params);
        let read = InitializeRequestParams::deserialize(Value::Object(params.clone()));
        if let Err(error) = read {
            return Err(refusal(&message, &error.to_string()));
        }
    }
    message.insert("params".to_owned(), Value::Object(params));
    Ok(Some(Value::Object(message).to_string().into_bytes()))
}

fn refusal(message: &JsonObject, why: &str) -> Box<ServerJsonRpcMessage> {
    let id = message.get("id").cloned();
    let id = id.and_then(|id| serde_json::from_value::<RequestId>(id).ok());
    let text = format!("invalid parameters for initialize: {why}");
    let error = ErrorData::invalid_params(text, None);
    Box::new(JsonRpcMessage::error(error, id))
}
