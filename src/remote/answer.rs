//! What a server answers to a call, as the library has it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{ContentBlock, ResourceContents, ServerResult};
use serde::Deserialize;
use serde_json::Value;

use crate::error::CallError;
use crate::limits::Limits;
use crate::provider::{checked_output, output_limit};
use crate::schema::Schema;
use crate::tool::{Content, EmbeddedResource, Media, Output, ResourceBody, ResourceLink};

/// A result with content of kinds that rmcp does not know.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lenient {
    content: Vec<Value>,
    #[serde(default)]
    structured_content: Option<Value>,
    #[serde(default)]
    is_error: Option<bool>,
}

/// # Errors
///
/// The tool failed, or its result is not what one is.
pub(super) fn output(
    result: ServerResult,
    schema: Option<&Schema>,
    limits: &Limits,
) -> Result<Output, CallError> {
    let (content, structured, is_error) = match result {
        ServerResult::CallToolResult(result) => {
            let content = result.content.into_iter().map(content).collect();
            (content, result.structured_content, result.is_error)
        }
        ServerResult::EmptyResult(_) => (Ok(Vec::new()), None, None),
        ServerResult::CustomResult(result) => match serde_json::from_value::<Lenient>(result.0) {
            Ok(result) => {
                let content = result.content.into_iter().map(any_content).collect();
                (content, result.structured_content, result.is_error)
            }
            Err(_) => return Err(failed("its server answered with what is no result")),
        },
        ServerResult::InputRequiredResult(_) => {
            return Err(failed(
                "it asks for input, which is not passed on from MCP servers",
            ));
        }
        ServerResult::CreateTaskResult(_) => {
            return Err(failed("it runs on as a task, which is not waited for"));
        }
        _ => return Err(failed("its server answered with what is no result")),
    };
    let content: Vec<Content> = content.map_err(failed)?;
    if is_error == Some(true) {
        let texts: Vec<String> = content.iter().map(Content::to_text).collect();
        let message = match texts.join("\n") {
            text if text.trim().is_empty() => "it did not say why".to_owned(),
            text => text,
        };
        return Err(bounded_failure(message, limits));
    }
    let structured = structured.map(|value| value.to_string());
    let size: usize = content.iter().map(Content::len).sum();
    let size = size + structured.as_ref().map_or(0, String::len);
    // Before it is held against a schema, which takes longer.
    if size as u64 > limits.max_output.as_u64() {
        return Err(output_limit(limits));
    }
    checked_output(content, structured, schema).map_err(failed)
}

/// A failure, unless its message is longer than an answer may be.
pub(super) fn bounded_failure(message: String, limits: &Limits) -> CallError {
    match message.len() as u64 > limits.max_output.as_u64() {
        true => output_limit(limits),
        false => failed(message),
    }
}

fn failed(message: impl Into<String>) -> CallError {
    CallError::Failed {
        message: message.into(),
    }
}

fn any_content(value: Value) -> Result<Content, String> {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or("?");
    let kind: String = kind.chars().filter(|c| !c.is_control()).take(50).collect();
    match serde_json::from_value(value) {
        Ok(known) => content(known),
        Err(_) => Ok(Content::Text(format!(
            "[{kind}: content of a kind that toolhost does not know]"
        ))),
    }
}

fn content(content: ContentBlock) -> Result<Content, String> {
    Ok(match content {
        ContentBlock::Text(text) => Content::Text(text.text),
        ContentBlock::Image(image) => Content::Image(media("image", &image.data, image.mime_type)?),
        ContentBlock::Audio(audio) => Content::Audio(media("sound", &audio.data, audio.mime_type)?),
        ContentBlock::Resource(resource) => Content::Embedded(embedded(resource.resource)?),
        ContentBlock::ResourceLink(link) => Content::Link(ResourceLink {
            uri: link.uri,
            name: link.name,
            description: link.description,
            mime_type: link.mime_type,
        }),
        _ => Content::Text("[content of a kind that toolhost does not know]".to_owned()),
    })
}

fn embedded(contents: ResourceContents) -> Result<EmbeddedResource, String> {
    match contents {
        ResourceContents::TextResourceContents {
            uri,
            mime_type,
            text,
            ..
        } => Ok(EmbeddedResource {
            uri,
            mime_type,
            body: ResourceBody::Text(text),
        }),
        ResourceContents::BlobResourceContents {
            uri,
            mime_type,
            blob,
            ..
        } => Ok(EmbeddedResource {
            uri,
            mime_type,
            body: ResourceBody::Blob(decode("resource", &blob)?),
        }),
        _ => Err("its resource is of a kind that toolhost does not know".to_owned()),
    }
}

fn media(what: &str, data: &str, mime_type: String) -> Result<Media, String> {
    Ok(Media {
        data: decode(what, data)?,
        mime_type,
    })
}

fn decode(what: &str, data: &str) -> Result<Vec<u8>, String> {
    let decoded = STANDARD.decode(data);
    decoded.map_err(|error| format!("its {what} is not base64: {error}"))
}
