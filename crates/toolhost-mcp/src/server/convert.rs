//! Converts the library's types to the protocol's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rmcp::model as mcp;
use serde_json::{Map, Value, json};

use toolhost_core::error::CallError;
use toolhost_core::input::{Message, Role};
use toolhost_core::prompt::{Prompt, RenderedPrompt};
use toolhost_core::resource::{Resource, ResourceContents, ResourceTemplate};
use toolhost_core::tool::{Content, Icon, OUTPUT_MISMATCH, Output, ResourceBody, Tool, ToolResult};
use toolhost_core::wire;

pub(crate) fn tool(tool: &Tool) -> mcp::Tool {
    let mut declared = mcp::Tool::default();
    declared.name = tool.name.clone().into();
    declared.title = tool.title.clone();
    declared.description = Some(tool.description.clone().into());
    declared.input_schema = arguments(&tool.input_schema).into();
    let output = tool.output_schema.as_ref();
    declared.output_schema = output.map(|schema| object(schema).into());
    let hints = &tool.annotations;
    let said = [
        hints.read_only,
        hints.destructive,
        hints.idempotent,
        hints.open_world,
    ];
    if said.iter().any(Option::is_some) {
        declared.annotations = Some(mcp::ToolAnnotations::from_raw(
            None,
            hints.read_only,
            hints.destructive,
            hints.idempotent,
            hints.open_world,
        ));
    }
    declared.icons = icons(&tool.icons);
    declared.meta = tool.meta.clone().map(mcp::MetaObject);
    declared
}

/// The schema of arguments, which are an object. Clients drop a tool whose schema lacks `type` or
/// `properties`.
fn arguments(schema: &Value) -> Map<String, Value> {
    let mut schema = object(schema);
    if schema.get("type").is_none_or(|kind| kind != "object") {
        schema.insert("type".to_owned(), "object".into());
    }
    schema.entry("properties").or_insert_with(|| json!({}));
    schema
}

/// A schema whose properties have objects as schemas: clients refuse a whole list that contains
/// another.
fn object(schema: &Value) -> Map<String, Value> {
    let mut schema = schema.as_object().cloned().unwrap_or_default();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            match property {
                Value::Bool(true) => *property = json!({}),
                Value::Bool(false) => *property = json!({ "not": {} }),
                _ => {}
            }
        }
    }
    schema
}

fn icons(icons: &[Icon]) -> Option<Vec<mcp::Icon>> {
    let icon = |icon: &Icon| {
        let mut shown = mcp::Icon::new(&icon.src);
        shown.mime_type = icon.mime_type.clone();
        shown.sizes = (!icon.sizes.is_empty()).then(|| icon.sizes.clone());
        shown
    };
    (!icons.is_empty()).then(|| icons.iter().map(icon).collect())
}

pub(crate) fn prompt(prompt: &Prompt) -> mcp::Prompt {
    let arguments = prompt.arguments.iter().map(|argument| {
        let mut declared = mcp::PromptArgument::new(&argument.name);
        declared.title = argument.title.clone();
        declared.description = argument.description.clone();
        declared.required = Some(argument.required);
        declared
    });
    let arguments: Vec<_> = arguments.collect();
    let mut declared = mcp::Prompt::new(
        &prompt.name,
        prompt.description.clone(),
        (!arguments.is_empty()).then_some(arguments),
    );
    declared.title = prompt.title.clone();
    declared.icons = icons(&prompt.icons);
    declared
}

pub(crate) fn filled(filled: RenderedPrompt) -> mcp::GetPromptResult {
    let message =
        |message: Message| mcp::PromptMessage::new(role(message.role), content(message.content));
    let messages = filled.messages.into_iter().map(message).collect();
    let mut result = mcp::GetPromptResult::new(messages);
    result.description = filled.description;
    result
}

pub(crate) fn role(role: Role) -> mcp::Role {
    match role {
        Role::User => mcp::Role::User,
        Role::Assistant => mcp::Role::Assistant,
    }
}

pub(crate) fn resource(resource: Resource) -> mcp::Resource {
    let mut listed = mcp::Resource::new(resource.uri, resource.name);
    listed.title = resource.title;
    listed.description = resource.description;
    listed.mime_type = resource.mime_type;
    listed.size = resource.size;
    listed.icons = icons(&resource.icons);
    listed
}

