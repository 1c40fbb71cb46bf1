//! [`Block`]: the parts of results, as MCP writes them.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toolhost_core::Content;
use toolhost_core::tool::{EmbeddedResource, Media, ResourceBody, ResourceLink};

/// A part of a result.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Block<'a> {
    /// Text.
    Text {
        /// The text.
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
    /// An image.
    #[serde(rename_all = "camelCase")]
    Image {
        /// Its bytes, as base64.
        #[serde(borrow)]
        data: Cow<'a, str>,
        /// Its media type.
        #[serde(borrow)]
        mime_type: Cow<'a, str>,
    },
    /// A sound.
    #[serde(rename_all = "camelCase")]
    Audio {
        /// Its bytes, as base64.
        #[serde(borrow)]
        data: Cow<'a, str>,
        /// Its media type.
        #[serde(borrow)]
        mime_type: Cow<'a, str>,
    },
    /// Where something can be read.
    #[serde(rename_all = "camelCase")]
    ResourceLink {
        /// Its URI.
        #[serde(borrow)]
        uri: Cow<'a, str>,
        /// Its name.
        #[serde(borrow)]
        name: Cow<'a, str>,
        /// A description.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Cow<'a, str>>,
        /// Its media type.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mime_type: Option<Cow<'a, str>>,
    },
    /// Something that has a URI, with its content.
    Resource {
        /// It.
        #[serde(borrow)]
        resource: Embedded<'a>,
    },
}

/// A resource inside a result: its text, or its bytes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Embedded<'a> {
    /// Its URI.
    #[serde(borrow)]
    uri: Cow<'a, str>,
    /// Its media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mime_type: Option<Cow<'a, str>>,
    /// Its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    /// Its bytes, as base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blob: Option<Cow<'a, str>>,
}

impl<'a> Block<'a> {
    /// A part of a result of the host; `None` if no client knows this kind.
    pub fn of(content: &'a Content) -> Option<Block<'a>> {
        let optional = |text: &'a Option<String>| text.as_deref().map(Cow::Borrowed);
        Some(match content {
            Content::Text(text) => Block::Text {
                text: Cow::Borrowed(text),
            },
            Content::Image(media) => Block::Image {
                data: STANDARD.encode(&media.data).into(),
                mime_type: Cow::Borrowed(&media.mime_type),
            },
            Content::Audio(media) => Block::Audio {
                data: STANDARD.encode(&media.data).into(),
                mime_type: Cow::Borrowed(&media.mime_type),
            },
            Content::Link(link) => Block::ResourceLink {
                uri: Cow::Borrowed(&link.uri),
                name: Cow::Borrowed(&link.name),
                description: optional(&link.description),
                mime_type: optional(&link.mime_type),
            },
            Content::Embedded(resource) => {
                let (text, blob) = match &resource.body {
                    ResourceBody::Text(text) => (Some(Cow::Borrowed(&**text)), None),
                    ResourceBody::Blob(bytes) => (None, Some(STANDARD.encode(bytes).into())),
                };
                let resource = Embedded {
                    uri: Cow::Borrowed(&resource.uri),
                    mime_type: optional(&resource.mime_type),
                    text,
                    blob,
                };
                Block::Resource { resource }
            }
            _ => return None,
        })
    }

    /// A part of a result of the client's function.
    ///
    /// # Errors
    ///
    /// Its bytes are not base64, or a resource has neither text nor bytes.
    pub fn into_content(self) -> Result<Content, String> {
        let optional = |text: Option<Cow<str>>| text.map(Cow::into_owned);
        let bytes = |text: &str| {
            let decoded = STANDARD.decode(text);
            decoded.map_err(|error| format!("`data` is not base64: {error}"))
        };
        Ok(match self {
            Block::Text { text } => Content::Text(text.into_owned()),
            Block::Image { data, mime_type } => {
                Content::Image(Media::new(bytes(&data)?, mime_type))
            }
            Block::Audio { data, mime_type } => {
                Content::Audio(Media::new(bytes(&data)?, mime_type))
            }
            Block::ResourceLink {
                uri,
                name,
                description,
                mime_type,
            } => Content::Link(
                ResourceLink::new(uri, name)
                    .with_description(optional(description))
                    .with_mime_type(optional(mime_type)),
            ),
            Block::Resource { resource } => {
                let body = match (resource.text, resource.blob) {
                    (Some(text), _) => ResourceBody::Text(text.into_owned()),
                    (None, Some(blob)) => ResourceBody::Blob(bytes(&blob)?),
                    (None, None) => return Err("a resource needs `text` or `blob`".to_owned()),
                };
                let embedded = EmbeddedResource::new(resource.uri, body);
                Content::Embedded(embedded.with_mime_type(optional(resource.mime_type)))
            }
        })
    }
}
