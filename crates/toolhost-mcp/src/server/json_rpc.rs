//! JSON-RPC messages as text: their size, and the errors for malformed and refused ones.

use rmcp::model::{
    ContentBlock, ErrorCode, ErrorData, JsonRpcMessage, RequestId, ServerJsonRpcMessage,
    ServerResult,
};
use serde_json::json;

/// A message as JSON.
pub(crate) fn message_text(message: &ServerJsonRpcMessage) -> String {
    // Its maps have string keys, and nothing else can fail.
    serde_json::to_string(message).unwrap_or_else(|error| {
        let message = format!("the message cannot be written: {error}");
        json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32603, "message": message } })
            .to_string()
    })
}

/// The approximate size of a message in memory.
pub(crate) fn weight(message: &ServerJsonRpcMessage) -> usize {
    /// The part that is not content.
    const ANY: usize = 512;
    if let JsonRpcMessage::Response(response) = message
        && let ServerResult::CallToolResult(result) = &response.result
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
            return ANY + bytes;
        }
    }
    let mut counted = Counted(ANY);
    // If it cannot be written, an error is sent in its place.
    let _ = serde_json::to_writer(&mut counted, message);
    counted.0
}

struct Counted(usize);

impl std::io::Write for Counted {
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
        true => ErrorData::invalid_request("Invalid request", None),
        false => ErrorData::new(ErrorCode::PARSE_ERROR, format!("no JSON: {error}"), None),
    }
}

pub(crate) fn batch() -> ErrorData {
    let text = "arrays of messages (batches) are not taken: send each message by itself";
    ErrorData::invalid_request(text, None)
}

pub(crate) fn is_batch(message: &[u8]) -> bool {
    message.trim_ascii_start().starts_with(b"[")
}

/// The error for an id that is in use: two answers could not be told apart.
pub(crate) fn in_use(id: RequestId) -> ServerJsonRpcMessage {
    let text = format!("a request with the id {id} runs already");
    let error = ErrorData::new(ErrorCode::INVALID_REQUEST, text, None);
    JsonRpcMessage::error(error, Some(id))
}
