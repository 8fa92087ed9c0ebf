//! Nodes: compiled subschemas, which refer to each other by id. Independent of the JSON they are compiled from.

use std::collections::HashMap;

use serde_json::{Number, Value};

use super::compare::{compare, is_whole};
use super::pattern::Pattern;

/// The index of a node in its schema.
pub type NodeId = usize;

/// The assertions, applicators and annotations of one subschema.
#[derive(Debug, Default)]
pub struct Node {
    /// True for the schema `false`, which allows no value.
    pub is_false: bool,
    /// True for `writeOnly`: the value is a secret.
    pub write_only: bool,
    pub format: Option<String>,
    /// The allowed types; all if empty.
    pub types: Vec<Type>,
    /// The lists of `enum` and `const`. The value must equal one member of each list.
    pub allowed_values: Vec<Vec<Value>>,
    pub range: Range,
    /// The limits of a string's length in characters.
    pub length: CountLimits,
    pub pattern: Option<Pattern>,
    pub array: ArrayKeywords,
    pub object: ObjectKeywords,
    /// The targets of `$ref` and `$dynamicRef`.
    pub references: Vec<Target>,
    pub all_of: Vec<NodeId>,
    pub any_of: Option<Vec<NodeId>>,
    pub one_of: Option<Vec<NodeId>>,
    pub not: Option<NodeId>,
    pub if_schema: Option<NodeId>,
    pub then_schema: Option<NodeId>,
    pub else_schema: Option<NodeId>,
    /// The index of the schema resource (the subschema with an `$id`) that the node belongs to.
    pub resource: usize,
}

/// A type of JSON Schema: the types of JSON, and `integer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// `string`
    String,
    /// `integer`: a number without a fraction, also if it is written as `1.0`.
    Integer,
    /// `number`
    Number,
    /// `boolean`
    Boolean,
    /// `array`
    Array,
    /// `object`
    Object,
    /// `null`
    Null,
}

/// The keywords that apply to numbers.
#[derive(Debug, Default)]
pub struct Range {
    pub min: Option<Bound>,
    pub max: Option<Bound>,
    pub multiple_of: Option<Number>,
}

/// The lower or upper end of a range.
#[derive(Debug, Clone)]
pub struct Bound {
    pub limit: Number,
    /// True if the limit itself is not allowed.
    pub is_exclusive: bool,
}

/// The limits of a number of characters, items or keys, both inclusive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CountLimits {
    pub min: Option<u64>,
    pub max: Option<u64>,
}

/// The keywords that apply to arrays.
#[derive(Debug, Default)]
pub struct ArrayKeywords {
    pub count: CountLimits,
    pub unique_items: bool,
    pub prefix_items: Vec<NodeId>,
    pub items: Option<NodeId>,
    pub contains: Option<NodeId>,
    /// The limits of `minContains` and `maxContains`.
    pub contains_count: CountLimits,
    pub unevaluated_items: Option<NodeId>,
}

/// The keywords that apply to objects.
#[derive(Debug, Default)]
pub struct ObjectKeywords {
    pub count: CountLimits,
    pub required: Vec<String>,
    /// The keys of `properties` in the order of the schema.
    pub property_order: Vec<String>,
    pub properties: HashMap<String, NodeId>,
    pub pattern_properties: Vec<(Pattern, NodeId)>,
    pub additional_properties: Option<NodeId>,
    pub unevaluated_properties: Option<NodeId>,
    pub property_names: Option<NodeId>,
    /// The keys that must be there if a key is there.
    pub dependent_required: Vec<(String, Vec<String>)>,
    /// The node that applies to the whole object if a key is there.
    pub dependent_schemas: Vec<(String, NodeId)>,
}

/// The target of a reference.
#[derive(Debug)]
pub struct Target {
    pub node: NodeId,
    /// The other targets of a `$dynamicRef`: the nodes with the same `$dynamicAnchor`, by their schema resource. The
    /// target is that of the outermost resource that the validation has entered.
    pub dynamic: HashMap<usize, NodeId>,
}

impl Node {
    /// Returns the nodes that can apply to the same value without a condition: references, `allOf`, and the branches of
    /// `anyOf` and `oneOf`. Of a `$dynamicRef` it is the target that the reference has by itself.
    pub fn in_place(&self) -> impl Iterator<Item = NodeId> {
        let branches = [&self.any_of, &self.one_of].into_iter().flatten().flatten();
        self.references.iter().map(|target| &target.node).chain(&self.all_of).chain(branches).copied()
    }
}

impl Type {
    /// All types, by name.
    pub const ALL: [(&str, Self); 7] = [
        ("null", Self::Null),
        ("boolean", Self::Boolean),
        ("object", Self::Object),
        ("array", Self::Array),
        ("number", Self::Number),
        ("string", Self::String),
        ("integer", Self::Integer),
    ];

    /// Returns the type of a value: [`Type::Number`] for every number.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }

    /// Returns true if a value is of this type.
    pub fn allows(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Integer => value.as_number().is_some_and(is_whole),
            Self::Boolean => value.is_boolean(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
            Self::Null => value.is_null(),
        }
    }
}

impl CountLimits {
    /// Returns true if a count is within the limits.
    pub fn allow(self, count: usize) -> bool {
        let count = count as u64;
        self.min.is_none_or(|min| count >= min) && self.max.is_none_or(|max| count <= max)
    }
}

impl Range {
    /// Returns true if a number is between the bounds. Does not look at `multiple_of`.
    pub fn contains(&self, number: &Number) -> bool {
        self.min.as_ref().is_none_or(|min| min.allows_as_min(number))
            && self.max.as_ref().is_none_or(|max| max.allows_as_max(number))
    }
}

impl Bound {
    /// Returns true if a number is not below this bound.
    pub fn allows_as_min(&self, number: &Number) -> bool {
        let order = compare(number, &self.limit);
        order.is_gt() || order.is_eq() && !self.is_exclusive
    }

    /// Returns true if a number is not above this bound.
    pub fn allows_as_max(&self, number: &Number) -> bool {
        let order = compare(number, &self.limit);
        order.is_lt() || order.is_eq() && !self.is_exclusive
    }
}
