//! JSON Schema (2020-12): what a probe says of its settings, and what it would not take of some. Pure: nothing is
//! fetched. A schema comes from whoever wrote the probe, so that reading one and holding a value against it both end
//! soon, whatever it says.
//!
//! Our own, since what there is has no bound: a schema of thirty lines keeps `jsonschema` and `boon` busy for ever.

mod check;
mod closest;
mod compile;
mod evaluated;
mod nearest;
mod node;
mod pattern;
mod place;
mod reading;
mod walk;
mod words;

use serde_json::Value;

pub use closest::closest;
use node::Node;
pub use node::Type;
pub use place::{Holds, holds};
pub use walk::Asked;

/// A schema that has been read: whatever it refers to is there.
#[derive(Debug)]
pub struct Schema {
    /// The first is the whole.
    nodes: Vec<Node>,
    /// Whether what has been evaluated matters to any of them.
    tracks: bool,
    references: Vec<Reference>,
}

/// A reference within a schema.
#[derive(Debug, PartialEq, Eq)]
pub struct Reference {
    /// JSON pointer to the schema that refers.
    pub from: String,
    /// JSON pointer to what it refers to.
    pub to: String,
}

/// Why a value is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}", if pointer.is_empty() { String::new() } else { format!("at `{pointer}`: ") })]
pub struct Invalid {
    /// JSON pointer into the schema.
    pub pointer: String,
    pub why: String,
}

/// What a schema does not allow of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer into the value.
    pub pointer: String,
    /// Lower case, no full stop. Text is not repeated: it may be a secret.
    pub message: String,
    /// The key that is missing there, if it is that.
    pub missing: Option<String>,
    /// Who knows what is meant can say it better: a pattern is no sentence.
    pub vague: bool,
}

/// The schema asks for more than so many values are worth, or goes round in circles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the schema of its settings never comes to an end, or not soon enough to hold them against it: it is for the \
     probe's author to simplify"
)]
pub struct Endless;

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// The first place where it is none, or too much of one.
    pub fn read(schema: &Value) -> Result<Self, Invalid> {
        compile::compile(schema)
    }

    /// All that it does not allow of a value, up to a bound.
    ///
    /// # Errors
    /// It does not come to an end.
    pub fn check(&self, value: &Value) -> Result<Vec<Violation>, Endless> {
        check::check(self, value)
    }

    /// What it refers to, and where: for who puts it somewhere else.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }
}

#[cfg(test)]
mod tests;
