//! Things that have a URI and can be read: [`Resource`], [`ResourceTemplate`].
//!
//! The shapes follow MCP's resources.

use serde::Serialize;

use crate::tool::{EmbeddedResource, Icon};

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
    /// Whether a URI is one of those that the template stands for.
    pub fn matches(&self, uri: &str) -> bool {
        is_match(&self.uri_template, uri)
    }
}

/// As globs are matched: each variable takes as little as it can, and the last one that may take more
/// is gone back to.
fn is_match(template: &str, uri: &str) -> bool {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        let Some((variable, after)) = after.split_once('}') else {
            break;
        };
        pieces.push((literal, Some(variable.starts_with('+'))));
        rest = after;
    }
    pieces.push((rest, None));
    // Whether the first so many bytes of the URI can be matched by the pieces so far.
    let mut reached = vec![false; uri.len() + 1];
    reached[0] = true;
    for (literal, variable) in pieces {
        let mut next = vec![false; uri.len() + 1];
        for start in (0..=uri.len()).filter(|start| reached[*start]) {
            if uri[start..].starts_with(literal) {
                next[start + literal.len()] = true;
            }
        }
        if let Some(any) = variable {
            let mut ends = vec![false; uri.len() + 1];
            let mut open = false;
            for (at, c) in uri.char_indices() {
                open = (open || next[at]) && (any || c != '/');
                if open {
                    ends[at + c.len_utf8()] = true;
                }
            }
            next = ends;
        }
        reached = next;
    }
    reached[uri.len()]
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
        ];
        for (template, uri, expected) in cases {
            assert_eq!(is_match(template, uri), expected, "{template} {uri}");
        }
    }
}
