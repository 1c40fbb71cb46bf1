//! `initialize`, as clients that were written by hand send it: without members that the protocol wants
//! and the server does not need, or with the name of a session that a restart has ended.

use axum::body::Bytes;
use http::Request;
use rmcp::ErrorData;
use rmcp::model::{
    ClientRequest, GetMeta, Implementation, InitializeRequest, InitializeRequestParams, JsonObject,
    JsonRpcMessage, RequestId, ServerJsonRpcMessage, TASKS_EXTENSION_ID,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::mcp::message::MAX_ID;

const METHOD: &str = "initialize";

/// What a client is called that does not say.
const UNKNOWN: &str = "unknown";

/// A longer name, version or the like says nothing that anybody goes by.
const MAX_TEXT: usize = 256;

/// A message of another protocol is passed on as it is up to so many bytes.
const MAX_SEEN: usize = 16 << 10;

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    method: std::borrow::Cow<'a, str>,
}

/// Whether a message is an `initialize`.
pub(crate) fn is_initialize(message: &[u8]) -> bool {
    let head = serde_json::from_slice::<Head>(message);
    head.is_ok_and(|head| head.method == METHOD)
}

/// An `initialize` and its parameters, as text.
#[derive(Deserialize)]
struct Beginning<'a> {
    #[serde(borrow)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params<'a> {
    #[serde(borrow)]
    protocol_version: Option<&'a RawValue>,
    #[serde(borrow)]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow)]
    client_info: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Capabilities<'a> {
    #[serde(borrow)]
    elicitation: Option<&'a RawValue>,
    #[serde(borrow)]
    roots: Option<&'a RawValue>,
    #[serde(borrow)]
    sampling: Option<&'a RawValue>,
    #[serde(borrow)]
    extensions: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Elicitation<'a> {
    #[serde(borrow)]
    form: Option<&'a RawValue>,
    #[serde(borrow)]
    url: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Extensions<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/tasks")]
    tasks: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    version: Option<&'a RawValue>,
}

/// Members with what is needed of each. The rest is never read into values, which would take many times what the
/// client sent, for as long as its session is.
fn with_members<'a>(
    members: impl IntoIterator<Item = (&'a str, Option<&'a RawValue>)>,
    needed: impl Fn(&str, &RawValue) -> Value,
) -> Value {
    let members = members.into_iter();
    let members = members.filter_map(|(name, raw)| Some((name.to_owned(), needed(name, raw?))));
    Value::Object(members.collect())
}

/// A short value as it is; of a longer string its beginning, and of anything else nothing.
fn short(_: &str, raw: &RawValue) -> Value {
    let text = raw.get();
    if text.len() <= MAX_TEXT {
        return serde_json::from_str(text).unwrap_or_default();
    }
    match serde_json::from_str::<String>(text) {
        Ok(text) => json!(text[..text.floor_char_boundary(MAX_TEXT)]),
        Err(_) => json!({}),
    }
}

/// That it is there; what is no object is left to be refused.
fn present(name: &str, raw: &RawValue) -> Value {
    match is_object(raw) {
        true => json!({}),
        false => short(name, raw),
    }
}

fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

/// Of an object what is needed of it, read as `T`.
fn within<'a, T: Deserialize<'a>>(
    name: &str,
    raw: &'a RawValue,
    needed: impl FnOnce(T) -> Value,
) -> Value {
    match is_object(raw).then(|| serde_json::from_str(raw.get())) {
        Some(Ok(read)) => needed(read),
        _ => short(name, raw),
    }
}

fn capability(name: &str, raw: &RawValue) -> Value {
    match name {
        "elicitation" => within(name, raw, |it: Elicitation| {
            with_members([("form", it.form), ("url", it.url)], present)
        }),
        "extensions" => within(name, raw, |it: Extensions| {
            with_members([(TASKS_EXTENSION_ID, it.tasks)], present)
        }),
        _ => present(name, raw),
    }
}

fn param(name: &str, raw: &RawValue) -> Value {
    match name {
        "capabilities" => within(name, raw, |it: Capabilities| {
            let known = [
                ("elicitation", it.elicitation),
                ("roots", it.roots),
                ("sampling", it.sampling),
                ("extensions", it.extensions),
            ];
            with_members(known, capability)
        }),
        "clientInfo" => within(name, raw, |it: Info| {
            with_members([("name", it.name), ("version", it.version)], short)
        }),
        _ => short(name, raw),
    }
}

