//! Finds the line and column that a JSON pointer leads to. Independent of the meaning of keys.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::diagnostic::unescape;
use super::yaml_errors::MAX_DEPTH;
use super::yaml_tree::{Document, Kind, Node, NodeId};

/// Looks up JSON pointers in a document. Each map is indexed once, because thousands of diagnostics may lie in one map.
pub struct SourceMap<'a> {
    document: &'a Document,
    indexed: RefCell<HashMap<NodeId, Rc<Entries<'a>>>>,
}

/// The index of a map.
#[derive(Default)]
struct Entries<'a> {
    /// The nodes of key and value, by the key's text.
    own: HashMap<&'a str, (NodeId, NodeId)>,
    /// The maps that are merged into this one by `<<`.
    merged: Vec<NodeId>,
}

/// The node that a pointer leads to, or the innermost node on the way if there is none.
pub struct Member<'a> {
    /// The key of the node; `None` for an item of a list and for the document.
    pub key: Option<&'a Node>,
    pub value: &'a Node,
    /// The first key of the value, if this is a map.
    pub first_key: Option<&'a Node>,
    /// True if the pointer leads to this node; false if this is only the innermost node on the way.
    pub is_exact: bool,
}

impl<'a> SourceMap<'a> {
    pub fn new(document: &'a Document) -> Self {
        Self { document, indexed: RefCell::default() }
    }

    /// Finds the node that a pointer leads to, or the innermost node on the way.
    pub fn find(&self, pointer: &str) -> Member<'a> {
        let mut key = None;
        let mut value = self.document.root();
        let mut is_exact = true;
        for segment in pointer.split('/').skip(1) {
            let next = match &self.document.node(value).kind {
                Kind::Map(_) => {
                    let member = self.member(value, &unescape(segment), 0, &mut HashSet::new());
                    member.map(|(key, next)| (Some(key), next))
                }
                Kind::List(items) => {
                    segment.parse().ok().and_then(|index: usize| items.get(index)).map(|item| (None, *item))
                }
                Kind::Scalar { .. } => None,
            };
            let Some(next) = next else {
                is_exact = false;
                break;
            };
            (key, value) = next;
        }
        let node = |id| self.document.node(id);
        let value = node(value);
        let first_key = match &value.kind {
            Kind::Map(entries) => entries.first().map(|(key, _)| node(*key)),
            _ => None,
        };
        Member { key: key.map(node), value, first_key, is_exact }
    }

    /// Returns the text of a value as it is written in the file.
    pub fn text(&self, pointer: &str) -> Option<&'a str> {
        let member = self.find(pointer);
        member.is_exact.then(|| member.value.text()).flatten()
    }

    fn member(&self, map: NodeId, key: &str, depth: usize, seen: &mut HashSet<NodeId>) -> Option<(NodeId, NodeId)> {
        // A map may be merged several times, and into a map that it merges itself.
        if depth >= MAX_DEPTH || !seen.insert(map) {
            return None;
        }
        let entries = self.entries(map);
        let merged = || entries.merged.iter().find_map(|merged| self.member(*merged, key, depth + 1, seen));
        entries.own.get(key).copied().or_else(merged)
    }

    fn entries(&self, map: NodeId) -> Rc<Entries<'a>> {
        if let Some(known) = self.indexed.borrow().get(&map) {
            return Rc::clone(known);
        }
        let mut entries = Entries::default();
        if let Kind::Map(pairs) = &self.document.node(map).kind {
            for (key, value) in pairs {
                let node = self.document.node(*key);
                match (node.text(), &self.document.node(*value).kind) {
                    (_, Kind::List(maps)) if node.is_merge() => entries.merged.extend(maps),
                    (_, _) if node.is_merge() => entries.merged.push(*value),
                    (Some(text), _) => {
                        entries.own.entry(text).or_insert((*key, *value));
                    }
                    (None, _) => {}
                }
            }
        }
        let entries = Rc::new(entries);
        self.indexed.borrow_mut().insert(map, Rc::clone(&entries));
        entries
    }
}
