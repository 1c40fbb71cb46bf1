//! Things that have a URI and can be read: [`Resource`], [`ResourceTemplate`].
//!
//! The shapes follow MCP's resources.

use serde::Serialize;

use crate::tool::{EmbeddedResource, Icon};

/// A longer URI, in bytes, is of no template: what it takes to see grows with both.
const MAX_URI: usize = 8 << 10;

/// A template may have so many bytes, and so many variables.
const MAX_TEMPLATE: usize = 2 << 10;
const MAX_VARIABLES: usize = 16;

/// Something that can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
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
    /// Pictures that stand for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub icons: Vec<Icon>,
}

/// Resources that need no listing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
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
    /// Pictures that stand for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub icons: Vec<Icon>,
}

/// Contents of a resource.
pub type ResourceContents = EmbeddedResource;

impl ResourceTemplate {
    /// Whether a URI is one of those that the template stands for. One of more than 8 KiB is not.
    pub fn matches(&self, uri: &str) -> bool {
        uri.len() <= MAX_URI && is_match(&self.uri_template, uri)
    }

    /// # Errors
    ///
    /// What it has too much of to be matched with every URI that is asked for.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (variables, _) = pieces(&self.uri_template);
        let (bytes, variables) = (self.uri_template.len(), variables.len());
        if bytes > MAX_TEMPLATE {
            return Err(format!("has {bytes} bytes, and may have {MAX_TEMPLATE}"));
        }
        if variables > MAX_VARIABLES {
            return Err(format!(
                "has {variables} variables, and may have {MAX_VARIABLES}"
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
    fn the_dearest_template_takes_milliseconds() {
        let template = ResourceTemplate {
            uri_template: format!("x:{}!", "{+a}".repeat(MAX_VARIABLES)),
            ..ResourceTemplate::default()
        };
        template.check().unwrap();
        let uri = format!("x:{}", "/".repeat(MAX_URI - 2));
        let start = std::time::Instant::now();
        assert!(!template.matches(&uri));
        assert!(start.elapsed().as_millis() < 500);
    }
}
