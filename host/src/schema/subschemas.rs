//! The keywords whose values are, or contain, subschemas.

/// The way in which the value of a keyword contains subschemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subschemas {
    /// The value is a schema.
    One,
    /// The value is an array of schemas.
    List,
    /// The value is an object whose members are schemas.
    Map,
}

const KEYWORDS: &[(&str, Subschemas)] = &[
    ("$defs", Subschemas::Map),
    ("definitions", Subschemas::Map),
    ("allOf", Subschemas::List),
    ("anyOf", Subschemas::List),
    ("oneOf", Subschemas::List),
    ("not", Subschemas::One),
    ("if", Subschemas::One),
    ("then", Subschemas::One),
    ("else", Subschemas::One),
    ("prefixItems", Subschemas::List),
    ("items", Subschemas::One),
    ("contains", Subschemas::One),
    ("unevaluatedItems", Subschemas::One),
    ("properties", Subschemas::Map),
    ("patternProperties", Subschemas::Map),
    ("additionalProperties", Subschemas::One),
    ("unevaluatedProperties", Subschemas::One),
    ("propertyNames", Subschemas::One),
    ("dependentSchemas", Subschemas::Map),
];

/// Returns how the value of a keyword contains subschemas, or `None` if it contains none.
pub fn subschemas_in(keyword: &str) -> Option<Subschemas> {
    KEYWORDS.iter().find(|(known, _)| *known == keyword).map(|(_, subschemas)| *subschemas)
}
