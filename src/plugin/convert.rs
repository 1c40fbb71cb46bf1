//! Between the plugin interface's types and the library's own.

use serde_json::Value;
use serde_json::value::RawValue;

use super::PluginTool;
use crate::bindings::toolhost::plugin::types as wit;
use crate::schema::Schema;
use crate::tool::{
    Annotations, Content, EmbeddedResource, Icon, Media, Output, ResourceBody, ResourceLink, Tool,
};

/// What every model API takes as the name of a tool.
pub(crate) fn is_tool_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

pub(super) fn tool(tool: wit::Tool, name: String, plugin: &str) -> Result<PluginTool, String> {
    let declared = Tool {
        name,
        title: tool.title,
        description: tool.description,
        icons: icons(tool.icons),
        input_schema: Value::Null,
        output_schema: None,
        annotations: Annotations {
            read_only: tool.annotations.read_only,
            destructive: tool.annotations.destructive,
            idempotent: tool.annotations.idempotent,
            open_world: tool.annotations.open_world,
        },
        allowed_callers: Vec::new(),
        plugin: plugin.to_owned(),
        sandboxed: true,
    };
    let output_schema = tool.output_schema.as_deref();
    PluginTool::new(tool.name, declared, &tool.input_schema, output_schema)
}

/// Objects and arrays in one another that a structured output may have: what reads it need not take
/// more.
const MAX_NESTING: usize = 128;

pub(super) fn output(output: wit::Output, schema: Option<&Schema>) -> Result<Output, String> {
    let content = output.content.into_iter().map(content).collect();
    checked_output(content, output.structured, schema)
}

/// # Errors
///
/// The structured output is not JSON, nested too deep, or not what the tool's `schema` says.
pub(crate) fn checked_output(
    content: Vec<Content>,
    structured: Option<String>,
    schema: Option<&Schema>,
) -> Result<Output, String> {
    if let Some(schema) = schema {
        let Some(json) = &structured else {
            return Err(
                "it has an output schema, and answered without structured output".to_owned(),
            );
        };
        schema
            .check_json(json)
            .map_err(|message| format!("its structured output {message}"))?;
    }
    let structured = match structured {
        None => None,
        Some(json) if is_deeper(&json, MAX_NESTING) => {
            return Err(format!(
                "its structured output is nested deeper than {MAX_NESTING}"
            ));
        }
        Some(json) => Some(
            RawValue::from_string(json)
                .map_err(|error| format!("its structured output is not JSON: {error}"))?,
        ),
    };
    Ok(Output {
        content,
        structured,
    })
}

/// Whether JSON has more than so many objects and arrays in one another.
fn is_deeper(json: &str, most: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > most {
            return true;
        }
    }
    false
}

pub(super) fn icons(icons: Vec<wit::Icon>) -> Vec<Icon> {
    let icon = |icon: wit::Icon| Icon {
        src: icon.src,
        mime_type: icon.mime_type,
        sizes: icon.sizes,
    };
    icons.into_iter().map(icon).collect()
}

pub(super) fn content(content: wit::Content) -> Content {
    match content {
        wit::Content::Text(text) => Content::Text(text),
        wit::Content::Image(image) => Content::Image(media(image)),
        wit::Content::Audio(audio) => Content::Audio(media(audio)),
        wit::Content::Link(link) => Content::Link(ResourceLink {
            uri: link.uri,
            name: link.name,
            description: link.description,
            mime_type: link.mime_type,
        }),
        wit::Content::Embedded(resource) => Content::Embedded(embedded(resource)),
    }
}

pub(super) fn embedded(resource: wit::EmbeddedResource) -> EmbeddedResource {
    EmbeddedResource {
        uri: resource.uri,
        mime_type: resource.mime_type,
        body: match resource.body {
            wit::ResourceBody::Text(text) => ResourceBody::Text(text),
            wit::ResourceBody::Blob(bytes) => ResourceBody::Blob(bytes),
        },
    }
}

fn media(media: wit::Media) -> Media {
    Media {
        data: media.data,
        mime_type: media.mime_type,
    }
}
