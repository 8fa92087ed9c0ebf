//! A schema as data: for each of its parts what it asks for, with references to other parts. Knows nothing of how it is
//! written.

use std::collections::HashMap;

use serde_json::{Number, Value};

use super::pattern::Pattern;

/// A part of a schema, by its place among all of them.
pub type Id = usize;

/// All that one part asks for.
#[derive(Debug, Default)]
pub struct Node {
    /// The schema `false`.
    pub never: bool,
    /// What it describes is a secret.
    pub write_only: bool,
    pub format: Option<String>,
    /// Empty allows any.
    pub types: Vec<Type>,
    /// Lists of values, of each of which it must be one.
    pub values: Vec<Vec<Value>>,
    pub numbers: Numbers,
    pub length: Count,
    pub pattern: Option<Pattern>,
    pub lists: Lists,
    pub maps: Maps,
    pub references: Vec<Target>,
    pub all: Vec<Id>,
    pub any: Option<Vec<Id>>,
    pub one: Option<Vec<Id>>,
    pub not: Option<Id>,
    pub condition: Option<Id>,
    pub then: Option<Id>,
    pub otherwise: Option<Id>,
    /// Which of the schemas within the schema it belongs to.
    pub resource: usize,
}

/// JSON's types, and the whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    Text,
    Integer,
    Number,
    Boolean,
    List,
    Map,
    Null,
}

#[derive(Debug, Default)]
pub struct Numbers {
    pub least: Option<Bound>,
    pub most: Option<Bound>,
    pub multiple_of: Option<Number>,
}

#[derive(Debug, Clone)]
pub struct Bound {
    pub limit: Number,
    /// Whether the limit itself is beyond it.
    pub exclusive: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub least: Option<u64>,
    pub most: Option<u64>,
}

#[derive(Debug, Default)]
pub struct Lists {
    pub count: Count,
    pub unique: bool,
    pub first: Vec<Id>,
    pub rest: Option<Id>,
    pub contains: Option<Id>,
    /// How many of them there are to be.
    pub contained: Count,
    pub unevaluated: Option<Id>,
}

#[derive(Debug, Default)]
pub struct Maps {
    pub count: Count,
    pub required: Vec<String>,
    /// In the schema's order.
    pub known: Vec<String>,
    pub properties: HashMap<String, Id>,
    pub patterns: Vec<(Pattern, Id)>,
    pub additional: Option<Id>,
    pub unevaluated: Option<Id>,
    pub names: Option<Id>,
    /// What must stand beside a key.
    pub beside: Vec<(String, Vec<String>)>,
    /// What else is asked for where there is a key.
    pub dependent: Vec<(String, Id)>,
}

/// Where a reference leads.
#[derive(Debug)]
pub struct Target {
    pub to: Id,
    /// By resource, where it is whoever came here that decides: `$dynamicRef`.
    pub dynamic: HashMap<usize, Id>,
}

impl Type {
    pub const ALL: [(&str, Self); 7] = [
        ("null", Self::Null),
        ("boolean", Self::Boolean),
        ("object", Self::Map),
        ("array", Self::List),
        ("number", Self::Number),
        ("string", Self::Text),
        ("integer", Self::Integer),
    ];

    /// Every number is one.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Map,
        }
    }

    pub fn allows(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Number => value.is_number(),
            Self::Integer => value.as_number().is_some_and(is_whole),
            Self::Boolean => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Map => value.is_object(),
            Self::Null => value.is_null(),
        }
    }
}

impl Count {
    pub fn allows(self, count: usize) -> bool {
        let count = count as u64;
        self.least.is_none_or(|least| count >= least) && self.most.is_none_or(|most| count <= most)
    }
}

impl Bound {
    pub fn allows_from_below(&self, number: &Number) -> bool {
        let order = compare(number, &self.limit);
        order.is_lt() || order.is_eq() && !self.exclusive
    }

    pub fn allows_from_above(&self, number: &Number) -> bool {
        let order = compare(number, &self.limit);
        order.is_gt() || order.is_eq() && !self.exclusive
    }
}

/// 1.0 is whole, as JSON Schema has it.
fn is_whole(number: &Number) -> bool {
    !number.is_f64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// Integers exactly, whatever their size.
pub fn compare(a: &Number, b: &Number) -> std::cmp::Ordering {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().unwrap_or(f64::NAN).total_cmp(&b.as_f64().unwrap_or(f64::NAN)),
    }
}

/// Whether two values are one to JSON Schema, to which 1 is 1.0.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64() && (a.is_f64() || b.is_f64()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}