/// What is needed of parameters that were read.
fn needed(params: &mut InitializeRequestParams) {
    let capabilities = &mut params.capabilities;
    capabilities.experimental = None;
    if let Some(extensions) = &mut capabilities.extensions {
        extensions.retain(|name, _| name == TASKS_EXTENSION_ID);
    }
    let [name, version] = [&params.client_info.name, &params.client_info.version]
        .map(|text| text[..text.floor_char_boundary(MAX_TEXT)].to_owned());
    params.client_info = Implementation::new(name, version);
    params.meta = None;
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

/// A request that is no other, if it is an `initialize` with something missing. The stateless protocol,
/// whose requests name its version, has none.
pub(crate) fn filled(request: &ClientRequest) -> Option<ClientRequest> {
    let ClientRequest::CustomRequest(custom) = request else {
        return None;
    };
    let version = "/_meta/io.modelcontextprotocol~1protocolVersion";
    let is_versioned = request.get_meta().protocol_version().is_some()
        || (custom.params.as_ref()).is_some_and(|params| params.pointer(version).is_some());
    if custom.method != METHOD || is_versioned {
        return None;
    }
    let mut params = match custom.params.clone() {
        Some(Value::Object(params)) => params,
        None | Some(Value::Null) => JsonObject::new(),
        Some(_) => return None,
    };
    fill(&mut params);
    let params: InitializeRequestParams = serde_json::from_value(Value::Object(params)).ok()?;
    Some(InitializeRequest::new(params).into())
}

/// What is kept of an `initialize` that was read.
pub(crate) fn reduce(request: &mut ClientRequest) {
    if let ClientRequest::InitializeRequest(initialize) = request {
        needed(&mut initialize.params);
    }
}

/// The same for the request of one over HTTP, of which only what is needed is passed on. It may go by the version in
/// its body alone: what is agreed upon is not known before. Whether it is one.
///
/// # Errors
///
/// The answer to one with something wrong.
pub(crate) fn prepare(request: &mut Request<Bytes>) -> Result<bool, Box<ServerJsonRpcMessage>> {
    if !is_initialize(request.body()) {
        return Ok(false);
    }
    // What says its method there is of the protocol that has no `initialize`: rmcp sees what it says.
    let is_known = !request.headers().contains_key("mcp-method");
    if !is_known && request.body().len() <= MAX_SEEN {
        return Ok(true);
    }
    let Ok(read) = serde_json::from_slice::<Beginning>(request.body()) else {
        return Ok(true);
    };
    // It is refused as that of any other request.
    if read.id.is_some_and(|id| id.get().len() > MAX_ID) {
        return Ok(true);
    }
    let mut message = JsonObject::new();
    message.insert("method".to_owned(), json!(METHOD));
    if let Some(raw) = read.jsonrpc {
        message.insert("jsonrpc".to_owned(), short("jsonrpc", raw));
    }
    // The answer has the whole of it.
    if let Some(id) = read.id {
        let id = serde_json::from_str(id.get()).unwrap_or_default();
        message.insert("id".to_owned(), id);
    }
    let params = read.params.map(|raw| {
        within("params", raw, |it: Params| {
            let members = [
                ("protocolVersion", it.protocol_version),
                ("capabilities", it.capabilities),
                ("clientInfo", it.client_info),
            ];
            with_members(members, param)
        })
    });
    let mut params = match params {
        Some(Value::Object(params)) => params,
        None | Some(Value::Null) => JsonObject::new(),
        Some(_) => return Err(refusal(&message, "`params` is not an object")),
    };
    if is_known {
        fill(&mut params);
        let read = InitializeRequestParams::deserialize(Value::Object(params.clone()));
        if let Err(error) = read {
            return Err(refusal(&message, &error.to_string()));
        }
        request.headers_mut().remove("mcp-protocol-version");
    }
    message.insert("params".to_owned(), Value::Object(params));
    *request.body_mut() = Value::Object(message).to_string().into();
    Ok(true)
}

fn refusal(message: &JsonObject, why: &str) -> Box<ServerJsonRpcMessage> {
    let id = message.get("id").cloned();
    let id = id.and_then(|id| serde_json::from_value::<RequestId>(id).ok());
    let text = format!("the parameters are not those of initialize: {why}");
    let error = ErrorData::invalid_params(text, None);
    Box::new(JsonRpcMessage::error(error, id))
}
