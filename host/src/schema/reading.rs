//! One part of a schema, keyword by keyword: what each asks for, or why it is none.

use serde_json::{Map, Number, Value};

use super::compile::Compiler;
use super::node::{Bound, Id, Node, Target, Type};
use super::place::{below, invalid};
use super::{Invalid, Reference};

/// A part that is being read.
pub struct Reading<'r, 's> {
    pub node: Node,
    compiler: &'r mut Compiler<'s>,
    pointer: &'r str,
}

impl<'r, 's> Reading<'r, 's> {
    pub fn new(compiler: &'r mut Compiler<'s>, pointer: &'r str, node: Node) -> Self {
        Self { node, compiler, pointer }
    }

    /// Takes in one keyword. What is unknown has no meaning here, as JSON Schema has it.
    pub fn keyword(&mut self, keyword: &str, operand: &Value) -> Result<(), Invalid> {
        let at = &below(self.pointer, keyword);
        match keyword {
            "type" => self.node.types = types(operand).map_err(|why| invalid(at, why))?,
            "enum" => self.node.values.push(list(operand, at)?.clone()),
            "const" => self.node.values.push(vec![operand.clone()]),
            "writeOnly" => self.node.write_only = boolean(operand, at)?,
            "format" => self.node.format = Some(text(operand, at)?.to_owned()),
            "multipleOf" => self.node.numbers.multiple_of = Some(positive(operand, at)?),
            "minimum" | "exclusiveMinimum" => {
                let bound = Bound { limit: number(operand, at)?, exclusive: keyword != "minimum" };
                let least = &mut self.node.numbers.least;
                // Where there are both, the one that leaves less.
                if least.as_ref().is_none_or(|other| other.allows_from_above(&bound.limit)) {
                    *least = Some(bound);
                }
            }
            "maximum" | "exclusiveMaximum" => {
                let bound = Bound { limit: number(operand, at)?, exclusive: keyword != "maximum" };
                let most = &mut self.node.numbers.most;
                if most.as_ref().is_none_or(|other| other.allows_from_below(&bound.limit)) {
                    *most = Some(bound);
                }
            }
            "minLength" => self.node.length.least = Some(count(operand, at)?),
            "maxLength" => self.node.length.most = Some(count(operand, at)?),
            "pattern" => {
                let pattern = self.compiler.patterns.read(text(operand, at)?);
                self.node.pattern = Some(pattern.map_err(|why| invalid(at, why))?);
            }
            _ if self.list_keyword(keyword, operand, at)? || self.map_keyword(keyword, operand, at)? => {}
            _ => self.applied(keyword, operand, at)?,
        }
        Ok(())
    }

