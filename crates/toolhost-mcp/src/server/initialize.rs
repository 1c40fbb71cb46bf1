//! Tolerates hand-written `initialize` requests: without members that the protocol requires and the
//! server does not need, or with the session id of a server that has restarted.

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

use crate::server::message_outline::MAX_ID;
use Needed::{Members, Present, Short, Whole};

/// The name of a client that gives none.
const UNKNOWN: &str = "unknown";

/// Names, versions and the like are cut to this length.
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

/// The parts of a value that are needed. The rest is never parsed into values, which would take
/// many times its text for as long as the session lasts.
enum Needed {
    Whole,
    /// A short value as it is, the beginning of a longer string, nothing of anything else.
    Short,
    /// Only that it is there; if it is not an object it is left to be refused.
    Present,
    /// These members of an object.
    Members(&'static [(&'static str, Needed)]),
}

static MESSAGE: Needed = Members(&[
    ("jsonrpc", Short),
    ("method", Short),
    // The answer repeats it in full.
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
                if let Ok(object) = read.deserialize_map(ReducedObject(known)) {
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

/// Reads these members of an object.
struct ReducedObject(&'static [(&'static str, Needed)]);

impl<'de> Visitor<'de> for ReducedObject {
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

/// Fills in missing members.
fn fill(params: &mut JsonObject) {
    let set = |object: &mut JsonObject, name: &str, value: Value| {
        if object.get(name).is_none_or(Value::is_null) {
            object.insert(name.to_owned(), value);
        }
    };
    // An unsupported version, so that the client learns which are supported.
    set(params, "protocolVersion", json!(""));
    set(params, "capabilities", json!({}));
    set(params, "clientInfo", json!({}));
    if let Some(Value::Object(info)) = params.get_mut("clientInfo") {
        set(info, "name", json!(UNKNOWN));
        set(info, "version", json!(UNKNOWN));
    }
}

/// Reduces an `initialize` to what is needed; if `is_filled`, also adds what it lacks. `None` if
/// rmcp refuses it anyway, or can read it as any other request.
///
/// # Errors
///
/// The answer to a malformed one.
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
