//! A schema of what is meant, opened for what is written: a reference may stand for any scalar, and of the host's keys
//! each may be left empty.

use serde_json::{Map, Value, json};

use super::map;
use crate::schema::{Subschemas, subschemas_in};

/// What says something of a value without asking for anything.
const ANNOTATIONS: &[&str] = &["title", "description", "default", "examples", "deprecated", "writeOnly"];

/// Lets references stand for scalars, wherever the schema asks for something that they are not. `fixed` are JSON
/// pointers to what must stay where it is.
pub fn open(schema: &mut Value, fixed: &dyn Fn(&str) -> bool) {
    opened(schema, fixed, "");
}

fn opened(schema: &mut Value, fixed: &dyn Fn(&str) -> bool, pointer: &str) {
    let Some(part) = map(schema) else { return };
    for (keyword, value) in part.iter_mut() {
        // What it must not be, what decides, and what keys are called is no value to be written.
        if matches!(keyword.as_str(), "not" | "if" | "contains" | "propertyNames") {
            continue;
        }
        let at = format!("{pointer}/{keyword}");
        match (subschemas_in(keyword), value) {
            (Some(Subschemas::One), value) => opened(value, fixed, &at),
            (Some(Subschemas::List), Value::Array(parts)) => {
                let parts = parts.iter_mut().enumerate();
                parts.for_each(|(index, part)| opened(part, fixed, &format!("{at}/{index}")));
            }
            (Some(Subschemas::Map), Value::Object(parts)) => {
                let escaped = |name: &str| super::super::diagnostic::escape(name);
                parts.iter_mut().for_each(|(name, part)| opened(part, fixed, &format!("{at}/{}", escaped(name))));
            }
            _ => {}
        }
    }
    if fixed(pointer) {
        return;
    }
    // A reference is as good as any of several numbers.
    if let Some(branches) = part.shift_remove("oneOf") {
        match part.contains_key("anyOf") {
            true => drop(part.insert("allOf".to_owned(), json!([{ "anyOf": branches }]))),
            false => drop(part.insert("anyOf".to_owned(), branches)),
        }
    }
    if let Some(reference) = stands_in(part) {
        or(part, &json!({ "$ref": format!("#/$defs/{reference}") }));
    }
}

/// Which kind of text with references can stand for what a part asks for, if it would not do as it is.
fn stands_in(part: &Map<String, Value>) -> Option<&'static str> {
    const WHOLE: &str = "reference";
    const WITHIN: &str = "referring";
    if let Some(values) = part.get("enum").cloned().or_else(|| part.get("const").map(|only| json!([only]))) {
        let values = values.as_array()?;
        return match values.iter().any(Value::is_string) {
            true => Some(WITHIN),
            false => values.iter().any(|value| value.is_number() || value.is_boolean()).then_some(WHOLE),
        };
    }
    let types = match part.get("type") {
        Some(Value::Array(several)) => several.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    };
    let takes = |kinds: &[&str]| types.iter().any(|known| kinds.iter().any(|kind| known == kind));
    if takes(&["string"]) || types.is_empty() {
        let asks = ["pattern", "minLength", "maxLength", "format"].iter().any(|key| part.contains_key(*key));
        return asks.then_some(WITHIN);
    }
    takes(&["number", "integer", "boolean"]).then_some(WHOLE)
}

/// Lets the value of each key be left empty that need not be there: that is as good as no key.
pub fn nullable(schema: &mut Value) {
    let Some(part) = map(schema) else { return };
    let needed = part.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    for (keyword, value) in part.iter_mut() {
        match (subschemas_in(keyword), value) {
            (Some(Subschemas::Map), Value::Object(parts)) => {
                for (name, part) in parts {
                    nullable(part);
                    if keyword == "properties" && !needed.iter().any(|needed| needed == name) {
                        or_null(part);
                    }
                }
            }
            (Some(Subschemas::List), Value::Array(parts)) => parts.iter_mut().for_each(nullable),
            (Some(Subschemas::One), value) => nullable(value),
            _ => {}
        }
    }
}

fn or_null(schema: &mut Value) {
    let Some(part) = map(schema) else { return };
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

/// Takes what is asked, or something else; what is told of it stays where it stands.
fn or(part: &mut Map<String, Value>, other: &Value) {
    let asked: Map<_, _> =
        part.iter().filter(|(key, _)| !is_annotation(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
    part.retain(|key, _| is_annotation(key));
    part.insert("anyOf".to_owned(), json!([asked, other]));
}

fn is_annotation(key: &str) -> bool {
    ANNOTATIONS.contains(&key)
}
