//! Things that have a URI and can be read: [`Resource`], [`ResourceTemplate`].
//!
//! The shapes follow MCP's resources.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use toolhost_wire::setters;

use crate::input::Resumption;
use crate::tool::{EmbeddedResource, Icon};

/// A longer URI, in bytes, is of no template: what it takes to see grows with both.
const MAX_URI: usize = 8 << 10;

/// A template may have so many bytes, and so many variables.
const MAX_TEMPLATE: usize = 2 << 10;
const MAX_VARIABLES: usize = 16;

/// Something that can be read.
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
    /// What can be read at a URI, with a name for it.
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

/// A resource that is asked for: [`ToolHost::read_resource`](crate::ToolHost::read_resource).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ResourceRequest {
    /// Its URI.
    pub uri: String,
    /// What came of what its plugin asked, when it was asked for before.
    pub resumed: Option<Resumption>,
}

impl ResourceRequest {
    /// What can be read at a URI.
    pub fn new(uri: impl Into<String>) -> Self {
        ResourceRequest {
            uri: uri.into(),
            resumed: None,
        }
    }

    /// Goes on with the replies to what its plugin asked.
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

/// Resources that need no listing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ResourceTemplate {
    /// A URI with variables, as RFC 6570 has them: `{name}` for anything but a slash, `{+name}` for
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

/// Whose resources are, among the plugins of a host and its manifest: as they are read, the manifest's come first,
/// then those of the first plugin with a template that fits, then those of the first that lists them.
#[derive(Debug, Default)]
pub(crate) struct ResourceOwners {
    /// The manifest's.
    pub(crate) own: HashSet<String>,
    /// The plugins, in their order.
    pub(crate) plugins: Vec<ResourceOwner>,
}

/// What is known of the resources of one plugin.
#[derive(Debug, Default)]
pub(crate) struct ResourceOwner {
    has_resources: bool,
    templates: Vec<ResourceTemplate>,
    /// As it last listed them.
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
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fits(&self, uri: &str) -> bool {
        self.templates.iter().any(|template| template.matches(uri))
    }
}

impl ResourceOwners {
    /// A plugin has listed what it has.
    pub(crate) fn list(&self, plugin: usize, resources: &[Resource]) {
        if let Some(owner) = self.plugins.get(plugin) {
            let uris = resources.iter().map(|resource| resource.uri.clone());
            *owner.listed() = uris.collect();
        }
    }

    /// Whether a resource is a plugin's, as far as is known: what no plugin has listed yet may be.
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

    /// Whether a plugin has any.
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
    /// A URI with variables, and a name for what it stands for.
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

    /// Whether a URI is one of those that the template stands for. One of more than 8 KiB is not.
    pub fn matches(&self, uri: &str) -> bool {
        uri.len() <= MAX_URI && is_match(&self.uri_template, uri)
    }

    /// Whether it stands for URIs of any scheme, so that its plugin is asked for what others list, too, and sees what else
    /// clients ask for.
    pub fn takes_any_scheme(&self) -> bool {
        let (variables, _) = pieces(&self.uri_template);
        let first = variables.first();
        first.is_some_and(|(literal, _)| !literal.contains(':'))
    }

    /// # Errors
    ///
    /// What it has too much of to be matched with every URI that is asked for.
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

/// The variables of a template, each with the text before it and whether it takes slashes too, and the
/// text after the last.
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

/// Goes through the template once, and keeps at which bytes of the URI what it has gone through can
/// end: no template takes longer than its length times the URI's.
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

/// Where a text ends that begins at one of the places.
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
        // By trying all ways to divide the URI, this would never end.
        assert!(!template.matches(&uri));
    }
}
