//! A document as a list of elements, in document order, each with its place in the tree.

use html_tree::{Node, NodeData};
use std::collections::HashMap;
use std::rc::Rc;
use toolhost_plugin::Error;

pub(crate) struct Document {
    pub(crate) root: Rc<Node>,
    pub(crate) elements: Vec<Element>,
}

/// An element. Others are named by their index in the document.
pub(crate) struct Element {
    pub(crate) node: Rc<Node>,
    pub(crate) parent: Option<usize>,
    /// The sibling before it.
    pub(crate) previous: Option<usize>,
    /// Its descendants are the elements up to here.
    pub(crate) end: usize,
    /// Its position among its siblings, from both ends, counted from 1.
    pub(crate) position: Position,
    /// Its position among its siblings of the same name.
    pub(crate) position_of_type: Position,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Position {
    pub(crate) from_start: usize,
    pub(crate) from_end: usize,
}

impl Document {
    pub(crate) fn parse(html: &str) -> Result<Self, Error> {
        let root = html_tree::parse(html)?;
        let mut elements = Vec::new();
        // The next to visit is on top. The second time an element is met, its descendants are in the list.
        let mut todo = vec![Step::Enter(Rc::clone(&root), None)];
        while let Some(step) = todo.pop() {
            let (node, parent) = match step {
                Step::Leave(index) => {
                    let end = elements.len();
                    let element: &mut Element = &mut elements[index];
                    element.end = end;
                    continue;
                }
                Step::Enter(node, parent) => (node, parent),
            };
            let mut index = parent;
            if let NodeData::Element { .. } = node.data {
                index = Some(elements.len());
                todo.push(Step::Leave(elements.len()));
                elements.push(Element {
                    node: Rc::clone(&node),
                    parent,
                    previous: None,
                    end: 0,
                    position: Position::default(),
                    position_of_type: Position::default(),
                });
            }
            let children = node.children.borrow();
            todo.extend(
                children
                    .iter()
                    .rev()
                    .map(|child| Step::Enter(Rc::clone(child), index)),
            );
        }
        let mut document = Self { root, elements };
        document.number();
        Ok(document)
    }

    fn number(&mut self) {
        let mut children: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
        for (index, element) in self.elements.iter().enumerate() {
            children.entry(element.parent).or_default().push(index);
        }
        for siblings in children.values() {
            let mut of_type: HashMap<String, usize> = HashMap::new();
            for (before, &index) in siblings.iter().enumerate() {
                let element = &mut self.elements[index];
                let count = of_type.entry(element.name().to_owned()).or_default();
                *count += 1;
                element.position_of_type.from_start = *count;
                element.position.from_start = before + 1;
                element.position.from_end = siblings.len() - before;
                element.previous = before.checked_sub(1).map(|before| siblings[before]);
            }
            for &index in siblings {
                let element = &mut self.elements[index];
                let count = of_type.get(element.name()).copied().unwrap_or_default();
                element.position_of_type.from_end = count + 1 - element.position_of_type.from_start;
            }
        }
    }

    pub(crate) fn elements(&self) -> impl Iterator<Item = &Element> {
        self.elements.iter()
    }

    /// The descendants of an element.
    pub(crate) fn below(&self, index: usize) -> std::ops::Range<usize> {
        index + 1..self.elements[index].end
    }
}

enum Step {
    Enter(Rc<Node>, Option<usize>),
    Leave(usize),
}

impl Element {
    pub(crate) fn name(&self) -> &str {
        match &self.node.data {
            NodeData::Element { name, .. } => &name.local,
            _ => "",
        }
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.name() == name
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        let mut attributes = self.attributes().into_iter();
        attributes
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Names and values, in the order of the document.
    pub(crate) fn attributes(&self) -> Vec<(String, String)> {
        match &self.node.data {
            NodeData::Element { attrs, .. } => attrs
                .borrow()
                .iter()
                .map(|attribute| {
                    (
                        attribute.name.local.to_string(),
                        attribute.value.to_string(),
                    )
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}
