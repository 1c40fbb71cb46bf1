//! Resources: data with a URI that clients can read.

use crate::bindings::resources::exports::toolhost::plugin::resources as wit;
use crate::bindings::toolhost::plugin::types::{EmbeddedResource, Icon, ResourceBody};
use crate::{Error, digest};
use std::borrow::Cow;

pub use wit::{Resource, Template};

/// The resources of a plugin, which `plugin! { resources: Notes }` exports.
///
/// ```
/// use toolhost_plugin::{Contents, Error, Resource, Resources, Template, plugin};
///
/// struct Notes;
///
/// impl Resources for Notes {
///     fn list() -> Result<Vec<Resource>, Error> {
///         Ok(vec![Resource::new("note://welcome", "welcome").with_mime_type("text/plain")])
///     }
///
///     fn templates() -> Vec<Template> {
///         vec![Template::new("note://by-day/{day}", "by-day")]
///     }
///
///     fn read(uri: &str) -> Result<Contents, Error> {
///         if uri == "note://welcome" {
///             return Ok(Contents::text("text/plain", "Nice to see you."));
///         }
///         match Template::new("note://by-day/{day}", "by-day").variables(uri) {
///             Some(found) => Ok(Contents::text("text/plain", format!("On {}: nothing.", found[0].1))),
///             None => Err(Error::not_found(uri)),
///         }
///     }
/// }
///
/// plugin! { resources: Notes }
/// ```
pub trait Resources {
    /// Lists the resources, except those of [`templates`](Self::templates). Called whenever a client lists them.
    ///
    /// # Errors
    ///
    /// They cannot be listed.
    fn list() -> Result<Vec<Resource>, Error> {
        Ok(Vec::new())
    }

    /// Lists the patterns of resources that are not listed. Called once, without any permissions.
    #[must_use]
    fn templates() -> Vec<Template> {
        Vec::new()
    }

    /// Reads a resource that is listed or matches a template. It can [`ask`](crate::ask) questions.
    ///
    /// # Errors
    ///
    /// [`Error::not_found`] if it does not exist, or another error.
    fn read(uri: &str) -> Result<Contents, Error>;

    /// Returns a version that changes when the resource does. Called at intervals while a client is subscribed. By
    /// default, reads the resource and returns a hash.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    fn version(uri: &str) -> Result<String, Error> {
        Ok(Self::read(uri)?.digest())
    }
}

/// The contents of a resource; usually one part.
///
/// ```
/// use toolhost_plugin::Contents;
///
/// let page = Contents::text("text/markdown", "# Title");
/// let icon = Contents::blob("image/png", vec![0x89, b'P', b'N', b'G']);
/// assert_ne!(page, icon);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Contents(Vec<EmbeddedResource>);

impl Contents {
    /// Text, with a media type such as `text/plain`.
    pub fn text(mime_type: impl Into<String>, text: impl Into<String>) -> Self {
        Self::one(Some(mime_type.into()), ResourceBody::Text(text.into()))
    }

    /// Bytes, with a media type such as `image/png`.
    pub fn blob(mime_type: impl Into<String>, data: Vec<u8>) -> Self {
        Self::one(Some(mime_type.into()), ResourceBody::Blob(data))
    }

    /// Adds a part with its own URI, such as a file of a folder.
    #[must_use]
    pub fn with(mut self, resource: EmbeddedResource) -> Self {
        self.0.push(resource);
        self
    }

    fn one(mime_type: Option<String>, body: ResourceBody) -> Self {
        // The URI is the one that is read.
        let uri = String::new();
        Self(vec![EmbeddedResource {
            uri,
            mime_type,
            body,
        }])
    }

    fn digest(&self) -> String {
        digest(self.0.iter().flat_map(|part| {
            let body = match &part.body {
                ResourceBody::Text(text) => text.as_bytes(),
                ResourceBody::Blob(data) => data,
            };
            let mime_type = part.mime_type.as_deref().unwrap_or_default();
            [part.uri.as_bytes(), mime_type.as_bytes(), body]
        }))
    }

    /// Converts it to the types of the plugin interface.
    pub(crate) fn at(self, uri: &str) -> Vec<EmbeddedResource> {
        let mut parts = self.0;
        for part in &mut parts {
            if part.uri.is_empty() {
                uri.clone_into(&mut part.uri);
            }
        }
        parts
    }
}

/// Several parts, each with its own URI.
impl From<Vec<EmbeddedResource>> for Contents {
    fn from(parts: Vec<EmbeddedResource>) -> Self {
        Self(parts)
    }
}

impl From<String> for Contents {
    fn from(text: String) -> Self {
        Self::one(None, ResourceBody::Text(text))
    }
}

impl From<&str> for Contents {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Vec<u8>> for Contents {
    fn from(data: Vec<u8>) -> Self {
        Self::one(None, ResourceBody::Blob(data))
    }
}

impl Resource {
    /// A resource with a URI and an identifier.
    pub fn new(uri: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            name: name.into(),
            title: None,
            description: None,
            mime_type: None,
            size: None,
            icons: Vec::new(),
        }
    }

