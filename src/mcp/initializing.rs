//! `initialize`, as clients that were written by hand send it: without members that the protocol wants
//! and the server does not need, or with the name of a session that a restart has ended.

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{Request, StatusCode};
use rmcp::ErrorData;
use rmcp::model::{
    ClientRequest, GetMeta, InitializeRequest, InitializeRequestParams, JsonObject, RequestId,
    ServerJsonRpcMessage,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::accept::{JSON, of_kind};
use super::events::message_text;

const METHOD: &str = "initialize";

/// What a client is called that does not say.
const UNKNOWN: &str = "unknown";

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    method: std::borrow::Cow<'a, str>,
}

/// Whether a message is an `initialize`.
pub(super) fn is_initialize(message: &[u8]) -> bool {
    let head = serde_json::from_slice::<Head>(message);
    head.is_ok_and(|head| head.method == METHOD)
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
pub(super) fn filled(request: &ClientRequest) -> Option<ClientRequest> {
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

/// The same for the request of one over HTTP, which may go by the version in its body alone: what is
/// agreed upon is not known before.
///
/// # Errors
///
/// The response to one with something wrong.
pub(super) fn prepare(request: &mut Request<Bytes>) -> Result<(), Box<Response>> {
    // What says its method there is of the protocol that has no `initialize`.
    if request.headers().contains_key("mcp-method") || !is_initialize(request.body()) {
        return Ok(());
    }
    let Ok(Value::Object(mut message)) = serde_json::from_slice(request.body()) else {
        return Ok(());
    };
    let mut params = match message.remove("params") {
        Some(Value::Object(params)) => params,
        None | Some(Value::Null) => JsonObject::new(),
        Some(_) => return Err(refusal(&message, "`params` is not an object")),
    };
    fill(&mut params);
    let read = InitializeRequestParams::deserialize(Value::Object(params.clone()));
    if let Err(error) = read {
        return Err(refusal(&message, &error.to_string()));
    }
    message.insert("params".to_owned(), Value::Object(params));
    *request.body_mut() = Value::Object(message).to_string().into();
    request.headers_mut().remove("mcp-protocol-version");
    Ok(())
}

fn refusal(message: &JsonObject, why: &str) -> Box<Response> {
    let id = message.get("id").cloned();
    let id = id.and_then(|id| serde_json::from_value::<RequestId>(id).ok());
    let text = format!("the parameters are not those of initialize: {why}");
    let error = ServerJsonRpcMessage::error(ErrorData::invalid_params(text, None), id);
    let mut response = of_kind(JSON, Body::from(message_text(&error)));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    Box::new(response)
}
