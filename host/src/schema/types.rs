//! A compiled schema, and the errors and results of its use.

use super::node::Node;

/// A compiled schema, all references of which are resolved.
#[derive(Debug)]
pub struct Schema {
    /// The schema and its subschemas. The first is the root.
    pub(super) nodes: Vec<Node>,
    /// True if `unevaluatedProperties` or `unevaluatedItems` occurs, so that evaluated keys and items must be recorded.
    pub(super) tracks_evaluated: bool,
    pub(super) references: Vec<Reference>,
}

/// A reference (`$ref` or `$dynamicRef`) from one part of a schema to another.
#[derive(Debug, PartialEq, Eq)]
pub struct Reference {
    /// The JSON pointer to the schema that contains the reference.
    pub from: String,
    /// The JSON pointer to the schema that the reference leads to.
    pub to: String,
}

/// The reason why a schema is refused: it is invalid, too large, or uses a feature that is not supported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", if pointer.is_empty() { String::new() } else { format!("at `{pointer}`: ") })]
pub struct InvalidSchema {
    /// The JSON pointer to the keyword or subschema in question. Long pointers are cut off.
    pub pointer: String,
    /// A message in lower case without a full stop.
    pub reason: String,
}

/// A part of a value that the schema does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The JSON pointer into the value.
    pub pointer: String,
    /// A message in lower case without a full stop. It does not repeat strings of the value, which may be secrets.
    pub message: String,
    /// The name of the key that is missing, if the violation is a missing key.
    pub missing_key: Option<String>,
    /// True if the message can only cite the schema, such as a regular expression. A message of the probe itself about
    /// the same setting is then reported instead.
    pub is_vague: bool,
}

/// The error for a validation that takes more steps than the value is granted, or goes too deep. A schema that refers
/// to itself without end does both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the schema of its settings takes too many steps to validate, or refers to itself without end: the author of the \
     probe must simplify the schema"
)]
pub struct BudgetExceeded;
