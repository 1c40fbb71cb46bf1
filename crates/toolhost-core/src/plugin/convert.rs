//! Converts between the plugin interface's types and the library's own.

use serde_json::Value;

use crate::bindings::toolhost::plugin::types as wit;
use crate::provider::{self, ProvidedTool};
use crate::tool::{
    Annotations, Content, EmbeddedResource, Icon, Media, Output, ResourceBody, ResourceLink, Tool,
};

pub(super) fn tool(tool: wit::Tool, name: String, plugin: &str) -> Result<ProvidedTool, String> {
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
        plugin: plugin.to_owned(),
        sandboxed: true,
        ..Tool::default()
    };
    let output_schema = tool.output_schema.as_deref();
    ProvidedTool::parse(tool.name, declared, &tool.input_schema, output_schema)
}

pub(super) fn output(output: wit::Output) -> Result<Output, String> {
    let content = output.content.into_iter().map(content).collect();
    provider::output(content, output.structured)
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
