//! [`Resource`] and [`ResourceTemplate`]: what clients can read by URI.
//!
//! The types follow MCP's resources.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};

use serde::Serialize;
use toolhost_wire::setters;

use crate::input::Resumption;
use crate::locks;
use crate::tool::{EmbeddedResource, Icon};

/// A longer URI, in bytes, matches no template: matching takes time proportional to both lengths.
const MAX_URI: usize = 8 << 10;

/// The longest template in bytes, and its most variables.
const MAX_TEMPLATE: usize = 2 << 10;
const MAX_VARIABLES: usize = 16;

/// A resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Resource {
    /// Its URI.
    pub uri: String,
    /// A name for programs and people.
    pub name: String,
    /// A name for people alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Its size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Icons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub icons: Vec<Icon>,
}

impl Resource {
    /// A resource at a URI, with a name.
    pub fn new(uri: impl Into<String>, name: impl Into<String>) -> Self {
        Resource {
            uri: uri.into(),
            name: name.into(),
            ..Resource::default()
        }
    }
}

setters!(Resource into {
    with_title: title: Option<String>,
    with_description: description: Option<String>,
    with_mime_type: mime_type: Option<String>,
    with_size: size: Option<u64>,
    with_icons: icons: Vec<Icon>,
});

/// A request for a resource: see [`ToolHost::read_resource`](crate::ToolHost::read_resource).
///
/// ```
/// # extern crate toolhost_core as toolhost;
/// use toolhost::resource::ResourceRequest;
/// use toolhost::{CallOptions, Manifest, ToolHost};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let text = "[resource.motto]\nuri = 'docs://motto'\ntext = 'Onward'";
/// let host = ToolHost::load(Manifest::parse(text, "toolhost.toml")?).await?;
///
/// let request = ResourceRequest::new("docs://motto");
/// let contents = host.read_resource(request, &CallOptions::new()).await?;
/// assert_eq!(contents[0].uri, "docs://motto");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ResourceRequest {
    /// Its URI.
    pub uri: String,
    /// The replies to its plugin's questions, if this continues an earlier request.
    pub resumed: Option<Resumption>,
}

impl ResourceRequest {
    /// A request for the resource at a URI.
    pub fn new(uri: impl Into<String>) -> Self {
        ResourceRequest {
            uri: uri.into(),
            resumed: None,
        }
    }

    /// Continues with the replies to its plugin's questions.
    #[must_use]
    pub fn resumed(mut self, resumption: Resumption) -> Self {
        self.resumed = Some(resumption);
        self
    }
}

impl From<&str> for ResourceRequest {
    fn from(uri: &str) -> Self {
        ResourceRequest::new(uri)
    }
}

/// A template for the URIs of resources that are not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ResourceTemplate {
    /// A URI with variables as in RFC 6570: `{name}` for anything but a slash, `{+name}` for
    /// anything.
    pub uri_template: String,
    /// A name for programs and people.
    pub name: String,
    /// A name for people alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Their media type, if they all have the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Icons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub icons: Vec<Icon>,
}

/// Which plugin, or the manifest, a resource belongs to. As for reading, the manifest's come first,
/// then those of the first plugin with a matching template, then those of the first plugin that
/// lists them.
#[derive(Debug, Default)]
pub(crate) struct ResourceOwners {
    /// Those of the manifest.
    pub(crate) own: HashSet<String>,
    /// The plugins, in their order.
    pub(crate) plugins: Vec<ResourceOwner>,
}

/// What is known of one plugin's resources.
#[derive(Debug, Default)]
pub(crate) struct ResourceOwner {
    has_resources: bool,
    templates: Vec<ResourceTemplate>,
    /// The URIs it last listed.
    listed: Mutex<HashSet<String>>,
}

impl ResourceOwner {
    pub(crate) fn new(has_resources: bool, templates: &[ResourceTemplate]) -> ResourceOwner {
        ResourceOwner {
            has_resources,
            templates: templates.to_vec(),
            listed: Mutex::default(),
        }
    }

    fn listed(&self) -> MutexGuard<'_, HashSet<String>> {
        locks::lock(&self.listed)
    }

    fn fits(&self, uri: &str) -> bool {
        self.templates.iter().any(|template| template.matches(uri))
    }
}

impl ResourceOwners {
    /// Records a plugin's listing.
    pub(crate) fn list(&self, plugin: usize, resources: &[Resource]) {
        if let Some(owner) = self.plugins.get(plugin) {
            let uris = resources.iter().map(|resource| resource.uri.clone());
            *owner.listed() = uris.collect();
        }
    }

    /// Whether a resource is a plugin's, as far as is known: one that no plugin has listed yet may
    /// be.
    pub(crate) fn is_of(&self, plugin: usize, uri: &str) -> bool {
        if self.own.contains(uri) {
            return false;
        }
        let plugins = || self.plugins.iter();
        let owner = plugins()
            .position(|owner| owner.fits(uri))
            .or_else(|| plugins().position(|owner| owner.listed().contains(uri)));
        match owner {
            Some(owner) => owner == plugin,
            None => self.has_any(plugin),
        }
    }

    /// Whether a plugin has any resources.
    pub(crate) fn has_any(&self, plugin: usize) -> bool {
        let owner = self.plugins.get(plugin);
        owner.is_some_and(|owner| owner.has_resources)
    }
}

/// Contents of a resource.
pub type ResourceContents = EmbeddedResource;

setters!(ResourceTemplate into {
    with_title: title: Option<String>,
    with_description: description: Option<String>,
    with_mime_type: mime_type: Option<String>,
    with_icons: icons: Vec<Icon>,
});

