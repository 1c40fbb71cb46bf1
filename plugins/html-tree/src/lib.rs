//! HTML of strangers as a tree, within bounds, and as Markdown.

mod bounded;
mod markdown;

use bounded::BoundedSink;
use html5ever::tendril::{StrTendril, TendrilSink};
use html5ever::tree_builder::TreeBuilderOpts;
use html5ever::{ParseOpts, parse_document};
use std::rc::Rc;
use toolhost_plugin::Error;

pub use markdown::{Links, markdown, resolve_links};
pub use markup5ever_rcdom::{Node, NodeData};

/// What walks a tree may recurse, and a sandbox's stack is small. Documents nest 30 levels deep or so.
pub const MAX_DEPTH: usize = 300;
/// An element takes some hundred bytes, and the parser copies unclosed ones over and over.
pub const MAX_ELEMENTS: usize = 150_000;

/// The parser looks at all open elements at each tag, so it must not get far beyond the bounds.
const CHUNK_BYTES: usize = 4096;

/// Parses a document as browsers do, with scripting disabled.
///
/// # Errors
///
/// It is nested deeper than [`MAX_DEPTH`], or has more elements than [`MAX_ELEMENTS`].
pub fn parse(html: &str) -> Result<Rc<Node>, Error> {
    let options = ParseOpts {
        tree_builder: TreeBuilderOpts {
            scripting_enabled: false,
            ..TreeBuilderOpts::default()
        },
        ..ParseOpts::default()
    };
    let mut parser = parse_document(BoundedSink::default(), options);
    let mut rest = html;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.floor_char_boundary(CHUNK_BYTES));
        parser.process(StrTendril::from_slice(chunk));
        parser.tokenizer.sink.sink.check()?;
        rest = after;
    }
    let document = parser.finish()?;
    check_depth(&document)?;
    Ok(document)
}

/// Where the parser moves elements, the sink does not see how deep they get.
fn check_depth(document: &Rc<Node>) -> Result<(), Error> {
    let mut todo = vec![(Rc::clone(document), 0)];
    while let Some((node, depth)) = todo.pop() {
        if depth > MAX_DEPTH {
            return Err(bounded::too_deep());
        }
        let children = node.children.borrow();
        todo.extend(children.iter().map(|child| (Rc::clone(child), depth + 1)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Links, markdown, parse};
    use std::time::{Duration, Instant};

    #[test]
    fn what_has_no_end_is_refused_at_once() {
        let started = Instant::now();
        for (html, why) in [
            ("<div>".repeat(100_000), "nested deeper"),
            (
                "<table>".to_owned() + &"<b><i>".repeat(100_000),
                "nested deeper",
            ),
            ("<a><div>".repeat(100_000), "nested deeper"),
            ("<b>".repeat(301), "nested deeper"),
            ("<p>".repeat(200_000), "more than"),
            (
                (0..100_000).map(|n| format!("<p><b id={n}>")).collect(),
                "nested deeper",
            ),
        ] {
            let error = parse(&html).unwrap_err();
            assert!(error.message().contains(why), "{error}");
        }
        assert!(started.elapsed() < Duration::from_secs(20));
        assert!(parse(&"<b>".repeat(280)).is_ok());
    }

    #[test]
    fn any_text_is_a_document() {
        for (html, expected) in [
            ("", ""),
            ("é<b", "é"),
            ("\0<!--", ""),
            (
                "<p>a<noscript><b>n</b></noscript><template>t</template>",
                "a",
            ),
        ] {
            assert_eq!(
                markdown(&parse(html).unwrap(), Links::Keep),
                expected,
                "{html}"
            );
        }
    }
}
