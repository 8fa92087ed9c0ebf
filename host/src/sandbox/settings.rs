//! Converts a probe's settings to the settings that its guest gets, by the component's own schema.
//!
//! - Text that replaced a reference (`${env:NAME}`) becomes a number or a boolean where the schema requires one.
//! - Text that replaced a reference within a template is escaped.
//! - Settings that the schema marks `writeOnly` are hidden from the guest, which gets their JSON pointers instead.

use serde_json::{Map, Value};

use crate::config::Interpolations;
use crate::schema::{Annotations, BudgetExceeded, Schema, Type};

/// Returns the settings with the text of references converted to the type that the schema requires.
///
/// # Errors
/// Returns [`BudgetExceeded`] if the schema takes too many steps, or refers to itself endlessly.
pub fn convert_references(
    schema: &Schema,
    settings: &Map<String, Value>,
    interpolations: &Interpolations,
) -> Result<Value, BudgetExceeded> {
    let mut settings = Value::Object(settings.clone());
    if interpolations.whole_values.is_empty() {
        return Ok(settings);
    }
    schema.walk(&mut settings, &mut |annotations, value, pointer| {
        let Value::String(text) = &*value else { return false };
        let converted = interpolations.whole_values.contains(pointer).then(|| convert(annotations, text)).flatten();
        converted.map(|converted| *value = converted).is_some()
    })?;
    Ok(settings)
}

/// Returns the settings for the guest, given those with converted references.
///
/// # Errors
/// Returns [`BudgetExceeded`] if the schema takes too many steps, or refers to itself endlessly.
pub fn for_guest(
    schema: &Schema,
    mut settings: Value,
    interpolations: &Interpolations,
) -> Result<Value, BudgetExceeded> {
    schema.walk(&mut settings, &mut |annotations, value, pointer| {
        if annotations.write_only {
            *value = Value::String(pointer.to_owned());
            return true;
        }
        let is_template = annotations.formats.contains(TEMPLATE_FORMAT);
        if is_template {
            escape_references(value, pointer, interpolations);
        }
        is_template
    })?;
    Ok(settings)
}

/// Returns true if the component requires `title`: it derives no title from its settings.
pub fn requires_title(schema: &Value) -> bool {
    schema["required"].as_array().is_some_and(|required| required.iter().any(|key| key == "title"))
}

/// The `format` of settings in which all text, at any depth, is templates in the syntax of Python's `str.format_map`.
const TEMPLATE_FORMAT: &str = "str.format_map";

/// Replaces each text that contained references by its variant in which the braces of replaced references are doubled.
fn escape_references(value: &mut Value, pointer: &str, interpolations: &Interpolations) {
    match value {
        Value::String(text) => {
            if let Some(escaped) = interpolations.template_escaped.get(pointer) {
                text.clone_from(escaped);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                escape_references(value, &format!("{pointer}/{key}"), interpolations);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter_mut().enumerate() {
                escape_references(value, &format!("{pointer}/{index}"), interpolations);
            }
        }
        _ => {}
    }
}

/// Converts text to a number or a boolean, if the schema accepts that type and does not accept text.
fn convert(annotations: &Annotations, text: &str) -> Option<Value> {
    let converted: Value = serde_json::from_str(text.trim()).ok()?;
    let is_accepted = match converted {
        Value::Number(_) => annotations.accepts(Type::Number) || annotations.accepts(Type::Integer),
        Value::Bool(_) => annotations.accepts(Type::Boolean),
        _ => false,
    };
    (is_accepted && !annotations.accepts(Type::String)).then_some(converted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(schema: &Value, settings: Value, expected: &Value) {
        let Value::Object(settings) = settings else { panic!("settings are a map") };
        let whole = ["/port", "/name", "/on"].map(str::to_owned).into();
        let braced =
            [("/body/a/0", "{{x"), ("/name", "{{y")].map(|(pointer, text)| (pointer.to_owned(), text.to_owned()));
        let interpolations = Interpolations { whole_values: whole, template_escaped: braced.into() };
        let schema = Schema::read(schema).unwrap();
        let converted = convert_references(&schema, &settings, &interpolations).unwrap();
        assert_eq!(&for_guest(&schema, converted, &interpolations).unwrap(), expected);
    }

    #[test]
    fn references_in_templates_are_escaped() {
        let schema = json!({ "properties": { "body": { "format": "str.format_map" }, "name": { "type": "string" } } });
        check(
            &schema,
            json!({ "body": { "a": ["{x", "{k}"] }, "name": "{y" }),
            &json!({ "body": { "a": ["{{x", "{k}"] }, "name": "{y" }),
        );
    }

    #[test]
    fn references_are_converted_to_numbers() {
        let schema = json!({ "properties": {
            "port": { "type": ["integer", "null"] },
            "other": { "type": "integer" },
            "name": { "type": "string" },
            "on": { "type": "boolean" },
        } });
        check(
            &schema,
            json!({ "port": "22", "other": "22", "name": "22", "on": "true" }),
            &json!({ "port": 22, "other": "22", "name": "22", "on": true }),
        );
        check(&schema, json!({ "port": "ssh" }), &json!({ "port": "ssh" }));
    }

    #[test]
    fn write_only_settings_become_pointers() {
        let schema = json!({ "properties": { "password": { "writeOnly": true } } });
        check(&schema, json!({ "password": "x", "user": "y" }), &json!({ "password": "/password", "user": "y" }));
        check(&schema, json!({ "password": null }), &json!({ "password": null }));
        check(&schema, json!({ "user": { "password": "x" } }), &json!({ "user": { "password": "x" } }));
        check(&json!({}), json!({ "password": "x" }), &json!({ "password": "x" }));
    }

    #[test]
    fn write_only_settings_are_found_at_any_depth() {
        let schema = json!({
            "properties": { "steps": { "items": { "$ref": "#/$defs/step" } } },
            "additionalProperties": { "anyOf": [{ "type": "null" }, { "$ref": "#/$defs/auth" }] },
            "$defs": {
                "step": { "properties": { "auth": { "$ref": "#/$defs/auth" } } },
                "auth": { "writeOnly": true },
                "loop": { "$ref": "#/$defs/loop" },
            },
        });
        check(
            &schema,
            json!({ "steps": [{}, { "auth": { "bearer": "x" } }], "a/b": { "c": 1 } }),
            &json!({ "steps": [{}, { "auth": "/steps/1/auth" }], "a/b": "/a~1b" }),
        );
        let endless = json!({ "properties": { "a": { "$ref": "#/$defs/loop" } }, "$defs": schema["$defs"] });
        check(&endless, json!({ "a": 1 }), &json!({ "a": 1 }));
    }
}
