//! The fast path: reads plain tool calls of sessions over HTTP in one pass. rmcp reads a message by
//! trying one kind after the other on a copy, and its numbers as 64 bits.

use rmcp::model::{JsonObject, ProgressToken, RequestId, RequestMetaObject};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::server::caller;
use crate::server::dispatch::IncomingCall;
use crate::server::message_outline::{MAX_ID, are_arguments, is_much, object, trimmed_arguments};
use toolhost_core::tool::ToolCall;

/// A `tools/call` and its `_meta`.
pub(crate) struct FastCall {
    pub(crate) id: RequestId,
    pub(crate) incoming: IncomingCall,
    /// Its progress token.
    pub(crate) token: Option<ProgressToken>,
    /// The other members of its `_meta`.
    pub(crate) meta: Option<Box<JsonObject>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallMessage<'a> {
    jsonrpc: &'a str,
    id: RequestId,
    method: &'a str,
    #[serde(borrow)]
    params: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallMessageParams<'a> {
    name: String,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

/// Reads a call as clients with sessions make it; `None` if there is anything else in it, which is
/// left to rmcp to read or refuse.
pub(crate) fn read(message: &[u8]) -> Option<FastCall> {
    let message: CallMessage = object(str::from_utf8(message).ok()?)?;
    if message.jsonrpc != "2.0" || message.method != "tools/call" {
        return None;
    }
    let params: CallMessageParams = object(message.params.get())?;
    let arguments = params.arguments.map_or("{}", RawValue::get);
    let is_long = |id: &RequestId| matches!(id, RequestId::String(id) if id.len() > MAX_ID);
    if is_long(&message.id) || params.meta.is_some_and(is_much) {
        return None;
    }
    let meta: RequestMetaObject = match params.meta {
        Some(meta) => object(meta.get())?,
        None => RequestMetaObject::default(),
    };
    // These belong to the stateless protocol.
    let is_of_session = meta.protocol_version().is_none() && meta.client_capabilities().is_none();
    if !is_of_session || !are_arguments(arguments) {
        return None;
    }
    let id = message.id.to_string();
    Some(FastCall {
        token: meta.get_progress_token(),
        meta: caller::meta(&meta),
        id: message.id,
        incoming: IncomingCall {
            call: ToolCall::new(id, params.name, trimmed_arguments(arguments)),
            places: None,
            state: None,
            responses: None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(params: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
    }

    #[test]
    fn a_call_is_read_as_it_was_written() {
        let text = params(
            r#"{ "name": "add", "arguments": {"a": 123456789012345678901234567890}, "_meta": {"progressToken": "p"} }"#,
        );
        let FastCall {
            id,
            incoming: IncomingCall { call, .. },
            token,
            ..
        } = read(text.as_bytes()).unwrap();
        assert_eq!(id, RequestId::Number(1));
        assert_eq!(call.name, "add");
        assert_eq!(call.arguments, r#"{"a": 123456789012345678901234567890}"#);
        assert_eq!(token, Some(ProgressToken(RequestId::String("p".into()))));
        let in_string = read(params(r#"{"name":"add","arguments":"{\"a\": 1}"}"#).as_bytes());
        assert_eq!(
            in_string.unwrap().incoming.call.arguments,
            r#""{\"a\": 1}""#
        );
        for without in [r#"{"name":"add"}"#, r#"{"name":"add","arguments":null}"#] {
            let read = read(params(without).as_bytes()).unwrap();
            assert_eq!((&*read.incoming.call.arguments, read.token), ("{}", None));
        }
    }

    #[test]
    fn what_is_anything_else_is_left_to_rmcp() {
        let version =
            r#"{"name":"a","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
        for text in [
            params(version),
            params(r#"{"name":"a","requestState":"x"}"#),
            params(r#"{"name":"a","arguments":[]}"#),
            params(r#"{"name":"a","name":"b"}"#),
            params("{}"),
            params(r#"{"name":"a"}"#).replace("2.0", "1.0"),
            params(r#"{"name":"a"}"#).replace("tools/call", "prompts/get"),
            params(r#"{"name":"a"}"#).replace(r#""id":1,"#, ""),
            params(r#"{"name":"a"}"#).replace(r#""id":1"#, r#""id":1.5"#),
            params(r#"{"name":"a"},"result":{}"#),
            params(r#"{"name":"a"}"#) + "{}",
            format!("[{}]", params(r#"{"name":"a"}"#)),
            params(r#"["a",{},null]"#),
            r#"["2.0",1,"tools/call",{"name":"a"}]"#.to_owned(),
            r#"["2.0",1,"tools/call",["a",{},null]]"#.to_owned(),
            params(r#"{"name":"a","_meta":{"io.modelcontextprotocol/clientCapabilities":{}}}"#),
            String::new(),
        ] {
            assert!(read(text.as_bytes()).is_none(), "{text}");
        }
    }
}
