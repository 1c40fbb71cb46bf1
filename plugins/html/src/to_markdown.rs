//! `html_to_markdown`.

use crate::matching::matches;
use crate::selector::parse;
use crate::source::{MAX_OUTPUT_BYTES, base, document};
use html_tree::{Links, markdown, resolve_links};
use toolhost_plugin::{Error, Output, arguments, tool};

#[arguments]
#[serde(deny_unknown_fields)]
pub(crate) struct ToMarkdown {
    /// The HTML document, or a part of one.
    html: Option<String>,
    /// Path of an HTML file, instead of `html`.
    path: Option<String>,
    /// CSS selector of the part to convert, such as "article" or "#content". Default: the whole document.
    selector: Option<String>,
    /// Address of the page: makes links absolute.
    base_url: Option<String>,
    /// Write links as plain text, and leave images out.
    #[serde(default)]
    without_links: bool,
}

/// Converts HTML to Markdown: headings, lists, links, tables, code. Scripts, styles and the head are left out.
#[tool(title = "HTML to Markdown", read_only, idempotent, closed_world)]
pub(crate) fn html_to_markdown(args: ToMarkdown) -> Result<Output, Error> {
    let selector = args.selector.as_deref().map(parse).transpose()?;
    let document = document(args.html, args.path.as_deref())?;
    let base = base(&document, args.base_url.as_deref())?;
    resolve_links(&document.root, base.as_ref());
    let links = if args.without_links {
        Links::TextOnly
    } else {
        Links::Keep
    };
    let mut text = String::new();
    match selector {
        None => text = markdown(&document.root, links),
        Some(selector) => {
            let found = matches(&document, &selector);
            let mut end = 0;
            for index in (0..found.len()).filter(|index| found[*index]) {
                // What is in another match is there already.
                if index < end {
                    continue;
                }
                let element = &document.elements[index];
                end = element.end;
                if !text.is_empty() {
                    text.push_str("\n\n");
                }
                text.push_str(&markdown(&element.node, links));
            }
            if end == 0 {
                return Err(Error::invalid_arguments("no element matches `selector`"));
            }
        }
    }
    if text.is_empty() {
        return Ok(Output::text("The document has no text."));
    }
    if text.len() > MAX_OUTPUT_BYTES {
        let total = text.len();
        text.truncate(text.floor_char_boundary(MAX_OUTPUT_BYTES));
        let note = format!(
            "Only the first {} of {total} bytes: use `selector` to convert a part.",
            text.len()
        );
        return Ok(Output::text(text).with_text(note));
    }
    Ok(Output::text(text))
}
