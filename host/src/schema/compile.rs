//! Compiles JSON to nodes. Not recursive: a chain of references can be as long as the schema.

use std::collections::HashMap;

use serde_json::Value;

use super::keywords::NodeBuilder;
use super::node::{Node, NodeId};
use super::pattern::PatternCache;
use super::refs::{Resolver, invalid};
use super::{InvalidSchema, Reference, Schema};

/// The state of a compilation.
pub struct Compiler<'s> {
    pub resolver: Resolver<'s>,
    pub patterns: PatternCache,
    pub references: Vec<Reference>,
    pub tracks_evaluated: bool,
    ids: HashMap<String, NodeId>,
    /// JSON pointers to the subschemas, by the ids of their nodes. Those that are not yet compiled come last.
    pointers: Vec<String>,
}

/// Compiles a schema with all its subschemas.
pub fn compile(schema: &Value) -> Result<Schema, InvalidSchema> {
    let mut compiler = Compiler {
        resolver: Resolver::index(schema)?,
        patterns: PatternCache::default(),
        references: Vec::new(),
        tracks_evaluated: false,
        ids: HashMap::new(),
        pointers: Vec::new(),
    };
    compiler.node_id(String::new());
    let mut nodes = Vec::new();
    while let Some(pointer) = compiler.pointers.get(nodes.len()).cloned() {
        nodes.push(compiler.compile_node(&pointer)?);
    }
    Ok(Schema { nodes, tracks_evaluated: compiler.tracks_evaluated, references: compiler.references })
}

impl Compiler<'_> {
    /// Returns the id of the node for the subschema at a JSON pointer. A new one is compiled later.
    pub fn node_id(&mut self, pointer: String) -> NodeId {
        let next = self.pointers.len();
        let id = *self.ids.entry(pointer.clone()).or_insert(next);
        if id == next {
            self.pointers.push(pointer);
        }
        id
    }

    fn compile_node(&mut self, pointer: &str) -> Result<Node, InvalidSchema> {
        let resource = self.resolver.resource_at(pointer);
        match self.resolver.subschema(pointer) {
            Some(Value::Bool(allows)) => Ok(Node { is_false: !allows, resource, ..Node::default() }),
            Some(Value::Object(schema)) => {
                let mut builder = NodeBuilder::new(self, pointer, Node { resource, ..Node::default() });
                for (keyword, operand) in schema {
                    builder.add_keyword(keyword, operand)?;
                }
                Ok(builder.node)
            }
            _ => Err(invalid(pointer, "expected a schema: an object, true or false")),
        }
    }
}
