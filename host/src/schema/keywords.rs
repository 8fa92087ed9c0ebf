//! Compiles one subschema, keyword by keyword.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

use super::compiler::Compiler;
use super::node::{Bound, Node, NodeId, Target, Type};
use super::pointer::child;
use super::refs::invalid;
use super::types::{InvalidSchema, Reference};

/// The values of `$schema` that are accepted, without scheme and fragment. All are read as draft 2020-12; keywords of
/// older drafts that mean something else are refused.
const DIALECTS: [&str; 5] = [
    "//json-schema.org/draft/2020-12/schema",
    "//json-schema.org/draft/2019-09/schema",
    "//json-schema.org/draft-07/schema",
    "//json-schema.org/draft-06/schema",
    "//json-schema.org/draft-04/schema",
];

/// A node that is being compiled.
pub struct NodeBuilder<'c, 's> {
    pub node: Node,
    compiler: &'c mut Compiler<'s>,
    pointer: &'c str,
}

impl<'c, 's> NodeBuilder<'c, 's> {
    /// Starts with an empty node for the subschema at `pointer`.
    pub fn new(compiler: &'c mut Compiler<'s>, pointer: &'c str, node: Node) -> Self {
        Self { node, compiler, pointer }
    }

    /// Adds a keyword with its value. Unknown keywords are ignored, as the specification demands.
    pub fn add_keyword(&mut self, keyword: &str, operand: &Value) -> Result<(), InvalidSchema> {
        let at = &child(self.pointer, keyword);
        match keyword {
            "type" => self.node.types = parse_types(operand).map_err(|reason| invalid(at, reason))?,
            "enum" => self.node.allowed_values.push(expect_array(operand, at)?.clone()),
            "const" => self.node.allowed_values.push(vec![operand.clone()]),
            "writeOnly" => self.node.write_only = expect_bool(operand, at)?,
            "format" => self.node.format = Some(expect_string(operand, at)?.to_owned()),
            "multipleOf" => self.node.range.multiple_of = Some(expect_positive(operand, at)?),
            "minimum" | "exclusiveMinimum" => {
                let bound = Bound { limit: expect_number(operand, at)?, is_exclusive: keyword != "minimum" };
                let min = &mut self.node.range.min;
                // If there are both keywords, the stricter one counts.
                if min.as_ref().is_none_or(|other| other.allows_as_min(&bound.limit)) {
                    *min = Some(bound);
                }
            }
            "maximum" | "exclusiveMaximum" => {
                let bound = Bound { limit: expect_number(operand, at)?, is_exclusive: keyword != "maximum" };
                let max = &mut self.node.range.max;
                if max.as_ref().is_none_or(|other| other.allows_as_max(&bound.limit)) {
                    *max = Some(bound);
                }
            }
            "minLength" => self.node.length.min = Some(expect_count(operand, at)?),
            "maxLength" => self.node.length.max = Some(expect_count(operand, at)?),
            "pattern" => {
                let pattern = self.compiler.patterns.compile(expect_string(operand, at)?);
                self.node.pattern = Some(pattern.map_err(|reason| invalid(at, reason))?);
            }
            _ if self.add_array_keyword(keyword, operand, at)? || self.add_object_keyword(keyword, operand, at)? => {}
            _ => self.add_core_keyword(keyword, operand, at)?,
        }
        Ok(())
    }

