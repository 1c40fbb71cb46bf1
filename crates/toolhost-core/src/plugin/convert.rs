//! Converts between the plugin interface's types and the library's own.

use super::declared::Declared;
use crate::bindings::toolhost::plugin::types as wit;
use crate::provider;
use crate::tool::{
    Annotations, Content, EmbeddedResource, Icon, Media, Output, ResourceBody, ResourceLink, Tool,
};

pub(super) fn declared(tool: wit::Tool) -> Declared {
    let annotations = Annotations::default()
        .with_read_only(tool.annotations.read_only)
        .with_destructive(tool.annotations.destructive)
        .with_idempotent(tool.annotations.idempotent)
        .with_open_world(tool.annotations.open_world);
    Declared {
        path: None,
        is_described: true,
        refused: None,
        tool: Tool::new(tool.name, tool.description)
            .with_title(tool.title)
            .with_icons(icons(tool.icons))
            .with_annotations(annotations),
        input: tool.input_schema,
        output: tool.output_schema,
    }
}

pub(super) fn output(output: wit::Output) -> Result<Output, String> {
    let content = output.content.into_iter().map(content).collect();
    provider::output(content, output.structured)
}

pub(super) fn icons(icons: Vec<wit::Icon>) -> Vec<Icon> {
    let icon = |icon: wit::Icon| {
        Icon::new(icon.src)
            .with_mime_type(icon.mime_type)
            .with_sizes(icon.sizes)
    };
    icons.into_iter().map(icon).collect()
}

pub(super) fn content(content: wit::Content) -> Content {
    match content {
        wit::Content::Text(text) => Content::Text(text),
        wit::Content::Image(image) => Content::Image(media(image)),
        wit::Content::Audio(audio) => Content::Audio(media(audio)),
        wit::Content::Link(link) => Content::Link(
            ResourceLink::new(link.uri, link.name)
                .with_description(link.description)
                .with_mime_type(link.mime_type),
        ),
        wit::Content::Embedded(resource) => Content::Embedded(embedded(resource)),
    }
}

pub(super) fn embedded(resource: wit::EmbeddedResource) -> EmbeddedResource {
    let body = match resource.body {
        wit::ResourceBody::Text(text) => ResourceBody::Text(text),
        wit::ResourceBody::Blob(bytes) => ResourceBody::Blob(bytes),
    };
    EmbeddedResource::new(resource.uri, body).with_mime_type(resource.mime_type)
}

fn media(media: wit::Media) -> Media {
    Media::new(media.data, media.mime_type)
}
