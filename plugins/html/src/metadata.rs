//! `html_metadata`.

use crate::document::Element;
use crate::source::{MAX_OUTPUT_BYTES, absolute, base, document};
use crate::text::text;
use html_tree::NodeData;
use std::collections::BTreeMap;
use toolhost_plugin::serde_json::{self, Value};
use toolhost_plugin::{Error, Json, arguments, structured, tool};

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct MetadataArguments {
    /// The HTML document.
    html: Option<String>,
    /// Path of an HTML file, instead of `html`.
    path: Option<String>,
    /// Address of the page: makes links absolute.
    base_url: Option<String>,
}

#[structured]
#[derive(Default)]
pub(crate) struct Metadata {
    /// The <title>.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// The language of the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    /// The address that the page prefers.
    #[serde(skip_serializing_if = "Option::is_none")]
    canonical: Option<String>,
    /// The <meta> elements, by name or property, such as "description", "author", "og:image".
    meta: BTreeMap<String, Vec<String>>,
    /// Feeds and other forms of the page: <link rel="alternate">.
    alternates: Vec<Alternate>,
    /// The headings.
    headings: Vec<Heading>,
    /// JSON-LD: data about the page for programs.
    json_ld: Vec<Value>,
    /// What is missing because it is too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[structured]
pub(crate) struct Alternate {
    url: String,
    /// Media type, such as "application/rss+xml".
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
}

#[structured]
pub(crate) struct Heading {
    /// From 1 to 6.
    level: u8,
    text: String,
}

/// Reads what an HTML document says about itself: title, language, meta elements (description, author, Open Graph),
/// canonical address, feeds, headings, JSON-LD.
#[tool(title = "Metadata of HTML", read_only, idempotent, closed_world)]
pub(crate) fn html_metadata(args: MetadataArguments) -> Result<Json<Metadata>, Error> {
    let document = document(args.html, args.path.as_deref())?;
    let base = base(&document, args.base_url.as_deref())?;
    let address = |element: &Element| {
        let address = element.attribute("href")?;
        Some(absolute(&address, base.as_ref()))
    };
    let mut metadata = Metadata::default();
    let mut room = MAX_OUTPUT_BYTES;
    for element in document.elements() {
        // Each part is small, or left out.
        let size = element
            .attributes()
            .iter()
            .map(|(_, value)| value.len())
            .sum::<usize>();
        match element.name() {
            "html" => metadata.language = element.attribute("lang"),
            "title" if metadata.title.is_none() && !is_in_svg(&document.elements, element) => {
                metadata.title =
                    Some(text(&element.node)).filter(|title| fits(&mut room, title.len()));
            }
            "meta" if fits(&mut room, size) => {
                let name = element
                    .attribute("name")
                    .or_else(|| element.attribute("property"));
                if let (Some(name), Some(content)) = (name, element.attribute("content")) {
                    metadata
                        .meta
                        .entry(name.trim().to_lowercase())
                        .or_default()
                        .push(content);
                }
            }
            "link" if fits(&mut room, size) => {
                let relation = element
                    .attribute("rel")
                    .unwrap_or_default()
                    .to_ascii_lowercase();
                let mut relations = relation.split_ascii_whitespace();
                if relations.clone().any(|relation| relation == "canonical") {
                    metadata.canonical = metadata.canonical.or_else(|| address(element));
                } else if relations.any(|relation| relation == "alternate")
                    && !relation.contains("stylesheet")
                    && let Some(url) = address(element)
                {
                    metadata.alternates.push(Alternate {
                        url,
                        media_type: element.attribute("type"),
                        title: element.attribute("title"),
                        language: element.attribute("hreflang"),
                    });
                }
            }
            "script" if is_json_ld(element) => {
                let source = raw_text(element);
                if fits(&mut room, source.len())
                    && let Ok(value) = serde_json::from_str(&source)
                {
                    metadata.json_ld.push(value);
                }
            }
            name @ ("h1" | "h2" | "h3" | "h4" | "h5" | "h6") => {
                let text = text(&element.node);
                if !text.is_empty() && fits(&mut room, text.len()) {
                    let level = name.as_bytes()[1] - b'0';
                    metadata.headings.push(Heading { level, text });
                }
            }
            _ => {}
        }
    }
    if room == 0 {
        metadata.note = Some(format!(
            "parts that exceed {MAX_OUTPUT_BYTES} bytes were left out"
        ));
    }
    Ok(Json(metadata))
}

/// Takes so much of the room, with what surrounds each value; the first part that does not fit takes it all.
fn fits(room: &mut usize, bytes: usize) -> bool {
    match room.checked_sub(bytes + 40) {
        Some(rest) => {
            *room = rest;
            true
        }
        None => {
            *room = 0;
            false
        }
    }
}

fn is_in_svg(elements: &[Element], element: &Element) -> bool {
    element
        .parent
        .is_some_and(|parent| elements[parent].is("svg"))
}

fn is_json_ld(element: &Element) -> bool {
    let media_type = element.attribute("type").unwrap_or_default();
    media_type
        .trim()
        .eq_ignore_ascii_case("application/ld+json")
}

/// The text of a script, as it is.
fn raw_text(element: &Element) -> String {
    let children = element.node.children.borrow();
    let texts = children.iter().filter_map(|child| match &child.data {
        NodeData::Text { contents } => Some(contents.borrow().to_string()),
        _ => None,
    });
    texts.collect()
}
