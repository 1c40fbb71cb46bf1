//! The Model Context Protocol's tools, as
//! <https://modelcontextprotocol.io/specification/2025-11-25/server/tools> has them: `tools/call`
//! requests in, their responses out; `tools/list`'s result.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::answer::base64;
use super::detail::Detail;
use super::error::{DecodeError, shape, unfit};
use super::{
    Answer, NameRule, Names, Wire, arguments, array, document, label, object, raw, string,
};
use crate::tool::{Annotations, Content, Icon, Media, ResourceBody, Tool, ToolCall};

pub(super) struct Mcp;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    description: &'a str,
    #[serde(skip_serializing_if = "<[Icon]>::is_empty")]
    icons: &'a [Icon],
    input_schema: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_schema: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Map<String, Value>>,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<&'a Map<String, Value>>,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Response<'a> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    result: CallToolResult<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallToolResult<'a> {
    content: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_content: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_error: bool,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<Detail<'a>>,
}

impl super::Sealed for Mcp {}

impl Wire for Mcp {
    fn decode(&self, text: &str) -> Result<Vec<ToolCall>, DecodeError> {
        match serde_json::from_str::<&RawValue>(text) {
            Ok(document) if document.get().starts_with('[') => {
                array(document)?.into_iter().map(call).collect()
            }
            Ok(document) => Ok(vec![call(document)?]),
            // As on stdio: a request a line.
            Err(error) => {
                let lines = text.lines().filter(|line| !line.trim_ascii().is_empty());
                let mut calls = Vec::new();
                for line in lines {
                    match document(line) {
                        Ok(line) => calls.push(call(line)?),
                        Err(_) => return Err(unfit(error)),
                    }
                }
                Ok(calls)
            }
        }
    }

    fn declare(&self, tools: &[&Tool], names: &Names) -> Box<RawValue> {
        #[derive(Serialize)]
        struct ListToolsResult<'a> {
            tools: Vec<Declaration<'a>>,
        }
        let tools = tools.iter().map(|tool| Declaration {
            name: names.wire(&tool.name),
            title: tool.title.as_deref(),
            description: &tool.description,
            icons: &tool.icons,
            input_schema: &tool.input_schema,
            output_schema: tool.output_schema.as_ref(),
            annotations: annotations(&tool.annotations),
            meta: tool.meta.as_ref(),
        });
        raw(&ListToolsResult {
            tools: tools.collect(),
        })
    }

    fn answer(&self, answer: &Answer) -> Box<RawValue> {
        let output = answer.result.outcome.as_ref().ok();
        let content = match output {
            Some(output) if answer.text.is_none() && !output.content.is_empty() => {
                let blocks = output.content.iter().enumerate();
                blocks
                    .map(|(at, it)| with_meta(block(it), output.content_meta.get(&at)))
                    .collect()
            }
            _ => vec![json!({ "type": "text", "text": answer.to_text() })],
        };
        raw(&Response {
            jsonrpc: "2.0",
            id: &id_of(answer.id()),
            result: CallToolResult {
                content,
                structured_content: output.and_then(|output| output.structured.as_deref()),
                is_error: answer.is_error(),
                meta: answer.detail(),
            },
        })
    }

    fn name_rule(&self) -> Option<NameRule> {
        None
    }
}

fn call(raw: &RawValue) -> Result<ToolCall, DecodeError> {
    let request: Request = object(raw)?;
    if request.jsonrpc.is_none() {
        return Err(shape("an object without `jsonrpc`"));
    }
    match string(request.method).as_deref() {
        Some("tools/call") => {}
        Some(other) => return Err(shape(format!("a request for `{other}`"))),
        None => return Err(shape("an object without `method`")),
    }
    let Some(params) = request.params else {
        return Err(shape("a `tools/call` without `params`"));
    };
    let params: Params = object(params)?;
    Ok(ToolCall {
        id: request.id.map(id_text),
        name: label(params.name).unwrap_or_default(),
        arguments: arguments(params.arguments),
        ..ToolCall::default()
    })
}

/// A request's id as text, from which [`id_of`] makes it again: a string as it is, unless that
/// would be read as something else; anything else as JSON.
fn id_text(id: &RawValue) -> String {
    match serde_json::from_str::<String>(id.get()) {
        Ok(text) if serde_json::from_str::<&RawValue>(&text).is_err() => text,
        _ => id.get().to_owned(),
    }
}

fn id_of(text: Option<&str>) -> Box<RawValue> {
    let Some(text) = text else {
        return raw(&Value::Null);
    };
    match serde_json::from_str::<Box<RawValue>>(text) {
        Ok(id) => id,
        Err(_) => raw(text),
    }
}

fn annotations(hints: &Annotations) -> Option<Map<String, Value>> {
    let hints = [
        ("readOnlyHint", hints.read_only),
        ("destructiveHint", hints.destructive),
        ("idempotentHint", hints.idempotent),
        ("openWorldHint", hints.open_world),
    ];
    let said = hints
        .into_iter()
        .filter_map(|(key, hint)| Some((key.to_owned(), hint?.into())));
    let said: Map<String, Value> = said.collect();
    (!said.is_empty()).then_some(said)
}

/// A block with what an MCP server said of it beside its content.
pub fn with_meta(mut block: Value, meta: Option<&Map<String, Value>>) -> Value {
    let Value::Object(members) = &mut block else {
        return block;
    };
    for (name, value) in meta.into_iter().flatten() {
        match (members.get_mut(name), value) {
            (None, value) => drop(members.insert(name.clone(), value.clone())),
            (Some(Value::Object(own)), Value::Object(more)) => {
                for (name, value) in more {
                    own.entry(name).or_insert_with(|| value.clone());
                }
            }
            _ => {}
        }
    }
    block
}

fn block(content: &Content) -> Value {
    let media = |kind: &str, media: &Media| json!({ "type": kind, "data": base64(&media.data), "mimeType": media.mime_type });
    match content {
        Content::Text(text) => json!({ "type": "text", "text": text }),
        Content::Image(image) => media("image", image),
        Content::Audio(audio) => media("audio", audio),
        Content::Link(link) => {
            let mut block = json!({ "type": "resource_link", "uri": link.uri, "name": link.name });
            if let Some(description) = &link.description {
                block["description"] = json!(description);
            }
            if let Some(kind) = &link.mime_type {
                block["mimeType"] = json!(kind);
            }
            block
        }
        Content::Embedded(resource) => {
            let mut inner = json!({ "uri": resource.uri });
            if let Some(kind) = &resource.mime_type {
                inner["mimeType"] = json!(kind);
            }
            match &resource.body {
                ResourceBody::Text(text) => inner["text"] = json!(text),
                ResourceBody::Blob(bytes) => inner["blob"] = json!(base64(bytes)),
            }
            json!({ "type": "resource", "resource": inner })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_type() {
        for id in [
            "7",
            r#""7""#,
            r#""a""#,
            r#""\"a\"""#,
            "1.5",
            r#""null""#,
            r#""""#,
        ] {
            let given = RawValue::from_string(id.to_owned()).unwrap();
            assert_eq!(id_of(Some(&id_text(&given))).get(), id);
        }
    }
}
