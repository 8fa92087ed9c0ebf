//! From JSON to the parts of a schema. Without recursion: a chain of references may be as long as the schema.

use std::collections::HashMap;

use serde_json::Value;

use super::node::{Id, Node};
use super::pattern::Patterns;
use super::place::{Places, invalid};
use super::reading::Reading;
use super::{Invalid, Reference, Schema};

/// A schema that is being read.
pub struct Compiler<'s> {
    pub places: Places<'s>,
    pub patterns: Patterns,
    pub references: Vec<Reference>,
    pub tracks: bool,
    known: HashMap<String, Id>,
    /// Pointers to the parts, those that are still to be read last.
    pointers: Vec<String>,
}

pub fn compile(schema: &Value) -> Result<Schema, Invalid> {
    let mut compiler = Compiler {
        places: Places::read(schema)?,
        patterns: Patterns::default(),
        references: Vec::new(),
        tracks: false,
        known: HashMap::new(),
        pointers: Vec::new(),
    };
    compiler.part(String::new());
    let mut nodes = Vec::new();
    while let Some(pointer) = compiler.pointers.get(nodes.len()).cloned() {
        nodes.push(compiler.node(&pointer)?);
    }
    Ok(Schema { nodes, tracks: compiler.tracks, references: compiler.references })
}

impl Compiler<'_> {
    /// The part at a pointer, which is yet to be read unless it was.
    pub fn part(&mut self, pointer: String) -> Id {
        let next = self.pointers.len();
        let id = *self.known.entry(pointer.clone()).or_insert(next);
        if id == next {
            self.pointers.push(pointer);
        }
        id
    }

    fn node(&mut self, pointer: &str) -> Result<Node, Invalid> {
        let resource = self.places.resource(pointer);
        match self.places.part(pointer) {
            Some(Value::Bool(always)) => Ok(Node { never: !always, resource, ..Node::default() }),
            Some(Value::Object(schema)) => {
                let mut reading = Reading::new(self, pointer, Node { resource, ..Node::default() });
                for (keyword, operand) in schema {
                    reading.keyword(keyword, operand)?;
                }
                Ok(reading.node)
            }
            _ => Err(invalid(pointer, "a schema is a map, true or false")),
        }
    }
}
