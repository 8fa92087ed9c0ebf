//! JSON Schema (draft 2020-12): compiles the schema of a probe's settings, and validates settings against it.
//!
//! Nothing is fetched. A schema comes from the author of a probe, who may be a third party, so all work is bounded:
//! the size of a schema and of its regular expressions when it is compiled, the steps and the depth when it is applied
//! to a value. The crates `jsonschema` and `boon` have no such bounds: a schema of thirty lines can keep them busy
//! forever.
//!
//! `tests/json_schema_suite.rs` runs the official JSON-Schema-Test-Suite against this module, and
//! `docs/json-schema.md` lists what is refused.

mod annotations;
mod best_match;
mod compare;
mod compile;
mod evaluated;
mod failure;
mod keywords;
mod messages;
mod node;
mod pattern;
mod pointer;
mod refs;
mod subschemas;
mod suggest;
mod validate;

use serde_json::Value;

pub use annotations::{Annotations, Visit};
use node::Node;
pub use node::Type;
pub use subschemas::{Subschemas, subschemas_in};
pub use suggest::closest;

/// A compiled schema, all references of which are resolved.
#[derive(Debug)]
pub struct Schema {
    /// The schema and its subschemas. The first is the root.
    nodes: Vec<Node>,
    /// True if `unevaluatedProperties` or `unevaluatedItems` occurs, so that evaluated keys and items must be recorded.
    tracks_evaluated: bool,
    references: Vec<Reference>,
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
    /// the same place is then the better one.
    pub is_vague: bool,
}

/// The error for a validation that takes more steps than the value is granted, or goes too deep.
///
/// Schemas that refer to themselves without end run into it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the schema of its settings takes too many steps to validate, or refers to itself without end: the author of the \
     probe must simplify the schema"
)]
pub struct BudgetExceeded;

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// Returns [`InvalidSchema`] for the first place where the schema is invalid, too large or not supported.
    pub fn read(schema: &Value) -> Result<Self, InvalidSchema> {
        compile::compile(schema)
    }

    /// Validates a value. Returns its violations, at most 100; none if the value is valid.
    ///
    /// `format` is an annotation, as is the default in draft 2020-12: it is never violated.
    ///
    /// # Errors
    /// Returns [`BudgetExceeded`] if the validation takes too many steps or goes too deep. The budget grows with the
    /// number of values within the value.
    pub fn check(&self, value: &Value) -> Result<Vec<Violation>, BudgetExceeded> {
        validate::validate(self, value)
    }

    /// Returns all references in the schema, for callers that embed it in another one.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }
}

#[cfg(test)]
mod tests;
