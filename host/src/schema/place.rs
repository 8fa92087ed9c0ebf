//! Where the parts of a schema are, and where its references lead: `$id`, `$anchor`, `$ref`. Nothing is fetched.

use std::collections::HashMap;

use serde_json::{Map, Value};
use url::Url;

use super::Invalid;

/// A schema's parts by their names.
pub struct Places<'s> {
    root: &'s Value,
    /// Schemas within the schema that have an address of their own, and JSON pointers to them. The first is the whole.
    resources: Vec<(Url, String)>,
    /// By name.
    anchors: HashMap<String, Vec<Anchor>>,
}

struct Anchor {
    resource: usize,
    pointer: String,
    dynamic: bool,
}

/// Where a reference leads: a JSON pointer; and the name that it may have elsewhere.
pub struct Found {
    pub pointer: String,
    pub dynamic: Option<String>,
}

/// What a keyword holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    One,
    List,
    Map,
}

/// Keywords whose values are schemas.
const APPLICATORS: &[(&str, Holds)] = &[
    ("$defs", Holds::Map),
    ("definitions", Holds::Map),
    ("allOf", Holds::List),
    ("anyOf", Holds::List),
    ("oneOf", Holds::List),
    ("not", Holds::One),
    ("if", Holds::One),
    ("then", Holds::One),
    ("else", Holds::One),
    ("prefixItems", Holds::List),
    ("items", Holds::One),
    ("contains", Holds::One),
    ("unevaluatedItems", Holds::One),
    ("properties", Holds::Map),
    ("patternProperties", Holds::Map),
    ("additionalProperties", Holds::One),
    ("unevaluatedProperties", Holds::One),
    ("propertyNames", Holds::One),
    ("dependentSchemas", Holds::Map),
];
/// Longer than any path through a schema that somebody has written.
const LONGEST_POINTER: usize = 2000;
/// More parts than a schema has that somebody has written.
const MOST_PARTS: usize = 20_000;
/// More schemas than one has within it that somebody has bundled.
const MOST_RESOURCES: usize = 50;
/// What a schema's addresses start from that has none of its own.
const NOWHERE: &str = "json-schema:///";

impl<'s> Places<'s> {
    pub fn read(root: &'s Value) -> Result<Self, Invalid> {
        let nowhere = Url::parse(NOWHERE).map_err(|error| invalid("", error.to_string()))?;
        let mut places = Self { root, resources: vec![(nowhere, String::new())], anchors: HashMap::new() };
        // Parts that are still to be looked at, and the resource that they lie in.
        let mut waiting = vec![(String::new(), root, 0)];
        let mut count = 0;
        while let Some((pointer, schema, resource)) = waiting.pop() {
            count += 1;
            if count > MOST_PARTS || pointer.len() > LONGEST_POINTER {
                return Err(invalid(&pointer, "too large or too deep a schema"));
            }
            let Value::Object(schema) = schema else { continue };
            let resource = places.names(schema, &pointer, resource)?;
            let parts = schema.iter().filter_map(|(key, value)| Some((key, holds(key)?, value)));
            for (key, holds, value) in parts {
                let at = below(&pointer, key);
                match (holds, value) {
                    (Holds::One, value) => waiting.push((at, value, resource)),
                    (Holds::List, Value::Array(parts)) => {
                        let parts = parts.iter().enumerate();
                        waiting.extend(parts.map(|(index, part)| (format!("{at}/{index}"), part, resource)));
                    }
                    (Holds::Map, Value::Object(parts)) => {
                        waiting.extend(parts.iter().map(|(name, part)| (below(&at, name), part, resource)));
                    }
                    _ => {}
                }
            }
        }
        Ok(places)
    }

    /// Notes the names of a part, and returns the resource that it is or lies in.
    fn names(&mut self, schema: &Map<String, Value>, pointer: &str, within: usize) -> Result<usize, Invalid> {
        let mut resource = within;
        if let Some(Value::String(id)) = schema.get("$id") {
            let address = self.resources[within].0.join(id.trim_end_matches('#'));
            let address = address.map_err(|_| invalid(&below(pointer, "$id"), "no address of a schema"))?;
            if pointer.is_empty() {
                self.resources[0].0 = address;
            } else {
                resource = self.resources.len();
                if resource > MOST_RESOURCES {
                    return Err(invalid(pointer, "too many schemas within one"));
                }
                self.resources.push((address, pointer.to_owned()));
            }
        }
        for (key, dynamic) in [("$anchor", false), ("$dynamicAnchor", true)] {
            if let Some(Value::String(name)) = schema.get(key) {
                let anchor = Anchor { resource, pointer: pointer.to_owned(), dynamic };
                self.anchors.entry(name.clone()).or_default().push(anchor);
            }
        }
        Ok(resource)
    }

    /// The part at a pointer.
    pub fn part(&self, pointer: &str) -> Option<&'s Value> {
        self.root.pointer(pointer)
    }

    /// Which resource a part lies in: the innermost.
    pub fn resource(&self, pointer: &str) -> usize {
        let within = |(_, at): &(Url, String)| {
            pointer.strip_prefix(at.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let holding = self.resources.iter().enumerate().filter(|(_, resource)| within(resource));
        holding.max_by_key(|(_, (_, at))| at.len()).map_or(0, |(index, _)| index)
    }

    /// Follows a reference of the part at `from`.
    pub fn follow(&self, from: &str, reference: &str) -> Result<Found, String> {
        let base = &self.resources[self.resource(from)].0;
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let address = match address {
            // Also of what cannot be joined with: a URN.
            "" => base.clone(),
            address => base.join(address).map_err(|_| "no address of a schema".to_owned())?,
        };
        let resource = self.resources.iter().position(|(known, _)| *known == address).ok_or(
            "it leads out of the schema, and nothing is fetched: put what it refers to under `$defs`, with its `$id`",
        )?;
        let fragment = percent_encoding::percent_decode_str(fragment).decode_utf8_lossy();
        if fragment.is_empty() || fragment.starts_with('/') {
            let pointer = format!("{}{fragment}", self.resources[resource].1);
            let found = self.part(&pointer).filter(|part| part.is_object() || part.is_boolean());
            return match found {
                Some(_) if pointer.len() <= LONGEST_POINTER => Ok(Found { pointer, dynamic: None }),
                _ => Err("it leads to no schema".to_owned()),
            };
        }
        let mut named = self.anchors.get(&*fragment).into_iter().flatten();
        let anchor = named.find(|anchor| anchor.resource == resource).ok_or("it leads to no schema")?;
        let dynamic = anchor.dynamic.then(|| fragment.into_owned());
        Ok(Found { pointer: anchor.pointer.clone(), dynamic })
    }

    /// Where a dynamic name leads, by resource.
    pub fn dynamic(&self, name: &str) -> impl Iterator<Item = (usize, &str)> {
        let named = self.anchors.get(name).into_iter().flatten().filter(|anchor| anchor.dynamic);
        named.map(|anchor| (anchor.resource, anchor.pointer.as_str()))
    }
}

/// What a keyword holds, if that is schemas.
pub fn holds(keyword: &str) -> Option<Holds> {
    APPLICATORS.iter().find(|(known, _)| *known == keyword).map(|(_, holds)| *holds)
}

/// A pointer to a member of what `pointer` leads to.
pub fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

pub fn invalid(pointer: &str, why: impl Into<String>) -> Invalid {
    let shown = pointer.char_indices().nth(120).map_or(pointer.to_owned(), |(end, _)| format!("{}…", &pointer[..end]));
    Invalid { pointer: shown, why: why.into() }
}
