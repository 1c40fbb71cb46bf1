//! Which elements of a document selectors match.
//!
//! Each compound is held against all elements at once, from left to right, so that the time grows with elements times
//! compounds, whatever the selector is; a search that goes back and tries again can take time without end.

use crate::document::{Document, Element, Position};
use crate::selector::{Combinator, Selector, Selectors, Simple, Test};
use crate::text::text;
use html_tree::NodeData;

/// For each element of the document, whether it is meant.
pub(crate) type Set = Vec<bool>;

/// The elements that match.
pub(crate) fn matches(document: &Document, selectors: &Selectors) -> Set {
    let mut set = vec![false; document.elements.len()];
    for selector in &selectors.0 {
        unite(&mut set, &selected(document, selector));
    }
    set
}

fn selected(document: &Document, selector: &Selector) -> Set {
    let mut found: Option<Set> = None;
    for (combinator, compound) in &selector.0 {
        let mut set = compound_matches(document, compound);
        if let Some(found) = found {
            intersect(&mut set, &reached(document, &found, *combinator));
        }
        found = Some(set);
    }
    found.unwrap_or_default()
}

/// The elements that a combinator leads to from a set. Parents and earlier siblings come first in the document.
fn reached(document: &Document, from: &Set, combinator: Combinator) -> Set {
    let mut set = vec![false; from.len()];
    for (index, element) in document.elements.iter().enumerate() {
        let is_in = |set: &Set, other: Option<usize>| other.is_some_and(|other| set[other]);
        set[index] = match combinator {
            Combinator::Child => is_in(from, element.parent),
            Combinator::Next => is_in(from, element.previous),
            Combinator::Descendant => is_in(from, element.parent) || is_in(&set, element.parent),
            Combinator::Later => is_in(from, element.previous) || is_in(&set, element.previous),
        };
    }
    set
}

/// The elements from which a combinator leads into a set: [`reached`] backwards.
fn leading(document: &Document, to: &Set, combinator: Combinator) -> Set {
    let mut set = vec![false; to.len()];
    for (index, element) in document.elements.iter().enumerate().rev() {
        let from = match combinator {
            Combinator::Child | Combinator::Descendant => element.parent,
            Combinator::Next | Combinator::Later => element.previous,
        };
        let is_far = matches!(combinator, Combinator::Descendant | Combinator::Later);
        if let Some(from) = from
            && (to[index] || is_far && set[index])
        {
            set[from] = true;
        }
    }
    set
}

fn compound_matches(document: &Document, compound: &[Simple]) -> Set {
    let mut set = vec![true; document.elements.len()];
    for simple in compound {
        match simple {
            Simple::Is(selectors) => intersect(&mut set, &matches(document, selectors)),
            Simple::Not(selectors) => {
                let excluded = matches(document, selectors);
                set.iter_mut()
                    .zip(excluded)
                    .for_each(|(set, excluded)| *set &= !excluded);
            }
            Simple::Has(selectors) => intersect(&mut set, &having(document, selectors)),
            simple => {
                for (is_in, element) in set.iter_mut().zip(&document.elements) {
                    *is_in = *is_in && is_match(element, simple);
                }
            }
        }
    }
    set
}

/// The elements from which selectors lead somewhere.
fn having(document: &Document, selectors: &Selectors) -> Set {
    let mut all = vec![false; document.elements.len()];
    for selector in &selectors.0 {
        let mut set = vec![true; document.elements.len()];
        for (combinator, compound) in selector.0.iter().rev() {
            intersect(&mut set, &compound_matches(document, compound));
            set = leading(document, &set, *combinator);
        }
        unite(&mut all, &set);
    }
    all
}

fn intersect(set: &mut Set, other: &Set) {
    set.iter_mut()
        .zip(other)
        .for_each(|(set, other)| *set &= other);
}

fn unite(set: &mut Set, other: &Set) {
    set.iter_mut()
        .zip(other)
        .for_each(|(set, other)| *set |= other);
}

fn is_match(element: &Element, simple: &Simple) -> bool {
    match simple {
        Simple::Any => true,
        Simple::Name(name) => element.name().eq_ignore_ascii_case(name),
        Simple::Attribute {
            name,
            test,
            ignore_case,
        } => element
            .attribute(name)
            .is_some_and(|value| test.holds(&value, *ignore_case)),
        Simple::Nth {
            step,
            offset,
            from_end,
            of_type,
        } => {
            let position = if *of_type {
                element.position_of_type
            } else {
                element.position
            };
            is_nth(position, *from_end, *step, *offset)
        }
        Simple::Empty => element
            .node
            .children
            .borrow()
            .iter()
            .all(|child| match &child.data {
                NodeData::Text { contents } => contents.borrow().is_empty(),
                NodeData::Element { .. } => false,
                _ => true,
            }),
        Simple::Root => element.parent.is_none(),
        Simple::Contains(wanted) => text(&element.node).contains(wanted),
        // Sets, not elements: see `compound_matches`.
        Simple::Not(_) | Simple::Is(_) | Simple::Has(_) => false,
    }
}

fn is_nth(position: Position, from_end: bool, step: isize, offset: isize) -> bool {
    let position = if from_end {
        position.from_end
    } else {
        position.from_start
    };
    let distance = position.cast_signed() - offset;
    match step {
        0 => distance == 0,
        step => distance % step == 0 && distance / step >= 0,
    }
}

impl Test {
    fn holds(&self, value: &str, ignore_case: bool) -> bool {
        let lower;
        let value = if ignore_case {
            lower = value.to_ascii_lowercase();
            &lower
        } else {
            value
        };
        let wanted = |wanted: &str| {
            if ignore_case {
                wanted.to_ascii_lowercase()
            } else {
                wanted.to_owned()
            }
        };
        // As in CSS, an empty word or part is in nothing.
        match self {
            Self::Exists => true,
            Self::Equals(text) => value == wanted(text),
            Self::Word(text) => {
                let wanted = wanted(text);
                value.split_ascii_whitespace().any(|word| word == wanted)
            }
            Self::Language(text) => {
                let rest = value.strip_prefix(&*wanted(text));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            }
            Self::Starts(text) => !text.is_empty() && value.starts_with(&*wanted(text)),
            Self::Ends(text) => !text.is_empty() && value.ends_with(&*wanted(text)),
            Self::Contains(text) => !text.is_empty() && value.contains(&*wanted(text)),
        }
    }
}
