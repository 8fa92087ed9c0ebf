//! The metadata of components.

use crate::sandbox::component::ComponentError;
use crate::schema::Schema;

/// Metadata that a component returns from `describe`.
#[derive(Debug)]
pub struct Description {
    /// The component's name, at most 100 bytes.
    pub name: String,
    /// The component's version, at most 100 bytes.
    pub version: String,
    /// One sentence about what the component does, at most 1000 bytes.
    pub summary: String,
    /// The JSON Schema (2020-12) of the component's settings.
    pub schema: serde_json::Value,
}

/// Parses and compiles the schema of a component's settings, as the component returned it.
///
/// # Errors
/// - [`ComponentError::Describe`] if the text is larger than 1 MiB, or is not a JSON object.
/// - [`ComponentError::Schema`] if the schema is invalid or uses unsupported keywords.
pub fn parse_schema(text: &str) -> Result<(serde_json::Value, Schema), ComponentError> {
    /// The maximal size of a schema, larger than that of any schema written by hand.
    const MAX_SCHEMA_BYTES: usize = 1 << 20;
    if text.len() > MAX_SCHEMA_BYTES {
        let max = MAX_SCHEMA_BYTES >> 20;
        return Err(ComponentError::Describe(format!("the schema of its settings is larger than {max} MiB")));
    }
    match serde_json::from_str(text) {
        Ok(value @ serde_json::Value::Object(_)) => {
            let schema = Schema::read(&value)?;
            Ok((value, schema))
        }
        Ok(_) => Err(ComponentError::Describe("the schema of its settings is not a JSON object".to_owned())),
        Err(error) => Err(ComponentError::Describe(format!("the schema of its settings is not JSON: {error}"))),
    }
}
