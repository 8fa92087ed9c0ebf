//! Resolves references within a schema by `$id`, `$anchor` and JSON pointer. Nothing is fetched.

use std::collections::HashMap;

use serde_json::{Map, Value};
use url::Url;

use super::pointer::{child, is_within};
use super::subschemas::{Subschemas, subschemas_in};
use super::types::InvalidSchema;

/// An index of the schema resources and anchors of a schema.
pub struct Resolver<'s> {
    root: &'s Value,
    /// The base URI of each schema resource (a subschema with an `$id`), and the JSON pointer to it. The first is the
    /// root.
    resources: Vec<(Url, String)>,
    /// The anchors by name. Several resources can have anchors of the same name.
    anchors: HashMap<String, Vec<Anchor>>,
}

struct Anchor {
    resource: usize,
    pointer: String,
    is_dynamic: bool,
}

/// The target of a reference.
pub struct Resolved {
    /// The JSON pointer to the subschema.
    pub pointer: String,
    /// The name of the `$dynamicAnchor` by which the subschema was found, if it was.
    pub dynamic_anchor: Option<String>,
}

const MAX_POINTER_BYTES: usize = 2000;
const MAX_SUBSCHEMAS: usize = 20_000;
const MAX_RESOURCES: usize = 50;
/// The base URI of a schema without an `$id`.
const DEFAULT_BASE_URI: &str = "json-schema:///";
/// A longer pointer is cut off in messages.
const MAX_SHOWN_CHARS: usize = 120;

impl<'s> Resolver<'s> {
    /// Indexes a schema.
    ///
    /// # Errors
    /// Returns [`InvalidSchema`] if an `$id` is invalid, or the schema is too large or too deep.
    pub fn index(root: &'s Value) -> Result<Self, InvalidSchema> {
        let base = Url::parse(DEFAULT_BASE_URI).map_err(|error| invalid("", error.to_string()))?;
        let mut resolver = Self { root, resources: vec![(base, String::new())], anchors: HashMap::new() };
        // The subschemas that are not yet indexed, with the resource that contains them.
        let mut pending = vec![(String::new(), root, 0)];
        let mut count = 0;
        while let Some((pointer, schema, resource)) = pending.pop() {
            count += 1;
            if count > MAX_SUBSCHEMAS || pointer.len() > MAX_POINTER_BYTES {
                return Err(invalid(&pointer, "the schema is too large or too deep"));
            }
            let Value::Object(schema) = schema else { continue };
            let resource = resolver.index_names(schema, &pointer, resource)?;
            let operands = schema.iter().filter_map(|(key, operand)| Some((key, subschemas_in(key)?, operand)));
            for (key, subschemas, operand) in operands {
                let at = child(&pointer, key);
                match (subschemas, operand) {
                    (Subschemas::One, schema) => pending.push((at, schema, resource)),
                    (Subschemas::List, Value::Array(schemas)) => {
                        let schemas = schemas.iter().enumerate();
                        pending.extend(schemas.map(|(index, schema)| (format!("{at}/{index}"), schema, resource)));
                    }
                    (Subschemas::Map, Value::Object(schemas)) => {
                        pending.extend(schemas.iter().map(|(name, schema)| (child(&at, name), schema, resource)));
                    }
                    _ => {}
                }
            }
        }
        Ok(resolver)
    }

