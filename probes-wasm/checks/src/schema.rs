//! The JSON Schemas of `checks` and `assertions`, from which editors get the names of subjects and operators.
//!
//! They are used on fields that are maps: `#[schemars(schema_with = "sentrynet_checks::schema::http")]`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use sentrynet_guest::SECONDS_PATTERN;
use serde_json::{Map, Value, json};

use crate::level::LEVELS;
use crate::predicate::{OPERATORS, TYPES};
use crate::subject::SubjectKind;
use crate::unit::Unit;
use crate::{Protocol, Statuses};

/// Returns the schema of `checks` for an HTTP response.
pub fn http(generator: &mut SchemaGenerator) -> Schema {
    checks(Protocol::Http, generator)
}

/// Returns the schema of `checks` for an SSH server and a command.
pub fn ssh(generator: &mut SchemaGenerator) -> Schema {
    checks(Protocol::Ssh, generator)
}

/// Returns the schema of `assertions`.
pub fn assertions(generator: &mut SchemaGenerator) -> Schema {
    let predicate = generator.subschema_for::<PredicateSchema>();
    let mut operators = operator_schemas(&predicate, &number_schema());
    operators.insert("value".to_owned(), json!({ "description": "The same as `equals`" }));
    operators.insert("level".to_owned(), level_schema());
    let map = json!({ "type": "object", "properties": operators, "additionalProperties": false });
    json_schema!({ "type": "object", "additionalProperties": { "anyOf": [bare_value(), map] } })
}

fn checks(protocol: Protocol, generator: &mut SchemaGenerator) -> Schema {
    let check = generator.subschema_for::<CheckSchema>();
    let of_time = generator.subschema_for::<TimeCheckSchema>();
    let mut properties = Map::new();
    for (name, subject, about) in protocol.names() {
        let schema = match subject.kind() {
            SubjectKind::Status => json!({ "anyOf": [generator.subschema_for::<Statuses>(), check] }),
            SubjectKind::Number(Unit::Seconds | Unit::Days) => json!(of_time),
            _ => json!(check),
        };
        properties.insert((*name).to_owned(), with_description(schema, about));
    }
    let mut patterns = Map::new();
    patterns.insert("^\\s*\\$".to_owned(), with_description(json!(check), "The value at a JSONPath"));
    if protocol == Protocol::Http {
        patterns.insert("^\\s*header\\s".to_owned(), with_description(json!(check), "The value of a header"));
    }
    json_schema!({
        "type": "object",
        "properties": properties,
        "patternProperties": patterns,
        "additionalProperties": false,
    })
}

/// The schema of a plain value, or a predicate with its level.
struct CheckSchema;

impl JsonSchema for CheckSchema {
    fn schema_name() -> Cow<'static, str> {
        "Check".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let predicate = generator.subschema_for::<PredicateSchema>();
        check_schema(&predicate, &number_schema())
    }
}

/// The schema of a check of a time, whose bounds can have a unit.
struct TimeCheckSchema;

impl JsonSchema for TimeCheckSchema {
    fn schema_name() -> Cow<'static, str> {
        "TimeCheck".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let predicate = generator.subschema_for::<TimePredicateSchema>();
        check_schema(&predicate, &time_schema())
    }
}

/// The schema of a plain value or a predicate.
struct PredicateSchema;

impl JsonSchema for PredicateSchema {
    fn schema_name() -> Cow<'static, str> {
        "Predicate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let predicate = generator.subschema_for::<Self>();
        predicate_schema(&predicate, &number_schema())
    }
}

/// The schema of a predicate for a time, whose bounds can have a unit.
struct TimePredicateSchema;

impl JsonSchema for TimePredicateSchema {
    fn schema_name() -> Cow<'static, str> {
        "TimePredicate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let predicate = generator.subschema_for::<Self>();
        predicate_schema(&predicate, &time_schema())
    }
}

/// Returns the schema of a predicate with its level, given the reference to a predicate and the schema of a bound.
fn check_schema(predicate: &Schema, bound: &Value) -> Schema {
    let mut properties = operator_schemas(predicate, bound);
    properties.insert("level".to_owned(), level_schema());
    let map = json!({
        "type": "object",
        "minProperties": 1,
        "properties": properties,
        "additionalProperties": false,
    });
    let about = "A value, or operators that must all hold, and a level";
    json_schema!({ "description": about, "anyOf": [bare_value(), map] })
}

fn level_schema() -> Value {
    with_description(json!({ "enum": LEVELS }), "`warning`: the run passes with a warning; `error` unless given")
}

fn number_schema() -> Value {
    json!({ "type": "number" })
}

fn time_schema() -> Value {
    json!({ "type": ["number", "string"], "pattern": SECONDS_PATTERN })
}

/// Returns the schema of a predicate, given the reference to itself and the schema of a bound.
fn predicate_schema(predicate: &Schema, bound: &Value) -> Schema {
    let map = json!({
        "type": "object",
        "minProperties": 1,
        "properties": operator_schemas(predicate, bound),
        "additionalProperties": false,
    });
    json_schema!({ "description": "A value, or operators that must all hold", "anyOf": [bare_value(), map] })
}

/// Returns the schema of a plain value, which must be equal. It excludes maps, since a map is a predicate.
fn bare_value() -> Value {
    json!({ "type": ["string", "number", "boolean", "null", "array"] })
}

/// Returns the schema of each operator's operand, given those of a predicate and of a bound.
fn operator_schemas(predicate: &Schema, bound: &Value) -> Map<String, Value> {
    let types: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
    let operand = |name: &str| match name {
        "less" | "greater" | "at_most" | "at_least" => bound.clone(),
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
    fn the_schema_has_subjects_and_operators() {
        let mut generator = SchemaGenerator::default();
        let checks = http(&mut generator).to_value();
        assert_eq!(checks["properties"]["body"]["$ref"], "#/$defs/Check");
        assert_eq!(checks["properties"]["status"]["anyOf"][0]["$ref"], "#/$defs/Statuses");
        assert_eq!(checks["patternProperties"]["^\\s*\\$"]["$ref"], "#/$defs/Check");
        let check = &generator.definitions()["Check"]["anyOf"][1]["properties"];
        assert_eq!(check["level"]["enum"], json!(["error", "warning"]));
        assert_eq!(check["not"]["$ref"], "#/$defs/Predicate");
        let predicate = &generator.definitions()["Predicate"];
        let operators = predicate["anyOf"][1]["properties"].as_object().expect("a map");
        assert_eq!(operators.len(), OPERATORS.len());
        assert!(operators.values().all(|operator| operator["description"].is_string()));
        assert_eq!(operators["not"]["$ref"], "#/$defs/Predicate");
        assert_eq!(operators["less"]["type"], "number");
        assert_eq!(checks["properties"]["time wait"]["$ref"], "#/$defs/TimeCheck");
        let of_time = &generator.definitions()["TimePredicate"]["anyOf"][1]["properties"];
        assert_eq!(of_time["not"]["$ref"], "#/$defs/TimePredicate");
        assert_eq!(of_time["less"]["pattern"], SECONDS_PATTERN);
    }

    #[test]
    fn protocols_have_subjects_of_their_own() {
        let ssh = ssh(&mut SchemaGenerator::default()).to_value();
        assert!(ssh["properties"]["exit status"].is_object());
        assert!(ssh["patternProperties"]["^header "].is_null());
        let assertions = assertions(&mut SchemaGenerator::default()).to_value();
        let map = &assertions["additionalProperties"]["anyOf"][1];
        assert!(map["properties"]["value"].is_object() && map["minProperties"].is_null());
    }
}
