//! Encodes outgoing messages with arguments and replies as the very text they came in. rmcp holds
//! JSON as values, whose numbers have the precision of a double.

use std::collections::BTreeMap;
use std::sync::Arc;

use rmcp::model::{
    ClientJsonRpcMessage, ClientResult, CustomResult, GetExtensions, JsonRpcMessage, RequestId,
};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// Members of a request's parameters as text. They travel with the request as an extension.
#[derive(Clone, Default)]
pub(super) struct Written(pub(super) Arc<BTreeMap<String, Box<RawValue>>>);

#[derive(Serialize)]
struct TextResponse<'a> {
    jsonrpc: &'a str,
    id: &'a RequestId,
    result: Box<RawValue>,
}

/// # Errors
///
/// A part is not JSON.
pub(super) fn encode(message: &ClientJsonRpcMessage) -> serde_json::Result<Vec<u8>> {
    match message {
        JsonRpcMessage::Request(request) => match request.request.extensions().get::<Written>() {
            Some(Written(members)) => with_members(message, members),
            None => serde_json::to_vec(message),
        },
        // The only responses sent as text are those to a server's questions.
        JsonRpcMessage::Response(response) => match &response.result {
            ClientResult::CustomResult(CustomResult(Value::String(text))) => {
                serde_json::to_vec(&TextResponse {
                    jsonrpc: "2.0",
                    id: &response.id,
                    result: RawValue::from_string(text.clone())?,
                })
            }
            _ => serde_json::to_vec(message),
        },
        _ => serde_json::to_vec(message),
    }
}

fn with_members(
    message: &ClientJsonRpcMessage,
    members: &BTreeMap<String, Box<RawValue>>,
) -> serde_json::Result<Vec<u8>> {
    type Members = BTreeMap<String, Box<RawValue>>;
    let mut whole: Members = serde_json::from_str(&serde_json::to_string(message)?)?;
    let mut params: Members = match whole.get("params") {
        Some(params) => serde_json::from_str(params.get())?,
        None => Members::new(),
    };
    params.extend(members.clone());
    whole.insert("params".to_owned(), to_raw_value(&params)?);
    serde_json::to_vec(&whole)
}
