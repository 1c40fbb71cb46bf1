//! A tree as Markdown.

use crate::{Node, NodeData};
use htmd::HtmlToMarkdown;
use htmd::element_handler::{HandlerResult, Handlers};
use htmd::options::{BulletListMarker, Options};
use std::rc::Rc;
use url::Url;

/// What a page has beside its contents.
const SKIPPED_TAGS: [&str; 8] = [
    "script", "style", "noscript", "template", "svg", "iframe", "head", "link",
];

/// What becomes of links and images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Links and images are Markdown.
    Keep,
    /// Links are their text, and images nothing.
    TextOnly,
}

/// The tree as Markdown, without what is no content.
#[must_use]
pub fn markdown(tree: &Rc<Node>, links: Links) -> String {
    let options = Options {
        bullet_list_marker: BulletListMarker::Dash,
        ul_bullet_spacing: 1,
        ol_number_spacing: 1,
        ..Options::default()
    };
    let mut builder = HtmlToMarkdown::builder()
        .options(options)
        .skip_tags(SKIPPED_TAGS.to_vec());
    if links == Links::TextOnly {
        builder = builder
            .add_handler(
                vec!["a"],
                |handlers: &dyn Handlers, element: htmd::Element| -> Option<HandlerResult> {
                    Some(handlers.walk_children(element.node))
                },
            )
            .add_handler(
                vec!["img"],
                |_: &dyn Handlers, _: htmd::Element| -> Option<HandlerResult> { None },
            );
    }
    builder.build().tree_to_markdown(tree).trim().to_owned()
}

/// Makes links absolute if it is known to what they are relative, and drops images that are their own address (`data:`).
pub fn resolve_links(tree: &Rc<Node>, base: Option<&Url>) {
    let mut todo = vec![Rc::clone(tree)];
    while let Some(node) = todo.pop() {
        if let NodeData::Element { attrs, .. } = &node.data {
            for attribute in attrs.borrow_mut().iter_mut() {
                if !matches!(&*attribute.name.local, "href" | "src") {
                    continue;
                }
                if attribute.value.starts_with("data:") {
                    attribute.value.clear();
                } else if let Some(Ok(absolute)) = base.map(|base| base.join(&attribute.value)) {
                    attribute.value = absolute.as_str().into();
                }
            }
        }
        todo.extend(node.children.borrow().iter().cloned());
    }
}