    fn list_keyword(&mut self, keyword: &str, operand: &Value, at: &str) -> Result<bool, Invalid> {
        match keyword {
            "minItems" => self.node.lists.count.least = Some(count(operand, at)?),
            "maxItems" => self.node.lists.count.most = Some(count(operand, at)?),
            "uniqueItems" => self.node.lists.unique = boolean(operand, at)?,
            "prefixItems" => self.node.lists.first = self.several(operand, at)?,
            "items" if operand.is_array() => {
                return Err(invalid(at, "a list of schemas, which 2020-12 calls `prefixItems`"));
            }
            "items" => self.node.lists.rest = Some(self.one(at)),
            "contains" => self.node.lists.contains = Some(self.one(at)),
            "minContains" => self.node.lists.contained.least = Some(count(operand, at)?),
            "maxContains" => self.node.lists.contained.most = Some(count(operand, at)?),
            "unevaluatedItems" => {
                self.compiler.tracks = true;
                self.node.lists.unevaluated = Some(self.one(at));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn map_keyword(&mut self, keyword: &str, operand: &Value, at: &str) -> Result<bool, Invalid> {
        match keyword {
            "minProperties" => self.node.maps.count.least = Some(count(operand, at)?),
            "maxProperties" => self.node.maps.count.most = Some(count(operand, at)?),
            "required" => self.node.maps.required = texts(operand, at)?,
            "properties" => {
                let named = self.named(operand, at)?;
                self.node.maps.known = named.iter().map(|(name, _)| name.clone()).collect();
                self.node.maps.properties = named.into_iter().collect();
            }
            "patternProperties" => {
                for (name, id) in self.named(operand, at)? {
                    let pattern = self.compiler.patterns.read(&name);
                    let pattern = pattern.map_err(|why| invalid(&below(at, &name), why))?;
                    self.node.maps.patterns.push((pattern, id));
                }
            }
            "additionalProperties" => self.node.maps.additional = Some(self.one(at)),
            "unevaluatedProperties" => {
                self.compiler.tracks = true;
                self.node.maps.unevaluated = Some(self.one(at));
            }
            "propertyNames" => self.node.maps.names = Some(self.one(at)),
            "dependentSchemas" => self.node.maps.dependent = self.named(operand, at)?,
            "dependentRequired" => {
                for (name, needed) in map(operand, at)? {
                    let needed = texts(needed, &below(at, name))?;
                    self.node.maps.beside.push((name.clone(), needed));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What applies other parts of the schema to the same value.
    fn applied(&mut self, keyword: &str, operand: &Value, at: &str) -> Result<(), Invalid> {
        match keyword {
            "allOf" => self.node.all = self.several(operand, at)?,
            "anyOf" => self.node.any = Some(self.several(operand, at)?),
            "oneOf" => self.node.one = Some(self.several(operand, at)?),
            "not" => self.node.not = Some(self.one(at)),
            "if" => self.node.condition = Some(self.one(at)),
            "then" => self.node.then = Some(self.one(at)),
            "else" => self.node.otherwise = Some(self.one(at)),
            "$ref" | "$dynamicRef" => {
                let target = self.follow(text(operand, at)?, keyword == "$dynamicRef");
                self.node.references.push(target.map_err(|why| invalid(at, why))?);
            }
            // Whether or not anything refers to them.
            "$defs" | "definitions" => {
                self.named(operand, at)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn follow(&mut self, reference: &str, dynamic: bool) -> Result<Target, String> {
        let found = self.compiler.places.follow(self.pointer, reference)?;
        self.compiler.references.push(Reference { from: self.pointer.to_owned(), to: found.pointer.clone() });
        let mut target = Target { to: self.compiler.part(found.pointer), dynamic: std::collections::HashMap::new() };
        if let (true, Some(name)) = (dynamic, found.dynamic) {
            let others = self.compiler.places.dynamic(&name);
            let others: Vec<_> = others.map(|(resource, pointer)| (resource, pointer.to_owned())).collect();
            target.dynamic =
                others.into_iter().map(|(resource, pointer)| (resource, self.compiler.part(pointer))).collect();
        }
        Ok(target)
    }

    fn one(&mut self, at: &str) -> Id {
        self.compiler.part(at.to_owned())
    }

    fn several(&mut self, operand: &Value, at: &str) -> Result<Vec<Id>, Invalid> {
        match list(operand, at)?.len() {
            0 => Err(invalid(at, "a list of no schemas")),
            length => Ok((0..length).map(|index| self.compiler.part(format!("{at}/{index}"))).collect()),
        }
    }

    fn named(&mut self, operand: &Value, at: &str) -> Result<Vec<(String, Id)>, Invalid> {
        let names = map(operand, at)?.keys();
        Ok(names.map(|name| (name.clone(), self.compiler.part(below(at, name)))).collect())
    }
}

fn types(operand: &Value) -> Result<Vec<Type>, String> {
    let one = |name: &Value| {
        let known = Type::ALL.iter().find(|(known, _)| name == known);
        let names = || Type::ALL.map(|(name, _)| name).join("`, `");
        known.map(|(_, known)| *known).ok_or_else(|| format!("no type: there are `{}`", names()))
    };
    match operand {
        Value::Array(several) if !several.is_empty() => several.iter().map(one).collect(),
        name => Ok(vec![one(name)?]),
    }
}

fn text<'v>(operand: &'v Value, at: &str) -> Result<&'v str, Invalid> {
    operand.as_str().ok_or_else(|| invalid(at, "no text"))
}

fn texts(operand: &Value, at: &str) -> Result<Vec<String>, Invalid> {
    list(operand, at)?.iter().map(|item| Ok(text(item, at)?.to_owned())).collect()
}

fn list<'v>(operand: &'v Value, at: &str) -> Result<&'v Vec<Value>, Invalid> {
    operand.as_array().ok_or_else(|| invalid(at, "no list"))
}

fn map<'v>(operand: &'v Value, at: &str) -> Result<&'v Map<String, Value>, Invalid> {
    operand.as_object().ok_or_else(|| invalid(at, "no map"))
}

fn boolean(operand: &Value, at: &str) -> Result<bool, Invalid> {
    operand.as_bool().ok_or_else(|| invalid(at, "neither true nor false"))
}

fn number(operand: &Value, at: &str) -> Result<Number, Invalid> {
    operand.as_number().cloned().ok_or_else(|| invalid(at, "no number"))
}

fn positive(operand: &Value, at: &str) -> Result<Number, Invalid> {
    let positive = number(operand, at)?;
    match positive.as_f64() {
        Some(size) if size > 0.0 => Ok(positive),
        _ => Err(invalid(at, "no number above 0")),
    }
}

/// 2.0 counts as 2.
fn count(operand: &Value, at: &str) -> Result<u64, Invalid> {
    let whole = operand.as_f64().filter(|count| count.fract() == 0.0 && *count >= 0.0);
    whole.map(|count| count as u64).ok_or_else(|| invalid(at, "no whole number of at least 0"))
}