impl ResourceTemplate {
    /// A URI template, with a name for the resources it stands for.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use toolhost::resource::ResourceTemplate;
    ///
    /// let notes = ResourceTemplate::new("note:///{id}", "note");
    /// assert!(notes.matches("note:///7"));
    /// assert!(!notes.matches("note:///7/history"));
    /// ```
    pub fn new(uri_template: impl Into<String>, name: impl Into<String>) -> Self {
        ResourceTemplate {
            uri_template: uri_template.into(),
            name: name.into(),
            ..ResourceTemplate::default()
        }
    }

    /// Whether a URI matches the template. One of more than 8 KiB does not.
    pub fn matches(&self, uri: &str) -> bool {
        uri.len() <= MAX_URI && is_match(&self.uri_template, uri)
    }

    /// Whether it matches URIs of any scheme, so that its plugin sees requests for others'
    /// resources, too.
    pub fn takes_any_scheme(&self) -> bool {
        let (variables, _) = pieces(&self.uri_template);
        let first = variables.first();
        first.is_some_and(|(literal, _)| !literal.contains(':'))
    }

    /// # Errors
    ///
    /// It is too long or has too many variables to be matched with every requested URI.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (variables, _) = pieces(&self.uri_template);
        let (bytes, variables) = (self.uri_template.len(), variables.len());
        if bytes > MAX_TEMPLATE {
            return Err(format!(
                "has {bytes} bytes, but at most {MAX_TEMPLATE} are allowed"
            ));
        }
        if variables > MAX_VARIABLES {
            return Err(format!(
                "has {variables} variables, but at most {MAX_VARIABLES} are allowed"
            ));
        }
        Ok(())
    }
}

/// The variables of a template, each with the text before it and whether it matches slashes, and
/// the text after the last.
fn pieces(template: &str) -> (Vec<(&str, bool)>, &str) {
    let mut variables = Vec::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        let Some((variable, after)) = after.split_once('}') else {
            break;
        };
        variables.push((literal, variable.starts_with('+')));
        rest = after;
    }
    (variables, rest)
}

/// Matches in one pass over the template, keeping the set of URI positions reached: time is bounded
/// by the product of both lengths.
fn is_match(template: &str, uri: &str) -> bool {
    let (variables, last) = pieces(template);
    let mut ends = vec![0];
    for (literal, any) in variables {
        let starts: Vec<usize> = ends_of(literal, &ends, uri).collect();
        let Some(&first) = starts.first() else {
            return false;
        };
        let mut starts = starts.into_iter().peekable();
        let mut open = false;
        ends.clear();
        for (at, c) in uri[first..].char_indices() {
            let at = first + at;
            open |= starts.next_if_eq(&at).is_some();
            open &= any || c != '/';
            if open {
                ends.push(at + c.len_utf8());
            }
        }
    }
    ends_of(last, &ends, uri).any(|end| end == uri.len())
}

/// The positions after a text that begins at one of the given positions.
fn ends_of<'t>(
    text: &'t str,
    places: &'t [usize],
    uri: &'t str,
) -> impl Iterator<Item = usize> + 't {
    let begins = move |place: &&usize| uri[**place..].starts_with(text);
    places.iter().filter(begins).map(|place| place + text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_stands_for_what_its_variables_can_be() {
        let cases = [
            ("test://{id}/data", "test://1/data", true),
            ("test://{id}/data", "test://1/2/data", false),
            ("test://{+id}/data", "test://1/2/data", true),
            ("test://{id}/data", "test:///data", false),
            ("file:///{+path}", "file:///a/b.txt", true),
            ("x{a}y{b}z", "x1y2yz", true),
            ("x{a}y{b}z", "x1yz", false),
            ("plain", "plain", true),
            ("plain", "plainer", false),
            ("{a}", "ü", true),
            ("a{b", "a{b", true),
            ("{a}/{+b}-{c}", "1/2/3-4-5", true),
            ("{a}/{+b}-{c}", "1/2/3-4/5", false),
            ("{+a}{b}", "1/", false),
            ("aa{a}aa", "aaaa", false),
            ("aa{a}aa", "aaaaa", true),
        ];
        for (template, uri, expected) in cases {
            assert_eq!(is_match(template, uri), expected, "{template} {uri}");
        }
    }

    #[test]
    fn a_template_without_a_scheme_takes_them_all() {
        for (template, expected) in [
            ("{+x}", true),
            ("{scheme}://{host}", true),
            ("f{x}", true),
            ("file:///{+path}", false),
            ("plain", false),
        ] {
            let template = ResourceTemplate {
                uri_template: template.to_owned(),
                ..ResourceTemplate::default()
            };
            assert_eq!(template.takes_any_scheme(), expected, "{template:?}");
        }
    }

    #[test]
    fn a_longer_uri_is_of_no_template() {
        let template = ResourceTemplate {
            uri_template: "x:{+any}".to_owned(),
            ..ResourceTemplate::default()
        };
        let uri = |bytes: usize| format!("x:{}", "/".repeat(bytes - 2));
        assert!(template.matches(&uri(MAX_URI)));
        assert!(!template.matches(&uri(MAX_URI + 1)));
    }

    #[test]
    fn the_dearest_template_is_matched_before_long() {
        let template = ResourceTemplate {
            uri_template: format!("x:{}!", "{+a}".repeat(MAX_VARIABLES)),
            ..ResourceTemplate::default()
        };
        template.check().unwrap();
        let uri = format!("x:{}", "/".repeat(MAX_URI - 2));
        // Trying all ways to divide the URI would take exponential time.
        assert!(!template.matches(&uri));
    }
}
