//! JSON-RPC messages as text: their size, and the errors for malformed and refused ones.

use std::collections::BTreeMap;

use rmcp::model::{
    ContentBlock, ErrorCode, ErrorData, JsonRpcMessage, RequestId, ServerJsonRpcMessage,
    ServerResult,
};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

/// A message as JSON.
pub(crate) fn message_text(message: &ServerJsonRpcMessage) -> String {
    // Its maps have string keys, and nothing else can fail.
    serde_json::to_string(message).unwrap_or_else(|error| {
        let message = format!("cannot serialize the message: {error}");
        json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32603, "message": message } })
            .to_string()
    })
}

/// The part of a message that is not content, approximately.
const MESSAGE_OVERHEAD: usize = 512;

/// The approximate size of a message in memory.
pub(crate) fn weight(message: &ServerJsonRpcMessage) -> usize {
    match message {
        JsonRpcMessage::Response(response) => result_weight(&response.result),
        message => MESSAGE_OVERHEAD + json_len(message),
    }
}

/// The approximate size of a response with this result.
pub(crate) fn result_weight(result: &ServerResult) -> usize {
    if let ServerResult::CallToolResult(result) = result
        && result.structured_content.is_none()
        && result.meta.is_none()
    {
        let content = result.content.iter().map(|block| match block {
            ContentBlock::Text(text) => Some(text.text.len()),
            ContentBlock::Image(image) => Some(image.data.len()),
            ContentBlock::Audio(audio) => Some(audio.data.len()),
            _ => None,
        });
        if let Some(bytes) = content.sum::<Option<usize>>() {
            return MESSAGE_OVERHEAD + bytes;
        }
    }
    MESSAGE_OVERHEAD + json_len(result)
}

fn json_len(value: &impl Serialize) -> usize {
    let mut counted = ByteCounter(0);
    // If it cannot be written, an error is sent in its place.
    let _ = serde_json::to_writer(&mut counted, value);
    counted.0
}

struct ByteCounter(usize);

impl std::io::Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The error for a malformed message.
pub(crate) fn unreadable(message: &[u8], error: &serde_json::Error) -> ErrorData {
    if is_batch(message) {
        return batch();
    }
    match error.is_data() {
        true => ErrorData::invalid_request(wrong_in(message), None),
        false => ErrorData::new(ErrorCode::PARSE_ERROR, format!("no JSON: {error}"), None),
    }
}

/// What is wrong with JSON that is no message.
fn wrong_in(message: &[u8]) -> String {
    let is = |member: &RawValue, first: &[char]| member.get().starts_with(first);
    let Ok(members) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(message) else {
        return "a message is a JSON object".to_owned();
    };
    let why = match (members.get("jsonrpc"), members.get("method")) {
        (None, _) => "`jsonrpc` is missing: it is \"2.0\"",
        (Some(version), _) if version.get() != r#""2.0""# => "`jsonrpc` is not \"2.0\"",
        (_, Some(method)) if !is(method, &['"']) => "`method` is not a string",
        (_, Some(_)) => match (members.get("id"), members.get("params")) {
            (Some(id), _)
                if !is(
                    id,
                    &['"', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '-'],
                ) =>
            {
                "`id` is neither a string nor an integer"
            }
            (_, Some(params)) if !is(params, &['{']) => "`params` is not an object",
            (Some(_), _) => "`id` or `params` is not what the method takes",
            (None, _) => "`params` is not what the notification takes, or `id` is missing",
        },
        (_, None) if !members.contains_key("id") => "it has neither `method` nor `id`",
        (_, None) => "without `method` it is a response, and has `result` or `error`",
    };
    why.to_owned()
}

pub(crate) fn batch() -> ErrorData {
    let text = "batches (arrays of messages) are not supported: send each message separately";
    ErrorData::invalid_request(text, None)
}

pub(crate) fn is_batch(message: &[u8]) -> bool {
    message.trim_ascii_start().starts_with(b"[")
}

/// The error for an id that is in use: two answers could not be told apart.
pub(crate) fn in_use(id: RequestId) -> ServerJsonRpcMessage {
    let text = format!("a request with the id {id} is already running");
    let error = ErrorData::new(ErrorCode::INVALID_REQUEST, text, None);
    JsonRpcMessage::error(error, Some(id))
}