    /// Adds the `$id` and the anchors of a subschema. Returns the resource that the subschema is or lies in.
    fn index_names(
        &mut self,
        schema: &Map<String, Value>,
        pointer: &str,
        parent: usize,
    ) -> Result<usize, InvalidSchema> {
        let mut resource = parent;
        if let Some(Value::String(id)) = schema.get("$id") {
            let at = || child(pointer, "$id");
            let id = id.trim_end_matches('#');
            if id.contains('#') {
                return Err(invalid(&at(), "a fragment is not supported here: draft 2020-12 has `$anchor`"));
            }
            let uri = self.resources[parent].0.join(id).map_err(|_| invalid(&at(), "expected a URI reference"))?;
            if pointer.is_empty() {
                self.resources[0].0 = uri;
            } else {
                resource = self.resources.len();
                if resource > MAX_RESOURCES {
                    return Err(invalid(pointer, format!("more than {MAX_RESOURCES} subschemas with an `$id`")));
                }
                self.resources.push((uri, pointer.to_owned()));
            }
        }
        for (key, is_dynamic) in [("$anchor", false), ("$dynamicAnchor", true)] {
            if let Some(Value::String(name)) = schema.get(key) {
                let anchor = Anchor { resource, pointer: pointer.to_owned(), is_dynamic };
                self.anchors.entry(name.clone()).or_default().push(anchor);
            }
        }
        Ok(resource)
    }

    /// Returns the value at a JSON pointer.
    pub fn subschema(&self, pointer: &str) -> Option<&'s Value> {
        self.root.pointer(pointer)
    }

    /// Returns the index of the innermost schema resource that contains the subschema at `pointer`.
    pub fn resource_at(&self, pointer: &str) -> usize {
        let resources = self.resources.iter().enumerate();
        let around = resources.filter(|(_, (_, outer))| is_within(pointer, outer));
        around.max_by_key(|(_, (_, outer))| outer.len()).map_or(0, |(index, _)| index)
    }

    /// Resolves a reference in the subschema at `from`.
    ///
    /// # Errors
    /// Returns a message if the reference leads out of the schema, or not to a subschema.
    pub fn resolve(&self, from: &str, reference: &str) -> Result<Resolved, String> {
        let base = &self.resources[self.resource_at(from)].0;
        let (uri, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let uri = if uri.is_empty() {
            // `join` would fail for a base that is a URN.
            base.clone()
        } else {
            base.join(uri).map_err(|_| "expected a URI reference".to_owned())?
        };
        let resource = self.resources.iter().position(|(known, _)| *known == uri).ok_or(
            "the reference leads out of the schema, and remote schemas are not fetched: put the schema that it refers \
             to under `$defs`, with its `$id`",
        )?;
        let fragment = percent_encoding::percent_decode_str(fragment).decode_utf8_lossy();
        let dangling = || "the reference leads to no schema".to_owned();
        if fragment.is_empty() || fragment.starts_with('/') {
            let pointer = format!("{}{fragment}", self.resources[resource].1);
            let is_schema = self.subschema(&pointer).is_some_and(|schema| schema.is_object() || schema.is_boolean());
            if !is_schema || pointer.len() > MAX_POINTER_BYTES {
                return Err(dangling());
            }
            return Ok(Resolved { pointer, dynamic_anchor: None });
        }
        let mut anchors = self.anchors.get(&*fragment).into_iter().flatten();
        let anchor = anchors.find(|anchor| anchor.resource == resource).ok_or_else(dangling)?;
        let dynamic_anchor = anchor.is_dynamic.then(|| fragment.into_owned());
        Ok(Resolved { pointer: anchor.pointer.clone(), dynamic_anchor })
    }

    /// Returns the resources that have a `$dynamicAnchor` of this name, with the JSON pointers to the anchors.
    pub fn dynamic_anchors(&self, name: &str) -> impl Iterator<Item = (usize, &str)> {
        let anchors = self.anchors.get(name).into_iter().flatten().filter(|anchor| anchor.is_dynamic);
        anchors.map(|anchor| (anchor.resource, anchor.pointer.as_str()))
    }
}

/// Creates an error for the keyword or subschema at `pointer`.
pub fn invalid(pointer: &str, reason: impl Into<String>) -> InvalidSchema {
    let end = pointer.char_indices().nth(MAX_SHOWN_CHARS);
    let pointer = end.map_or(pointer.to_owned(), |(end, _)| format!("{}…", &pointer[..end]));
    InvalidSchema { pointer, reason: reason.into() }
}
