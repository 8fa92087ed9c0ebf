//! From a JSON pointer to its place in the text. Knows no key's meaning.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::diagnostic::unescape;
use super::yaml_errors::DEPTH;
use super::yaml_tree::{Document, Kind, Node, NodeId};

/// Looks up pointers; remembers each map that it has been through, as thousands of problems may share one.
pub struct SourceMap<'a> {
    document: &'a Document,
    maps: RefCell<HashMap<NodeId, Rc<Entries<'a>>>>,
}

/// A map's own keys with their values, and the maps that it takes in by `<<`.
#[derive(Default)]
struct Entries<'a> {
    own: HashMap<&'a str, (NodeId, NodeId)>,
    merged: Vec<NodeId>,
}

/// What a pointer leads to, or the nearest there is.
pub struct Found<'a> {
    /// The key before it, unless it is an item of a list.
    pub key: Option<&'a Node>,
    pub value: &'a Node,
    /// The first key of a map, at which it begins.
    pub first: Option<&'a Node>,
    /// Nothing of the pointer is missing.
    pub exact: bool,
}

impl<'a> SourceMap<'a> {
    pub fn new(document: &'a Document) -> Self {
        Self { document, maps: RefCell::default() }
    }

    pub fn find(&self, pointer: &str) -> Found<'a> {
        let mut key = None;
        let mut value = self.document.root();
        let mut exact = true;
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
                exact = false;
                break;
            };
            (key, value) = next;
        }
        let node = |id| self.document.node(id);
        let value = node(value);
        let first = match &value.kind {
            Kind::Map(entries) => entries.first().map(|(key, _)| node(*key)),
            _ => None,
        };
        Found { key: key.map(node), value, first, exact }
    }

    /// The text of a value, as it is written.
    pub fn text(&self, pointer: &str) -> Option<&'a str> {
        let found = self.find(pointer);
        found.exact.then(|| found.value.text()).flatten()
    }

    fn member(&self, map: NodeId, key: &str, depth: usize, seen: &mut HashSet<NodeId>) -> Option<(NodeId, NodeId)> {
        // The same map may be taken in again and again, and by what it takes in as well.
        if depth >= DEPTH || !seen.insert(map) {
            return None;
        }
        let entries = self.entries(map);
        let merged = || entries.merged.iter().find_map(|merged| self.member(*merged, key, depth + 1, seen));
        entries.own.get(key).copied().or_else(merged)
    }

    fn entries(&self, map: NodeId) -> Rc<Entries<'a>> {
        if let Some(known) = self.maps.borrow().get(&map) {
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
        self.maps.borrow_mut().insert(map, Rc::clone(&entries));
        entries
    }
}