    /// Returns false if the keyword is not one for arrays.
    fn add_array_keyword(&mut self, keyword: &str, operand: &Value, at: &str) -> Result<bool, InvalidSchema> {
        let array = &mut self.node.array;
        match keyword {
            "minItems" => array.count.min = Some(expect_count(operand, at)?),
            "maxItems" => array.count.max = Some(expect_count(operand, at)?),
            "uniqueItems" => array.unique_items = expect_bool(operand, at)?,
            "prefixItems" => array.prefix_items = self.compiler.schema_list(operand, at)?,
            "items" if operand.is_array() => {
                return Err(invalid(at, "an array of schemas is not supported here: draft 2020-12 has `prefixItems`"));
            }
            "items" => array.items = Some(self.compiler.schema(at)),
            "contains" => array.contains = Some(self.compiler.schema(at)),
            "minContains" => array.contains_count.min = Some(expect_count(operand, at)?),
            "maxContains" => array.contains_count.max = Some(expect_count(operand, at)?),
            "unevaluatedItems" => {
                self.compiler.tracks_evaluated = true;
                array.unevaluated_items = Some(self.compiler.schema(at));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Returns false if the keyword is not one for objects.
    fn add_object_keyword(&mut self, keyword: &str, operand: &Value, at: &str) -> Result<bool, InvalidSchema> {
        let object = &mut self.node.object;
        match keyword {
            "minProperties" => object.count.min = Some(expect_count(operand, at)?),
            "maxProperties" => object.count.max = Some(expect_count(operand, at)?),
            "required" => object.required = expect_strings(operand, at)?,
            "properties" => {
                let properties = self.compiler.schema_map(operand, at)?;
                object.property_order = properties.iter().map(|(name, _)| name.clone()).collect();
                object.properties = properties.into_iter().collect();
            }
            "patternProperties" => {
                for (text, id) in self.compiler.schema_map(operand, at)? {
                    let pattern = self.compiler.patterns.compile(&text);
                    let pattern = pattern.map_err(|reason| invalid(&child(at, &text), reason))?;
                    object.pattern_properties.push((pattern, id));
                }
            }
            "additionalProperties" => object.additional_properties = Some(self.compiler.schema(at)),
            "unevaluatedProperties" => {
                self.compiler.tracks_evaluated = true;
                object.unevaluated_properties = Some(self.compiler.schema(at));
            }
            "propertyNames" => object.property_names = Some(self.compiler.schema(at)),
            "dependentSchemas" => object.dependent_schemas = self.compiler.schema_map(operand, at)?,
            "dependentRequired" => {
                for (name, required) in expect_object(operand, at)? {
                    let required = expect_strings(required, &child(at, name))?;
                    object.dependent_required.push((name.clone(), required));
                }
            }
            "dependencies" => {
                let reason = "`dependencies` of older drafts is not supported: draft 2020-12 has `dependentRequired` \
                              and `dependentSchemas`";
                return Err(invalid(at, reason));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Adds keywords that apply subschemas to the same value, and those of the core vocabulary.
    fn add_core_keyword(&mut self, keyword: &str, operand: &Value, at: &str) -> Result<(), InvalidSchema> {
        match keyword {
            "allOf" => self.node.all_of = self.compiler.schema_list(operand, at)?,
            "anyOf" => self.node.any_of = Some(self.compiler.schema_list(operand, at)?),
            "oneOf" => self.node.one_of = Some(self.compiler.schema_list(operand, at)?),
            "not" => self.node.not = Some(self.compiler.schema(at)),
            "if" => self.node.if_schema = Some(self.compiler.schema(at)),
            "then" => self.node.then_schema = Some(self.compiler.schema(at)),
            "else" => self.node.else_schema = Some(self.compiler.schema(at)),
            "$ref" | "$dynamicRef" => {
                let target = self.resolve(expect_string(operand, at)?, keyword == "$dynamicRef");
                self.node.references.push(target.map_err(|reason| invalid(at, reason))?);
            }
            "$recursiveRef" => {
                let reason = "`$recursiveRef` of draft 2019-09 is not supported: draft 2020-12 has `$dynamicRef`";
                return Err(invalid(at, reason));
            }
            "$schema" => check_dialect(expect_string(operand, at)?).map_err(|reason| invalid(at, reason))?,
            // Definitions are compiled even if nothing refers to them, so that mistakes are found.
            "$defs" | "definitions" => {
                self.compiler.schema_map(operand, at)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn resolve(&mut self, reference: &str, is_dynamic: bool) -> Result<Target, String> {
        let found = self.compiler.resolver.resolve(self.pointer, reference)?;
        self.compiler.references.push(Reference { from: self.pointer.to_owned(), to: found.pointer.clone() });
        let mut target = Target { node: self.compiler.node_id(found.pointer), dynamic: HashMap::new() };
        if let (true, Some(name)) = (is_dynamic, found.dynamic_anchor) {
            let anchors = self.compiler.resolver.dynamic_anchors(&name);
            let anchors: Vec<_> = anchors.map(|(resource, pointer)| (resource, pointer.to_owned())).collect();
            target.dynamic =
                anchors.into_iter().map(|(resource, pointer)| (resource, self.compiler.node_id(pointer))).collect();
        }
        Ok(target)
    }
}

impl Compiler<'_> {
    fn schema(&mut self, at: &str) -> NodeId {
        self.node_id(at.to_owned())
    }

    fn schema_list(&mut self, operand: &Value, at: &str) -> Result<Vec<NodeId>, InvalidSchema> {
        match expect_array(operand, at)?.len() {
            0 => Err(invalid(at, "expected at least one schema")),
            length => Ok((0..length).map(|index| self.node_id(format!("{at}/{index}"))).collect()),
        }
    }

    fn schema_map(&mut self, operand: &Value, at: &str) -> Result<Vec<(String, NodeId)>, InvalidSchema> {
        let names = expect_object(operand, at)?.keys();
        Ok(names.map(|name| (name.clone(), self.node_id(child(at, name)))).collect())
    }
}

fn check_dialect(uri: &str) -> Result<(), &'static str> {
    let uri = uri.trim_end_matches('#');
    let name = uri.strip_prefix("https:").or_else(|| uri.strip_prefix("http:")).unwrap_or_default();
    if DIALECTS.contains(&name) {
        Ok(())
    } else {
        Err("the dialect is not supported: expected `https://json-schema.org/draft/2020-12/schema`")
    }
}

fn parse_types(operand: &Value) -> Result<Vec<Type>, String> {
    let one = |name: &Value| {
        let known = Type::ALL.iter().find(|(known, _)| name == known);
        let names = || Type::ALL.map(|(name, _)| name).join("`, `");
        known.map(|(_, known)| *known).ok_or_else(|| format!("unknown type, expected one of `{}`", names()))
    };
    match operand {
        Value::Array(names) if !names.is_empty() => names.iter().map(one).collect(),
        name => Ok(vec![one(name)?]),
    }
}

fn expect_string<'v>(operand: &'v Value, at: &str) -> Result<&'v str, InvalidSchema> {
    operand.as_str().ok_or_else(|| invalid(at, "expected a string"))
}

fn expect_strings(operand: &Value, at: &str) -> Result<Vec<String>, InvalidSchema> {
    expect_array(operand, at)?.iter().map(|item| Ok(expect_string(item, at)?.to_owned())).collect()
}

fn expect_array<'v>(operand: &'v Value, at: &str) -> Result<&'v Vec<Value>, InvalidSchema> {
    operand.as_array().ok_or_else(|| invalid(at, "expected an array"))
}

fn expect_object<'v>(operand: &'v Value, at: &str) -> Result<&'v Map<String, Value>, InvalidSchema> {
    operand.as_object().ok_or_else(|| invalid(at, "expected an object"))
}

fn expect_bool(operand: &Value, at: &str) -> Result<bool, InvalidSchema> {
    operand.as_bool().ok_or_else(|| invalid(at, "expected true or false"))
}

fn expect_number(operand: &Value, at: &str) -> Result<Number, InvalidSchema> {
    operand.as_number().cloned().ok_or_else(|| invalid(at, "expected a number"))
}

fn expect_positive(operand: &Value, at: &str) -> Result<Number, InvalidSchema> {
    let number = expect_number(operand, at)?;
    if number.as_f64().is_some_and(|size| size > 0.0) {
        Ok(number)
    } else {
        Err(invalid(at, "expected a number above 0"))
    }
}

/// Reads a number of characters, items or keys. 2.0 counts as 2.
fn expect_count(operand: &Value, at: &str) -> Result<u64, InvalidSchema> {
    let whole = operand.as_f64().filter(|count| count.fract() == 0.0 && *count >= 0.0);
    whole.map(|count| count as u64).ok_or_else(|| invalid(at, "expected a whole number of at least 0"))
}
