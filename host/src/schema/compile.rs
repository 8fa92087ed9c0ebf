//! Compiles JSON to nodes. Not recursive: a chain of references can be as long as the schema.

use serde_json::Value;

use super::compiler::Compiler;
use super::keywords::NodeBuilder;
use super::node::Node;
use super::refs::invalid;
use super::types::{InvalidSchema, Schema};

/// Compiles a schema with all its subschemas.
pub fn compile(schema: &Value) -> Result<Schema, InvalidSchema> {
    let mut compiler = Compiler::new(schema)?;
    compiler.node_id(String::new());
    let mut nodes = Vec::new();
    while let Some(pointer) = compiler.pointers.get(nodes.len()).cloned() {
        nodes.push(compiler.compile_node(&pointer)?);
    }
    Ok(Schema { nodes, tracks_evaluated: compiler.tracks_evaluated, references: compiler.references })
}

impl Compiler<'_> {
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
