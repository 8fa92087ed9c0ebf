//! JSON Schema of the forms, so that editors know subjects and operators.
//!
//! For `#[schemars(schema_with = "sentrynet_checks::schema::http")]` on a field that is a map.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::predicate::{OPERATORS, TYPES};
use crate::subject::Nature;
use crate::{Kind, Statuses};

/// `checks` of an HTTP answer.
pub fn http(generator: &mut SchemaGenerator) -> Schema {
    checks(Kind::Http, generator)
}

/// `checks` of what an SSH server and a command answer.
pub fn ssh(generator: &mut SchemaGenerator) -> Schema {
    checks(Kind::Ssh, generator)
}

/// `assertions`: what keys must be.
pub fn assertions(generator: &mut SchemaGenerator) -> Schema {
    let mut operators = operators(generator);
    operators.insert("value".to_owned(), json!({ "description": "As `equals`" }));
    let map = json!({ "type": "object", "properties": operators, "additionalProperties": false });
    json_schema!({ "type": "object", "additionalProperties": { "anyOf": [alone(), map] } })
}

fn checks(kind: Kind, generator: &mut SchemaGenerator) -> Schema {
    let predicate = generator.subschema_for::<Form>();
    let mut properties = Map::new();
    for (name, subject, about) in kind.names() {
        let schema = match subject.nature() {
            Nature::Status => json!({ "anyOf": [generator.subschema_for::<Statuses>(), predicate] }),
            _ => json!(predicate),
        };
        properties.insert((*name).to_owned(), with_description(schema, about));
    }
    let mut patterns = Map::new();
    patterns.insert("^\\s*\\$".to_owned(), with_description(json!(predicate), "What is at a JSONPath"));
    if kind == Kind::Http {
        patterns.insert("^\\s*header\\s".to_owned(), with_description(json!(predicate), "A header's value"));
    }
    json_schema!({
        "type": "object",
        "properties": properties,
        "patternProperties": patterns,
        "additionalProperties": false,
    })
}

/// A value or a predicate.
struct Form;

impl JsonSchema for Form {
    fn schema_name() -> Cow<'static, str> {
        "Predicate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let map = json!({
            "type": "object",
            "minProperties": 1,
            "properties": operators(generator),
            "additionalProperties": false,
        });
        json_schema!({ "description": "A value, or operators that must all hold", "anyOf": [alone(), map] })
    }
}

fn alone() -> Value {
    json!({ "type": ["string", "number", "boolean", "null", "array"] })
}

fn operators(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let predicate = generator.subschema_for::<Form>();
    let types: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
    let operand = |name: &str| match name {
        "less" | "greater" | "at_most" | "at_least" => json!({ "type": "number" }),
        "starts_with" | "ends_with" => json!({ "type": "string" }),
        "matches" => json!({ "type": "string", "format": "regex" }),
        "in" => json!({ "type": "array", "minItems": 1 }),
        "exists" | "is_empty" => json!({ "type": "boolean" }),
        "type" => json!({ "enum": types }),
        "not" => json!(predicate),
        "all" | "any" => json!({ "type": "array", "minItems": 1, "items": predicate }),
        _ => json!({}),
    };
    OPERATORS.iter().map(|(name, about)| ((*name).to_owned(), with_description(operand(name), about))).collect()
}

fn with_description(mut schema: Value, about: &str) -> Value {
    schema["description"] = about.into();
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editors_find_subjects_and_operators() {
        let mut generator = SchemaGenerator::default();
        let checks = http(&mut generator).to_value();
        assert_eq!(checks["properties"]["body"]["$ref"], "#/$defs/Predicate");
        assert_eq!(checks["properties"]["status"]["anyOf"][0]["$ref"], "#/$defs/Statuses");
        assert_eq!(checks["patternProperties"]["^\\s*\\$"]["$ref"], "#/$defs/Predicate");
        let predicate = &generator.definitions()["Predicate"];
        let operators = predicate["anyOf"][1]["properties"].as_object().expect("a map");
        assert_eq!(operators.len(), OPERATORS.len());
        assert!(operators.values().all(|operator| operator["description"].is_string()));
        assert_eq!(operators["not"]["$ref"], "#/$defs/Predicate");
    }

    #[test]
    fn kinds_have_subjects_of_their_own() {
        let ssh = ssh(&mut SchemaGenerator::default()).to_value();
        assert!(ssh["properties"]["exit status"].is_object());
        assert!(ssh["patternProperties"]["^header "].is_null());
        let assertions = assertions(&mut SchemaGenerator::default()).to_value();
        let map = &assertions["additionalProperties"]["anyOf"][1];
        assert!(map["properties"]["value"].is_object() && map["minProperties"].is_null());
    }
}
