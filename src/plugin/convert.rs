//! Between the plugin interface's types and the library's own.

use serde_json::value::RawValue;

use super::PluginTool;
use crate::bindings::toolhost::plugin::types as wit;
use crate::mask::Mask;
use crate::schema::Schema;
use crate::tool::{
    Annotations, Content, EmbeddedResource, Media, Output, ResourceBody, ResourceLink, Tool,
};

/// What every model API takes as the name of a tool.
pub(super) fn is_tool_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

pub(super) fn tool(tool: wit::Tool, name: String, plugin: &str) -> Result<PluginTool, String> {
    let (input_schema, schema) = Schema::parse(&tool.input_schema)
        .map_err(|message| format!("the input schema of `{name}` {message}"))?;
    let output_schema = match &tool.output_schema {
        None => None,
        Some(json) => {
            let (value, _) = Schema::parse(json)
                .map_err(|message| format!("the output schema of `{name}` {message}"))?;
            Some(value)
        }
    };
    Ok(PluginTool {
        own_name: tool.name,
        schema,
        tool: Tool {
            name,
            title: tool.title,
            description: tool.description,
            input_schema,
            output_schema,
            annotations: Annotations {
                read_only: tool.annotations.read_only,
                destructive: tool.annotations.destructive,
                idempotent: tool.annotations.idempotent,
                open_world: tool.annotations.open_world,
            },
            plugin: plugin.to_owned(),
        },
    })
}

/// Objects and arrays in one another that a structured output may have: what reads it need not take
/// more.
const MAX_NESTING: usize = 128;

/// # Errors
///
/// The structured output is not JSON, or nested too deep.
pub(super) fn output(output: wit::Output) -> Result<Output, String> {
    let structured = match output.structured {
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
        content: output.content.into_iter().map(content).collect(),
        structured,
    })
}

/// Puts `***` where secrets are.
pub(super) fn hide(output: &mut Output, mask: &Mask) {
    for content in &mut output.content {
        match content {
            Content::Text(text) => mask.text(text),
            Content::Image(media) | Content::Audio(media) => {
                mask.bytes(&mut media.data);
                mask.text(&mut media.mime_type);
            }
            Content::Link(link) => {
                mask.text(&mut link.uri);
                mask.text(&mut link.name);
                let others = [&mut link.description, &mut link.mime_type];
                others
                    .into_iter()
                    .flatten()
                    .for_each(|text| mask.text(text));
            }
            Content::Embedded(resource) => {
                mask.text(&mut resource.uri);
                if let Some(mime_type) = &mut resource.mime_type {
                    mask.text(mime_type);
                }
                match &mut resource.body {
                    ResourceBody::Text(text) => mask.text(text),
                    ResourceBody::Blob(bytes) => mask.bytes(bytes),
                }
            }
        }
    }
    if let Some(json) = output.structured.take() {
        let mut text = String::from(Box::<str>::from(json));
        mask.text(&mut text);
        // A secret may be a piece of JSON's own syntax.
        let masked = RawValue::from_string(text);
        output.structured = masked
            .or_else(|_| RawValue::from_string("\"***\"".to_owned()))
            .ok();
    }
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

fn content(content: wit::Content) -> Content {
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
        wit::Content::Embedded(resource) => Content::Embedded(EmbeddedResource {
            uri: resource.uri,
            mime_type: resource.mime_type,
            body: match resource.body {
                wit::ResourceBody::Text(text) => ResourceBody::Text(text),
                wit::ResourceBody::Blob(bytes) => ResourceBody::Blob(bytes),
            },
        }),
    }
}

fn media(media: wit::Media) -> Media {
    Media {
        data: media.data,
        mime_type: media.mime_type,
    }
}
