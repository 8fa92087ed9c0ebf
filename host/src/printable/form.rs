//! The last step before an output is written.

use std::borrow::Cow;

use super::escaping::escape_json;
use super::styled_text::filter;

/// The form of an output, which decides how characters are escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Lines for a person.
    Text,
    /// JSON documents.
    Json,
}

impl Form {
    /// Returns a whole output with all characters escaped that are not printable. Text keeps its line breaks and
    /// styles, and JSON its line breaks.
    pub fn finish(self, output: &str) -> Cow<'_, str> {
        match self {
            Self::Text => filter(output),
            Self::Json => escape_json(output),
        }
    }
}
