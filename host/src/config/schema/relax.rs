//! Turns a schema of values into a schema of what is written in a file: any scalar may be a reference, and an optional
//! key may be null.

use serde_json::{Map, Value, json};

use super::super::diagnostic::escape;
use crate::schema::{Subschemas, subschemas_in};

/// Keywords that describe a value and do not constrain it.
const ANNOTATIONS: &[&str] = &["title", "description", "default", "examples", "deprecated", "writeOnly"];

/// Returns the keywords of a schema; `None` if it is `true` or `false`.
pub fn keywords(schema: &mut Value) -> Option<&mut Map<String, Value>> {
    schema.as_object_mut()
}

/// Allows a reference in place of every scalar, except where the schema accepts references already. `is_fixed` returns
/// true for JSON pointers to parts that must stay where they are.
pub fn allow_references(schema: &mut Value, is_fixed: &dyn Fn(&str) -> bool) {
    allow_references_below(schema, is_fixed, "");
}

fn allow_references_below(schema: &mut Value, is_fixed: &dyn Fn(&str) -> bool, pointer: &str) {
    let Some(part) = keywords(schema) else { return };
    for (keyword, value) in part.iter_mut() {
        // The schemas of these keywords describe no value that is written in a file.
        if matches!(keyword.as_str(), "not" | "if" | "contains" | "propertyNames") {
            continue;
        }
        let below = format!("{pointer}/{keyword}");
        match (subschemas_in(keyword), value) {
            (Some(Subschemas::One), value) => allow_references_below(value, is_fixed, &below),
            (Some(Subschemas::List), Value::Array(parts)) => {
                let parts = parts.iter_mut().enumerate();
                parts.for_each(|(index, part)| allow_references_below(part, is_fixed, &format!("{below}/{index}")));
            }
            (Some(Subschemas::Map), Value::Object(parts)) => {
                for (name, part) in parts {
                    allow_references_below(part, is_fixed, &format!("{below}/{}", escape(name)));
                }
            }
            _ => {}
        }
    }
    if is_fixed(pointer) {
        return;
    }
    // A reference may match several branches, so that `oneOf` would reject it.
    if let Some(branches) = part.shift_remove("oneOf") {
        if part.contains_key("anyOf") {
            part.insert("allOf".to_owned(), json!([{ "anyOf": branches }]));
        } else {
            part.insert("anyOf".to_owned(), branches);
        }
    }
    if let Some(reference) = kind_of_reference(part) {
        or(part, &json!({ "$ref": format!("#/$defs/{reference}") }));
    }
}

/// Returns the definition of the references that can stand for a value of this schema. Returns `None` if none can, or
/// if the schema accepts them anyway.
fn kind_of_reference(part: &Map<String, Value>) -> Option<&'static str> {
    const WHOLE: &str = "reference";
    const WITHIN: &str = "text_with_reference";
    if let Some(values) = part.get("enum").cloned().or_else(|| part.get("const").map(|only| json!([only]))) {
        let values = values.as_array()?;
        if values.iter().any(Value::is_string) {
            return Some(WITHIN);
        }
        return values.iter().any(|value| value.is_number() || value.is_boolean()).then_some(WHOLE);
    }
    let types = match part.get("type") {
        Some(Value::Array(several)) => several.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    };
    let accepts = |kinds: &[&str]| types.iter().any(|known| kinds.iter().any(|kind| known == kind));
    if accepts(&["string"]) || types.is_empty() {
        let is_constrained = ["pattern", "minLength", "maxLength", "format"].iter().any(|key| part.contains_key(*key));
        return is_constrained.then_some(WITHIN);
    }
    accepts(&["number", "integer", "boolean"]).then_some(WHOLE)
}

/// Allows null for every key that is not required: a null counts as a missing key.
pub fn allow_null(schema: &mut Value) {
    let Some(part) = keywords(schema) else { return };
    let required = part.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    for (keyword, value) in part.iter_mut() {
        match (subschemas_in(keyword), value) {
            (Some(Subschemas::Map), Value::Object(parts)) => {
                for (name, part) in parts {
                    allow_null(part);
                    if keyword == "properties" && !required.iter().any(|required| required == name) {
                        or_null(part);
                    }
                }
            }
            (Some(Subschemas::List), Value::Array(parts)) => parts.iter_mut().for_each(allow_null),
            (Some(Subschemas::One), value) => allow_null(value),
            _ => {}
        }
    }
}

fn or_null(schema: &mut Value) {
    let Some(part) = keywords(schema) else { return };
    if let (Some(Value::String(kind)), false) = (part.get("type").cloned(), part.contains_key("anyOf")) {
        part.insert("type".to_owned(), json!([kind, "null"]));
    } else if let Some(Value::Array(kinds)) = part.get_mut("type") {
        kinds.push("null".into());
    } else if let Some(Value::Array(branches)) = part.get_mut("anyOf") {
        branches.push(json!({ "type": "null" }));
    } else {
        or(part, &json!({ "type": "null" }));
    }
}

/// Accepts values of another schema too. Descriptions stay where they are.
fn or(part: &mut Map<String, Value>, other: &Value) {
    let constraints: Map<_, _> =
        part.iter().filter(|(key, _)| !is_annotation(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
    part.retain(|key, _| is_annotation(key));
    part.insert("anyOf".to_owned(), json!([constraints, other]));
}

fn is_annotation(key: &str) -> bool {
    ANNOTATIONS.contains(&key)
}