pub(crate) fn template(template: &ResourceTemplate) -> mcp::ResourceTemplate {
    let mut listed = mcp::ResourceTemplate::new(&template.uri_template, &template.name);
    listed.title = template.title.clone();
    listed.description = template.description.clone();
    listed.mime_type = template.mime_type.clone();
    listed.icons = icons(&template.icons);
    listed
}

pub(crate) fn contents(contents: ResourceContents) -> mcp::ResourceContents {
    let (uri, mime_type) = (contents.uri, contents.mime_type);
    match contents.body {
        ResourceBody::Text(text) => mcp::ResourceContents::TextResourceContents {
            uri,
            mime_type,
            text,
            meta: None,
        },
        ResourceBody::Blob(bytes) => mcp::ResourceContents::BlobResourceContents {
            uri,
            mime_type,
            blob: BASE64.encode(bytes),
            meta: None,
        },
    }
}

pub(crate) fn content(content: Content) -> mcp::ContentBlock {
    match content {
        Content::Text(text) => mcp::ContentBlock::text(text),
        Content::Image(image) => {
            mcp::ContentBlock::image(BASE64.encode(image.data), image.mime_type)
        }
        Content::Audio(audio) => mcp::ContentBlock::Audio(mcp::AudioContent::new(
            BASE64.encode(audio.data),
            audio.mime_type,
        )),
        Content::Link(link) => {
            let mut linked = mcp::Resource::new(link.uri, link.name);
            linked.description = link.description;
            linked.mime_type = link.mime_type;
            mcp::ContentBlock::ResourceLink(linked)
        }
        Content::Embedded(resource) => {
            mcp::ContentBlock::Resource(mcp::EmbeddedResource::new(contents(resource)))
        }
        // The protocol has no other.
        other => mcp::ContentBlock::text(other.to_text()),
    }
}

/// A content block with the `_meta` that an MCP server sent beside it.
fn with_meta(block: mcp::ContentBlock, meta: Option<&Map<String, Value>>) -> mcp::ContentBlock {
    if meta.is_none() {
        return block;
    }
    let written = serde_json::to_value(&block);
    let said = written.map(|written| wire::mcp::with_meta(written, meta));
    said.and_then(serde_json::from_value).unwrap_or(block)
}

/// The result of a call.
pub(crate) fn result(result: ToolResult) -> mcp::CallToolResult {
    match result.outcome {
        Ok(output) => answered(output)
            .unwrap_or_else(|message| failed(&CallError::Failed { message }, &result.name)),
        Err(error) => failed(&error, &result.name),
    }
}

fn answered(output: Output) -> Result<mcp::CallToolResult, String> {
    // Programs without support for structured content read it as text.
    let content = match (&output.content[..], &output.structured) {
        ([], Some(json)) => vec![mcp::ContentBlock::text(json.get())],
        _ => {
            let blocks = output.content.into_iter().enumerate();
            blocks
                .map(|(at, it)| with_meta(content(it), output.content_meta.get(&at)))
                .collect()
        }
    };
    let mut result = mcp::CallToolResult::success(content);
    if let Some(json) = output.structured {
        let value = serde_json::from_str(json.get());
        let value =
            value.map_err(|error| format!("its structured output cannot be sent: {error}"))?;
        result.structured_content = Some(value);
    }
    if let Some(meta) = output.meta {
        // Clients refuse a result that violates its output schema, unless it is an error.
        if meta.contains_key(OUTPUT_MISMATCH) {
            result.is_error = Some(true);
        }
        result.meta = Some(mcp::MetaObject(meta));
    }
    Ok(result)
}

fn failed(error: &CallError, tool: &str) -> mcp::CallToolResult {
    let text = error.to_model_text(tool);
    let mut result = mcp::CallToolResult::error(vec![mcp::ContentBlock::text(text)]);
    let detail = json!({ "code": error.code(), "message": error.to_string() });
    let mut meta = mcp::MetaObject::default();
    meta.insert("error".to_owned(), detail);
    result.meta = Some(meta);
    result
}

/// Adapts a result to the protocol versions that have sessions.
pub(crate) fn for_session(result: &mut mcp::ServerResult) {
    result.strip_result_type_for_legacy_peer();
    result.strip_non_object_output_for_legacy_peer();
}
