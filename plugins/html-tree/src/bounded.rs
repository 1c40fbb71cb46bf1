//! A tree that is watched while it grows.

use crate::{MAX_DEPTH, MAX_ELEMENTS};
use html5ever::tendril::StrTendril;
use html5ever::tree_builder::{ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::{Attribute, ExpandedName, QualName};
use markup5ever_rcdom::{Node, RcDom};
use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;
use toolhost_plugin::Error;

#[derive(Default)]
pub(crate) struct BoundedSink {
    tree: RcDom,
    elements: Cell<usize>,
    is_too_deep: Cell<bool>,
}

impl BoundedSink {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_too_deep.get() {
            return Err(too_deep());
        }
        if self.elements.get() > MAX_ELEMENTS {
            return Err(Error::failed(format!(
                "the HTML has more than {MAX_ELEMENTS} elements"
            )));
        }
        Ok(())
    }

    /// Notes whether a child of this node is too deep.
    fn look_at(&self, parent: &Rc<Node>) {
        if !self.is_too_deep.get() {
            let mut ancestors = std::iter::successors(Some(Rc::clone(parent)), above);
            self.is_too_deep.set(ancestors.nth(MAX_DEPTH).is_some());
        }
    }
}

pub(crate) fn too_deep() -> Error {
    Error::failed(format!("the HTML is nested deeper than {MAX_DEPTH} levels"))
}

fn above(node: &Rc<Node>) -> Option<Rc<Node>> {
    let parent = node.parent.take();
    let above = parent.as_ref().and_then(std::rc::Weak::upgrade);
    node.parent.set(parent);
    above
}

/// All but bounds and errors is the tree's own; `<selectedcontent>` stays empty, as filling it takes quadratic time.
impl TreeSink for BoundedSink {
    type Handle = Rc<Node>;
    type Output = Result<Rc<Node>, Error>;
    type ElemName<'a> = ExpandedName<'a>;

    fn finish(self) -> Self::Output {
        self.check()?;
        Ok(self.tree.document)
    }

    /// Most documents have some, and nothing reads them.
    fn parse_error(&self, _: Cow<'static, str>) {}

    fn get_document(&self) -> Rc<Node> {
        self.tree.get_document()
    }

    fn elem_name<'a>(&'a self, target: &'a Rc<Node>) -> ExpandedName<'a> {
        self.tree.elem_name(target)
    }

    fn create_element(
        &self,
        name: QualName,
        attributes: Vec<Attribute>,
        flags: ElementFlags,
    ) -> Rc<Node> {
        self.elements.set(self.elements.get() + 1);
        self.tree.create_element(name, attributes, flags)
    }

    fn create_comment(&self, text: StrTendril) -> Rc<Node> {
        self.elements.set(self.elements.get() + 1);
        self.tree.create_comment(text)
    }

    fn create_pi(&self, target: StrTendril, data: StrTendril) -> Rc<Node> {
        self.elements.set(self.elements.get() + 1);
        self.tree.create_pi(target, data)
    }

    fn append(&self, parent: &Rc<Node>, child: NodeOrText<Rc<Node>>) {
        self.look_at(parent);
        self.tree.append(parent, child);
    }

    fn append_based_on_parent_node(
        &self,
        element: &Rc<Node>,
        previous: &Rc<Node>,
        child: NodeOrText<Rc<Node>>,
    ) {
        self.look_at(previous);
        self.tree
            .append_based_on_parent_node(element, previous, child);
    }

    fn append_doctype_to_document(
        &self,
        name: StrTendril,
        public_id: StrTendril,
        system_id: StrTendril,
    ) {
        self.tree
            .append_doctype_to_document(name, public_id, system_id);
    }

    fn get_template_contents(&self, target: &Rc<Node>) -> Rc<Node> {
        self.tree.get_template_contents(target)
    }

    fn same_node(&self, a: &Rc<Node>, b: &Rc<Node>) -> bool {
        self.tree.same_node(a, b)
    }

    fn set_quirks_mode(&self, mode: QuirksMode) {
        self.tree.set_quirks_mode(mode);
    }

    fn append_before_sibling(&self, sibling: &Rc<Node>, child: NodeOrText<Rc<Node>>) {
        self.look_at(sibling);
        self.tree.append_before_sibling(sibling, child);
    }

    fn add_attrs_if_missing(&self, target: &Rc<Node>, attributes: Vec<Attribute>) {
        self.tree.add_attrs_if_missing(target, attributes);
    }

    fn remove_from_parent(&self, target: &Rc<Node>) {
        self.tree.remove_from_parent(target);
    }

    fn reparent_children(&self, node: &Rc<Node>, new_parent: &Rc<Node>) {
        self.tree.reparent_children(node, new_parent);
    }

    fn is_mathml_annotation_xml_integration_point(&self, target: &Rc<Node>) -> bool {
        self.tree.is_mathml_annotation_xml_integration_point(target)
    }
}
