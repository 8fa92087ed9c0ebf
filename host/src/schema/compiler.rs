//! The state of a compilation.

use std::collections::HashMap;

use serde_json::Value;

use super::node::NodeId;
use super::pattern::PatternCache;
use super::refs::Resolver;
use super::types::{InvalidSchema, Reference};

/// The state of a compilation.
pub struct Compiler<'s> {
    pub resolver: Resolver<'s>,
    pub patterns: PatternCache,
    pub references: Vec<Reference>,
    pub tracks_evaluated: bool,
    ids: HashMap<String, NodeId>,
    /// JSON pointers to the subschemas, by the ids of their nodes. Those that are not yet compiled come last.
    pub pointers: Vec<String>,
}

impl<'s> Compiler<'s> {
    /// Returns the state before anything is compiled.
    ///
    /// # Errors
    /// Returns [`InvalidSchema`] if the references of the schema cannot be indexed.
    pub fn new(schema: &'s Value) -> Result<Self, InvalidSchema> {
        Ok(Self {
            resolver: Resolver::index(schema)?,
            patterns: PatternCache::default(),
            references: Vec::new(),
            tracks_evaluated: false,
            ids: HashMap::new(),
            pointers: Vec::new(),
        })
    }

    /// Returns the id of the node for the subschema at a JSON pointer. A new one is compiled later.
    pub fn node_id(&mut self, pointer: String) -> NodeId {
        let next = self.pointers.len();
        let id = *self.ids.entry(pointer.clone()).or_insert(next);
        if id == next {
            self.pointers.push(pointer);
        }
        id
    }
}
