//! The types of values for the operator `type`.

use serde_json::Value;

use crate::messages::unknown_name;
use crate::number::is_whole;

/// A type of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Text,
    Number,
    Integer,
    Boolean,
    List,
    Map,
    Null,
}

/// The types with their names in a configuration.
pub const TYPES: &[(&str, Type)] = &[
    ("text", Type::Text),
    ("number", Type::Number),
    ("integer", Type::Integer),
    ("boolean", Type::Boolean),
    ("list", Type::List),
    ("map", Type::Map),
    ("null", Type::Null),
];

/// Names that other tools use, and the types that they mean.
const SYNONYMS: &[(&str, &str)] = &[
    ("string", "text"),
    ("float", "number"),
    ("int", "integer"),
    ("bool", "boolean"),
    ("array", "list"),
    ("object", "map"),
    ("dict", "map"),
];

impl Type {
    /// Parses the name of a type.
    ///
    /// # Errors
    /// Returns a sentence that names the type that was probably meant, or else lists all types.
    pub fn parse(word: &str) -> Result<Self, String> {
        if let Some((_, found)) = TYPES.iter().find(|(name, _)| *name == word) {
            return Ok(*found);
        }
        let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        Err(unknown_name("type", word, &names, SYNONYMS))
    }

    /// Returns true if a value has this type. An integer is also a number, and 1.0 is an integer.
    pub fn holds(self, value: &Value) -> bool {
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

    /// Returns the type in words that fit into a sentence, such as `a number`.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a number",
            Self::Integer => "an integer",
            Self::Boolean => "true or false",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Null => "null",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions() {
        let check = |word, meant| {
            assert_eq!(Type::parse(word), Err(format!("unknown type `{word}`, did you mean `{meant}`?")));
        };
        check("string", "text");
        check("object", "map");
        check("array", "list");
        check("bool", "boolean");
        check("Number", "number");
        check("intger", "integer");
        assert!(Type::parse("date").is_err_and(|message| message.starts_with("unknown type `date`, expected one of")));
        assert_eq!(Type::parse("null"), Ok(Type::Null));
    }
}
