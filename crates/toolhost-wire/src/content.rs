//! The pieces of what a tool answers: text, media, resources. Their shapes follow MCP.

use crate::setters;

/// One piece of an [`Output`](crate::tool::Output).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// Text.
    Text(String),
    /// An image.
    Image(Media),
    /// A sound.
    Audio(Media),
    /// Where something can be read.
    Link(ResourceLink),
    /// Something that has a URI, with its contents.
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

    /// Hands all of it out to be masked: every text, and bytes.
    #[doc(hidden)]
    pub fn each_part(
        &mut self,
        text: &mut dyn FnMut(&mut String),
        bytes: &mut dyn FnMut(&mut Vec<u8>),
    ) {
        match self {
            Content::Text(it) => text(it),
            Content::Image(media) | Content::Audio(media) => {
                bytes(&mut media.data);
                text(&mut media.mime_type);
            }
            Content::Link(link) => {
                text(&mut link.uri);
                text(&mut link.name);
                let others = [&mut link.description, &mut link.mime_type];
                others.into_iter().flatten().for_each(text);
            }
            Content::Embedded(resource) => resource.each_part(text, bytes),
        }
    }

    /// Text as it is; anything else described, for a reader that takes only text.
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

impl From<String> for Content {
    fn from(text: String) -> Self {
        Content::Text(text)
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Content::Text(text.to_owned())
    }
}

/// Bytes with a media type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Media {
    /// The bytes, not encoded.
    pub data: Vec<u8>,
    /// Such as `image/png`.
    pub mime_type: String,
}

impl Media {
    /// Bytes, not encoded, with a media type such as `image/png`.
    pub fn new(data: impl Into<Vec<u8>>, mime_type: impl Into<String>) -> Self {
        Media {
            data: data.into(),
            mime_type: mime_type.into(),
        }
    }
}

/// Where something can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResourceLink {
    /// Its URI.
    pub uri: String,
    /// A name for it.
    pub name: String,
    /// What it is.
    pub description: Option<String>,
    /// Its media type.
    pub mime_type: Option<String>,
}

impl ResourceLink {
    /// A URI, and a name for what is there.
    pub fn new(uri: impl Into<String>, name: impl Into<String>) -> Self {
        ResourceLink {
            uri: uri.into(),
            name: name.into(),
            description: None,
            mime_type: None,
        }
    }
}

setters!(ResourceLink into {
    with_description: description: Option<String>,
    with_mime_type: mime_type: Option<String>,
});

/// Something that has a URI, with its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EmbeddedResource {
    /// Its URI.
    pub uri: String,
    /// Its media type.
    pub mime_type: Option<String>,
    /// Its contents.
    pub body: ResourceBody,
}

setters!(EmbeddedResource into {
    with_mime_type: mime_type: Option<String>,
});

impl EmbeddedResource {
    /// What is at a URI: text, or bytes.
    ///
    /// ```
    /// use toolhost_wire::tool::{EmbeddedResource, ResourceBody};
    ///
    /// let notes = EmbeddedResource::new("note://1", "# Notes").with_mime_type("text/markdown".to_owned());
    /// assert_eq!(notes.body, ResourceBody::Text("# Notes".to_owned()));
    /// ```
    pub fn new(uri: impl Into<String>, body: impl Into<ResourceBody>) -> Self {
        EmbeddedResource {
            uri: uri.into(),
            mime_type: None,
            body: body.into(),
        }
    }

    /// As [`Content::each_part`].
    #[doc(hidden)]
    pub fn each_part(
        &mut self,
        text: &mut dyn FnMut(&mut String),
        bytes: &mut dyn FnMut(&mut Vec<u8>),
    ) {
        text(&mut self.uri);
        self.mime_type.iter_mut().for_each(&mut *text);
        match &mut self.body {
            ResourceBody::Text(it) => text(it),
            ResourceBody::Blob(it) => bytes(it),
        }
    }

    /// Its bytes, as the `max-output` limit counts them.
    pub fn size(&self) -> usize {
        let body = match &self.body {
            ResourceBody::Text(text) => text.len(),
            ResourceBody::Blob(bytes) => bytes.len(),
        };
        self.uri.len() + self.mime_type.as_ref().map_or(0, String::len) + body
    }
}

/// The contents of an [`EmbeddedResource`]. There are no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceBody {
    /// Text.
    Text(String),
    /// Bytes, not encoded.
    Blob(Vec<u8>),
}

impl From<String> for ResourceBody {
    fn from(text: String) -> Self {
        ResourceBody::Text(text)
    }
}

impl From<&str> for ResourceBody {
    fn from(text: &str) -> Self {
        ResourceBody::Text(text.to_owned())
    }
}

impl From<Vec<u8>> for ResourceBody {
    fn from(bytes: Vec<u8>) -> Self {
        ResourceBody::Blob(bytes)
    }
}
