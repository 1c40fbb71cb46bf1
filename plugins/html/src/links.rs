//! `html_links`.

use crate::matching::matches;
use crate::selector::parse;
use crate::source::{MAX_OUTPUT_BYTES, absolute, base, document};
use crate::text::text;
use toolhost_plugin::{Error, Json, arguments, structured, tool};

const DEFAULT_LIMIT: usize = 500;

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct LinksArguments {
    /// The HTML document, or a part of one.
    html: Option<String>,
    /// Path of an HTML file, instead of `html`.
    path: Option<String>,
    /// CSS selector of elements: only links in them. Default: the whole document.
    selector: Option<String>,
    /// Address of the page: makes links absolute.
    base_url: Option<String>,
    /// Maximum number of links. Default: 500.
    #[schemars(range(min = 1, max = 10000))]
    limit: Option<usize>,
}

#[structured]
pub(crate) struct Links {
    /// How many links there are.
    total: usize,
    /// The links, in the order of the document.
    links: Vec<Link>,
}

#[structured]
pub(crate) struct Link {
    /// Its text, or of an image the alternative text.
    text: String,
    /// Where it leads; absolute if `base_url` or the document says to what it is relative.
    url: String,
}

/// Lists the links of an HTML document with their text.
#[tool(title = "Links of HTML", read_only, idempotent, closed_world)]
pub(crate) fn html_links(args: LinksArguments) -> Result<Json<Links>, Error> {
    let selector = args.selector.as_deref().map(parse).transpose()?;
    let document = document(args.html, args.path.as_deref())?;
    let base = base(&document, args.base_url.as_deref())?;
    let found = selector.map(|selector| matches(&document, &selector));
    let limit = args.limit.unwrap_or(DEFAULT_LIMIT);
    let (mut total, mut links, mut bytes, mut end) = (0, Vec::new(), 0, 0);
    for (index, element) in document.elements.iter().enumerate() {
        if found.as_ref().is_some_and(|found| found[index]) {
            end = end.max(element.end);
        }
        let is_meant = found.is_none() || index < end;
        let Some(address) = element
            .attribute("href")
            .filter(|_| is_meant && (element.is("a") || element.is("area")))
        else {
            continue;
        };
        total += 1;
        let mut text = text(&element.node);
        if text.is_empty() {
            let images = document.below(index).map(|index| &document.elements[index]);
            text = std::iter::once(element)
                .chain(images)
                .find_map(|element| element.attribute("alt"))
                .unwrap_or_default();
        }
        let url = absolute(&address, base.as_ref());
        bytes += text.len() + url.len() + 30;
        if links.len() < limit && bytes <= MAX_OUTPUT_BYTES {
            links.push(Link { text, url });
        }
    }
    Ok(Json(Links { total, links }))
}
