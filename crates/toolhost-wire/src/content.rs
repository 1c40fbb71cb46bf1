//! [`Content`]: the parts of a tool's output: text, media, resources. The types follow MCP.

/// One part of an [`Output`](crate::tool::Output).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Text.
    Text(String),
    /// An image.
    Image(Media),
    /// Audio.
    Audio(Media),
    /// A link to a resource.
    Link(ResourceLink),
    /// A resource with its contents.
    Embedded(EmbeddedResource),
}

impl Content {
    /// Its bytes, as the `max-output` limit counts them.
    pub fn size(&self) -> usize {
        let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        match self {
            Content::Text(text) => text.len(),
            Content::Image(media) | Content::Audio(media) => {
                media.data.len() + media.mime_type.len()
            }
            Content::Link(link) => {
                link.uri.len()
                    + link.name.len()
                    + optional(&link.description)
                    + optional(&link.mime_type)
            }
            Content::Embedded(resource) => resource.size(),
        }
    }

    /// Text as it is; anything else as a description, for readers that accept only text.
    pub fn to_text(&self) -> String {
        match self {
            Content::Text(text) => text.clone(),
            Content::Image(media) => {
                format!("[image: {}, {} bytes]", media.mime_type, media.data.len())
            }
            Content::Audio(media) => {
                format!("[audio: {}, {} bytes]", media.mime_type, media.data.len())
            }
            Content::Link(link) => format!("[{}: {}]", link.name, link.uri),
            Content::Embedded(resource) => match &resource.body {
                ResourceBody::Text(text) => text.clone(),
                ResourceBody::Blob(bytes) => format!("[{}: {} bytes]", resource.uri, bytes.len()),
            },
        }
    }
}

/// Bytes with a media type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// The bytes, not encoded.
    pub data: Vec<u8>,
    /// Such as `image/png`.
    pub mime_type: String,
}

/// A link to a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceLink {
    /// Its URI.
    pub uri: String,
    /// A name.
    pub name: String,
    /// A description.
    pub description: Option<String>,
    /// Its media type.
    pub mime_type: Option<String>,
}

/// A resource with its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedResource {
    /// Its URI.
    pub uri: String,
    /// Its media type.
    pub mime_type: Option<String>,
    /// Its contents.
    pub body: ResourceBody,
}

impl EmbeddedResource {
    /// Its bytes, as the `max-output` limit counts them.
    pub fn size(&self) -> usize {
        let body = match &self.body {
            ResourceBody::Text(text) => text.len(),
            ResourceBody::Blob(bytes) => bytes.len(),
        };
        self.uri.len() + self.mime_type.as_ref().map_or(0, String::len) + body
    }
}

/// The contents of an [`EmbeddedResource`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceBody {
    /// Text.
    Text(String),
    /// Bytes, not encoded.
    Blob(Vec<u8>),
}
