//! The text of an element, as a person reads it.

use html_tree::{Node, NodeData};
use std::rc::Rc;

/// They hold no text for people.
const HIDDEN: [&str; 4] = ["script", "style", "template", "noscript"];
const BLOCKS: [&str; 40] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "br",
    "caption",
    "center",
    "dd",
    "details",
    "dialog",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "html",
    "legend",
    "li",
    "main",
    "nav",
    "ol",
    "option",
    "p",
    "pre",
    "section",
    "summary",
    "title",
    "ul",
];
const CELLS: [&str; 8] = [
    "table", "tbody", "tfoot", "thead", "tr", "td", "th", "colgroup",
];

/// The text of a node: whitespace is collapsed, blocks are on lines of their own, and cells are apart.
pub(crate) fn text(node: &Rc<Node>) -> String {
    let mut output = String::new();
    let mut gap = "";
    // A node to enter, or what separates texts.
    let mut todo = vec![Step::Enter(Rc::clone(node))];
    let mut is_top = true;
    while let Some(step) = todo.pop() {
        let node = match step {
            Step::Gap(wider) => {
                gap = widest(gap, wider);
                continue;
            }
            Step::Enter(node) => node,
        };
        match &node.data {
            NodeData::Text { contents } => {
                let contents = contents.borrow();
                append(&mut output, &mut gap, &contents);
                continue;
            }
            NodeData::Element { name, .. } => {
                let name = &*name.local;
                if HIDDEN.contains(&name) && !is_top {
                    continue;
                }
                let around = match name {
                    _ if BLOCKS.contains(&name) => "\n",
                    "tr" | "table" => "\n",
                    _ if CELLS.contains(&name) => " ",
                    _ => "",
                };
                gap = widest(gap, around);
                todo.push(Step::Gap(around));
            }
            _ => {}
        }
        is_top = false;
        let children = node.children.borrow();
        todo.extend(
            children
                .iter()
                .rev()
                .map(|child| Step::Enter(Rc::clone(child))),
        );
    }
    output
}

enum Step {
    Enter(Rc<Node>),
    Gap(&'static str),
}

fn widest(a: &'static str, b: &'static str) -> &'static str {
    if a == "\n" || b.is_empty() { a } else { b }
}

fn append(output: &mut String, gap: &mut &'static str, text: &str) {
    let is_space = |c: char| c.is_whitespace();
    for (number, word) in text
        .split(is_space)
        .filter(|word| !word.is_empty())
        .enumerate()
    {
        let is_apart = number > 0 || text.starts_with(is_space);
        let before = widest(gap, if is_apart { " " } else { "" });
        if !output.is_empty() {
            output.push_str(before);
        }
        output.push_str(word);
        *gap = "";
    }
    if text.ends_with(is_space) {
        *gap = widest(gap, " ");
    }
}
