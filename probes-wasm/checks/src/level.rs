//! Levels: what a check that does not hold means for the run.

use serde_json::Value;

use crate::messages::{describe_found, unknown_name};

/// The level of a check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The run passes with a warning if the check does not hold.
    Warning,
    /// The run fails if the check does not hold.
    #[default]
    Error,
}

/// The names of the levels.
pub(crate) const LEVELS: &[&str] = &["error", "warning"];

impl Level {
    /// Parses the key `level` of a check.
    ///
    /// # Errors
    /// Returns a sentence that says which levels there are.
    pub(crate) fn parse(value: &Value) -> Result<Self, String> {
        match value.as_str() {
            Some("error") => Ok(Self::Error),
            Some("warning") => Ok(Self::Warning),
            Some(other) => Err(unknown_name("level", other, LEVELS, &[("warn", "warning")])),
            None => Err(format!("expected `error` or `warning`, got {}", describe_found(value))),
        }
    }
}
