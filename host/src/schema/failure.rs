//! Failures: what is wrong with a value. `messages` words them.

use serde_json::{Number, Value};

use super::node::{CountLimits, Range, Type};

/// A failed assertion, and where it failed.
#[derive(Debug)]
pub struct Failure<'v> {
    /// The JSON pointer into the value.
    pub pointer: String,
    pub kind: FailureKind<'v>,
}

/// The assertion that failed, with what the message needs of it.
#[derive(Debug)]
pub enum FailureKind<'v> {
    /// The schema `false`.
    FalseSchema,
    /// `type`, `enum` or `const`: the value is of another kind.
    Unexpected(Expected<'v>),
    /// `minimum`, `maximum` and the exclusive ones.
    OutOfRange(Expected<'v>),
    /// `multipleOf`
    NotMultiple { of: &'v Number, value: &'v Value },
    /// `minLength` or `maxLength`
    Length { limits: CountLimits, got: usize },
    /// `pattern`
    Pattern(&'v str),
    /// `minItems` or `maxItems`
    ItemCount { limits: CountLimits, got: usize },
    /// `contains`
    Contains { limits: CountLimits, got: usize },
    /// `uniqueItems`
    DuplicateItems,
    /// `minProperties` or `maxProperties`
    KeyCount { limits: CountLimits, got: usize },
    /// `required`: one of these keys has to be there.
    MissingKey(Vec<&'v str>),
    /// `dependentRequired`
    MissingDependency { key: &'v str, required: &'v str },
    /// A key that `additionalProperties` or `unevaluatedProperties` forbids.
    UnknownKey { key: &'v str, known: Vec<&'v str> },
    /// `propertyNames`
    InvalidKey(&'v str),
    /// `not`
    Not,
    /// `oneOf`: several alternatives match.
    Ambiguous,
}

/// The expectation of a schema that a value does not meet.
#[derive(Debug)]
pub struct Expected<'v> {
    pub types: Vec<Type>,
    pub allowed: Vec<&'v Value>,
    /// The range of numbers, if a number is expected.
    pub range: Option<&'v Range>,
    /// The `format` of the schema, which can say what a number or a text means.
    pub format: Option<&'v str>,
    /// Some keys of the object, if an object is expected.
    pub keys: &'v [String],
    /// True if any string is allowed.
    pub any_string: bool,
    /// The actual value.
    pub value: &'v Value,
}

impl<'v> Expected<'v> {
    /// Creates an expectation of nothing in particular.
    pub fn new(value: &'v Value) -> Self {
        Self { types: Vec::new(), allowed: Vec::new(), range: None, format: None, keys: &[], any_string: false, value }
    }
}
