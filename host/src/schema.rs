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
mod compiler;
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
mod types;
mod validate;

use serde_json::Value;

pub use annotations::{Annotations, Visit};
pub use node::Type;
pub use pointer::child as child_pointer;
pub use subschemas::{Subschemas, subschemas_in};
pub use suggest::closest;
pub use types::{BudgetExceeded, InvalidSchema, Reference, Schema, Violation};

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
