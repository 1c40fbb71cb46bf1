//! Outputs and their contents in the types of the plugin interface.

use crate::bindings::toolhost::plugin::types as wit;
use crate::tool::{Content, Media, Output, ResourceBody};

pub(super) fn output(output: Output) -> wit::Output {
    wit::Output {
        content: output.content.into_iter().map(content).collect(),
        structured: output.structured.map(|json| Box::<str>::from(json).into()),
    }
}

pub(crate) fn content(content: Content) -> wit::Content {
    match content {
        Content::Text(text) => wit::Content::Text(text),
        Content::Image(image) => wit::Content::Image(media(image)),
        Content::Audio(audio) => wit::Content::Audio(media(audio)),
        Content::Link(link) => wit::Content::Link(wit::ResourceLink {
            uri: link.uri,
            name: link.name,
            description: link.description,
            mime_type: link.mime_type,
        }),
        Content::Embedded(resource) => wit::Content::Embedded(wit::EmbeddedResource {
            uri: resource.uri,
            mime_type: resource.mime_type,
            body: match resource.body {
                ResourceBody::Text(text) => wit::ResourceBody::Text(text),
                ResourceBody::Blob(bytes) => wit::ResourceBody::Blob(bytes),
            },
        }),
        // The plugin interface has no other.
        other => wit::Content::Text(other.to_text()),
    }
}

fn media(media: Media) -> wit::Media {
    wit::Media {
        data: media.data,
        mime_type: media.mime_type,
    }
}
