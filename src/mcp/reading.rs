//! Calls of tools, read once, by what they are. rmcp reads a message by trying one kind after the other
//! on a copy, and its arguments into numbers of 64 bits.

use std::borrow::Cow;
use std::sync::Arc;

use rmcp::model::{JsonObject, ProgressToken, RequestId, RequestMetaObject};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::requests;
use crate::schema;
use crate::tool::ToolCall;

/// A request to call a tool.
pub(super) struct Call {
    pub(super) id: RequestId,
    pub(super) name: String,
    /// A JSON object, or a string that should hold one, as the client wrote it.
    pub(super) arguments: String,
    /// What its progress is told by.
    pub(super) token: Option<ProgressToken>,
    /// What else its `_meta` has.
    pub(super) meta: Option<Box<JsonObject>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message<'a> {
    jsonrpc: &'a str,
    id: RequestId,
    method: &'a str,
    #[serde(borrow)]
    params: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params<'a> {
    name: String,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(rename = "_meta")]
    meta: Option<RequestMetaObject>,
}

/// A call as the clients of sessions make it; none where there is anything else to it, which is then
/// for rmcp to read, or to refuse.
pub(super) fn call(message: &[u8]) -> Option<Call> {
    let message: Message = object(str::from_utf8(message).ok()?)?;
    if message.jsonrpc != "2.0" || message.method != "tools/call" {
        return None;
    }
    let params: Params = object(message.params.get())?;
    let arguments = params.arguments.map_or("{}", RawValue::get);
    let meta = params.meta.unwrap_or_default();
    // Those are the stateless protocol's.
    let is_of_session = meta.protocol_version().is_none() && meta.client_capabilities().is_none();
    if !is_of_session || !are_arguments(arguments) {
        return None;
    }
    Some(Call {
        id: message.id,
        name: params.name,
        arguments: meant(arguments).to_owned(),
        token: meta.get_progress_token(),
        meta: requests::meta(&meta),
    })
}

/// The arguments of a call as the client wrote them: rmcp knows no number of more than 64 bits, of two
/// members with one name the last, and no object that was written as a string.
#[derive(Clone)]
pub(super) struct Written(pub(super) Arc<str>);

/// A call, whatever else is in its message.
pub(super) struct Outline<'a> {
    message: &'a str,
    id: Option<&'a RawValue>,
    pub(super) name: Cow<'a, str>,
    arguments: Option<&'a str>,
}

#[derive(Deserialize)]
struct MessageOutline<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    params: &'a RawValue,
}

#[derive(Deserialize)]
struct ParamsOutline<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

impl<'a> Outline<'a> {
    /// Arguments of another kind than a tool could be meant to get are rmcp's to refuse. Inside they need
    /// be no JSON that can be read: how a call fails that has such arguments, its tool's result says.
    pub(super) fn of(message: &'a [u8]) -> Option<Outline<'a>> {
        let message = str::from_utf8(message).ok()?;
        let outline: MessageOutline = object(message)?;
        if outline.method != "tools/call" {
            return None;
        }
        let params: ParamsOutline = object(outline.params.get())?;
        let arguments = params.arguments.map(RawValue::get);
        if arguments.is_some_and(|arguments| !are_arguments(arguments)) {
            return None;
        }
        Some(Outline {
            message,
            id: outline.id,
            name: params.name,
            arguments,
        })
    }

    /// The arguments as they are written, if there are any.
    pub(super) fn written(&self) -> Option<Written> {
        Some(Written(meant(self.arguments?).into()))
    }

    /// The call, as the host runs it.
    pub(super) fn call(&self) -> ToolCall {
        let id = self.id.and_then(|id| serde_json::from_str(id.get()).ok());
        let id = id.map(|id: RequestId| id.to_string());
        let arguments = self.arguments.map_or("", meant);
        ToolCall::new(id.unwrap_or_default(), &*self.name, arguments)
    }

    /// The message with other arguments, if it has any.
    pub(super) fn with_arguments(&self, arguments: &str) -> Option<Vec<u8>> {
        let written = self.arguments?;
        let start = written.as_ptr().addr() - self.message.as_ptr().addr();
        let (before, rest) = self.message.split_at(start);
        let after = &rest[written.len()..];
        Some([before, arguments, after].concat().into_bytes())
    }

    /// The message as rmcp reads it, where the arguments are an object written as a string: with that
    /// object, which headers are held against.
    pub(super) fn with_object(&self) -> Option<Vec<u8>> {
        let arguments = self.arguments.filter(|it| it.starts_with('"'))?;
        let object = schema::unwrapped(arguments);
        let object = object.filter(|it| serde_json::from_str::<JsonObject>(it).is_ok());
        self.with_arguments(object.as_deref().unwrap_or("{}"))
    }
}

/// Whether a tool could be meant to get that: an object, or one that a model wrote as a string.
fn are_arguments(json: &str) -> bool {
    json.starts_with(['{', '"'])
}

/// Arguments as they are written; text that is blank stands for none.
fn meant(arguments: &str) -> &str {
    let text = match arguments.starts_with('"') {
        true => serde_json::from_str::<Cow<str>>(arguments).ok(),
        false => None,
    };
    match text {
        Some(text) if text.trim_ascii().is_empty() => "{}",
        _ => arguments,
    }
}

/// What an object has. Arrays of the same in order would be taken as well.
fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Option<T> {
    let is_object = json.trim_ascii_start().starts_with('{');
    is_object.then(|| serde_json::from_str(json).ok())?
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
        let read = call(text.as_bytes()).unwrap();
        assert_eq!(read.id, RequestId::Number(1));
        assert_eq!(read.name, "add");
        assert_eq!(read.arguments, r#"{"a": 123456789012345678901234567890}"#);
        assert_eq!(
            read.token,
            Some(ProgressToken(RequestId::String("p".into())))
        );
        let in_string = call(params(r#"{"name":"add","arguments":"{\"a\": 1}"}"#).as_bytes());
        assert_eq!(in_string.unwrap().arguments, r#""{\"a\": 1}""#);
        for without in [r#"{"name":"add"}"#, r#"{"name":"add","arguments":null}"#] {
            let read = call(params(without).as_bytes()).unwrap();
            assert_eq!((&*read.arguments, read.token), ("{}", None));
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
            assert!(call(text.as_bytes()).is_none(), "{text}");
        }
    }
}