    /// Sets its size in bytes.
    #[must_use]
    pub fn with_size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }
}

impl Template {
    /// The resources whose URIs match: `{name}` matches any text without a slash, and `{+name}` any text.
    pub fn new(uri_template: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            uri_template: uri_template.into(),
            name: name.into(),
            title: None,
            description: None,
            mime_type: None,
            icons: Vec::new(),
        }
    }

    /// The values of the variables in a URI, in their order, with `%` sequences decoded; `None` if the URI does not match
    /// the template.
    ///
    /// ```
    /// use toolhost_plugin::Template;
    ///
    /// let notes = Template::new("note://{user}/{+path}", "notes");
    /// let found = notes.variables("note://ada/2026/a%20plan").unwrap();
    /// assert_eq!(found[0], ("user".into(), "ada".into()));
    /// assert_eq!(found[1], ("path".into(), "2026/a plan".into()));
    /// assert!(notes.variables("note://ada").is_none());
    /// ```
    #[must_use]
    pub fn variables(&self, uri: &str) -> Option<Vec<(String, String)>> {
        let mut found = Vec::new();
        fits(&self.uri_template, uri, &mut found).then(|| {
            found.reverse();
            found
        })
    }
}

/// Whether the template stands for the URI; what it found is in reverse.
fn fits(template: &str, uri: &str, found: &mut Vec<(String, String)>) -> bool {
    let Some((literal, rest)) = template.split_once('{') else {
        return template == uri;
    };
    let (Some((name, rest)), Some(uri)) = (rest.split_once('}'), uri.strip_prefix(literal)) else {
        return false;
    };
    let (name, end) = match name.strip_prefix('+') {
        Some(name) => (name, uri.len()),
        None => (name, uri.find('/').unwrap_or(uri.len())),
    };
    // As much as leaves enough for the rest, and something at least.
    for length in (1..=end).rev().filter(|at| uri.is_char_boundary(*at)) {
        if fits(rest, &uri[length..], found) {
            found.push((name.to_owned(), decoded(&uri[..length]).into_owned()));
            return true;
        }
    }
    false
}

/// Without `%` sequences, unless what they stand for is no text.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .filter(|code| code.iter().all(u8::is_ascii_hexdigit))
            .and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_or(text.into(), Cow::Owned)
}

macro_rules! described {
    ($($type:ty)+) => {
        $(
            impl $type {
                /// Sets a name for people.
                #[must_use]
                pub fn with_title(mut self, title: impl Into<String>) -> Self {
                    self.title = Some(title.into());
                    self
                }

                /// Says what it is.
                #[must_use]
                pub fn with_description(mut self, description: impl Into<String>) -> Self {
                    self.description = Some(description.into());
                    self
                }

                /// Sets the media type, such as `text/plain`.
                #[must_use]
                pub fn with_mime_type(mut self, mime_type: impl Into<String>) -> Self {
                    self.mime_type = Some(mime_type.into());
                    self
                }

                /// Adds a picture that stands for it.
                #[must_use]
                pub fn with_icon(mut self, icon: impl Into<Icon>) -> Self {
                    self.icons.push(icon.into());
                    self
                }
            }
        )+
    };
}

described!(Resource Template);

/// An `https:` or `data:` URI.
impl From<&str> for Icon {
    fn from(src: &str) -> Self {
        Self {
            src: src.to_owned(),
            mime_type: None,
            sizes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Contents, Template};

    fn found(template: &str, uri: &str) -> Option<Vec<String>> {
        let found = Template::new(template, "").variables(uri)?;
        Some(found.into_iter().map(|(_, value)| value).collect())
    }

    #[test]
    fn templates_fit_what_they_stand_for() {
        let some = |values: &[&str]| Some(values.iter().map(ToString::to_string).collect());
        assert_eq!(found("test://{id}/data", "test://7/data"), some(&["7"]));
        assert_eq!(found("test://{id}/data", "test://7/8/data"), None);
        assert_eq!(found("test://{id}/data", "test:///data"), None);
        assert_eq!(found("test://{+path}", "test://7/8"), some(&["7/8"]));
        assert_eq!(found("{a}-{b}", "x-y-z"), some(&["x-y", "z"]));
        assert_eq!(found("a:{b}", "a:%C3%A4%2"), some(&["ä%2"]));
        assert_eq!(found("a:{b}", "a:%FF"), some(&["%FF"]));
        assert_eq!(found("a:ä{b}", "a:äö"), some(&["ö"]));
        assert_eq!(found("a:b", "a:b"), some(&[]));
        assert_eq!(found("a:{b", "a:b"), None);
    }

    #[test]
    fn contents_have_the_uri_that_is_read_and_a_digest_of_their_own() {
        let parts = Contents::from("x").at("a:b");
        assert_eq!(parts[0].uri, "a:b");
        assert_ne!(
            Contents::from("x").digest(),
            Contents::text("text/plain", "x").digest()
        );
        assert_eq!(Contents::from("x").digest(), Contents::from("x").digest());
    }
}
