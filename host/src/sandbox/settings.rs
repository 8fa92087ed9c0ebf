//! Converts a probe's settings to the settings that its guest gets, by the component's own schema.
//!
//! - Text that replaced a reference (`${env:NAME}`) becomes a number or a boolean where the schema requires one.
//! - Text that replaced a reference within a template is escaped.
//! - A number, a boolean or null becomes text as it is written in the file, where the schema says that it is sent as
//!   text.
//! - Settings that the schema marks `writeOnly` are hidden from the guest, which gets their JSON pointers instead.

use serde_json::{Map, Value};

use crate::config::Interpolations;
use crate::sandbox::problem::Problem;
use crate::schema::{Annotations, BudgetExceeded, Schema, Type, child_pointer};

/// Returns the settings with the text of references converted to the type that the schema requires, and with scalars
/// that are sent as text converted to the text that the file has.
///
/// # Errors
/// Returns [`BudgetExceeded`] if the schema takes too many steps, or refers to itself endlessly.
pub fn convert_references(
    schema: &Schema,
    settings: &Map<String, Value>,
    interpolations: &Interpolations,
) -> Result<Value, BudgetExceeded> {
    let mut settings = Value::Object(settings.clone());
    schema.walk(&mut settings, &mut |annotations, value, pointer| {
        let converted = match &*value {
            Value::String(text) if interpolations.whole_values.contains(pointer) => convert(annotations, text),
            Value::Null if annotations.accepts(Type::Null) => None,
            Value::Number(_) | Value::Bool(_) | Value::Null if annotations.formats.contains(TEXT_FORMAT) => {
                written(value, pointer, interpolations).map(Value::String)
            }
            _ => None,
        };
        converted.map(|converted| *value = converted).is_some()
    })?;
    Ok(settings)
}

/// Returns a number, a boolean or null as it is written in the file; `None` for a key without a value.
fn written(scalar: &Value, pointer: &str, interpolations: &Interpolations) -> Option<String> {
    let text = interpolations.source_texts.get(pointer).cloned();
    text.or_else(|| (!scalar.is_null()).then(|| scalar.to_string()))
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
        if annotations.write_only && !value.is_null() {
            *value = Value::String(pointer.to_owned());
            return true;
        }
        let is_template = annotations.formats.contains(TEMPLATE_FORMAT);
        if is_template {
            // Replaces each text that contained references by its variant in which their braces are doubled.
            for_each_text(value, pointer, &mut |text, pointer| {
                if let Some(escaped) = interpolations.template_escaped.get(pointer) {
                    text.clone_from(escaped);
                }
            });
        }
        is_template
    })?;
    Ok(settings)
}

/// Returns a warning for each template in which the braces around a name are doubled, as the templates of other
/// programs have them: `{{token}}` is the text `{token}` here.
///
/// # Errors
/// Returns [`BudgetExceeded`] if the schema takes too many steps, or refers to itself endlessly.
pub fn template_warnings(schema: &Schema, settings: &Map<String, Value>) -> Result<Vec<Problem>, BudgetExceeded> {
    let mut warnings = Vec::new();
    schema.walk(&mut Value::Object(settings.clone()), &mut |annotations, value, pointer| {
        let is_template = annotations.formats.contains(TEMPLATE_FORMAT);
        if is_template {
            for_each_text(value, pointer, &mut |text, pointer| warnings.extend(doubled_braces(text, pointer)));
        }
        is_template
    })?;
    Ok(warnings)
}

/// Returns the warning about a template in which the braces around a name are doubled, if they are.
fn doubled_braces(text: &str, pointer: &str) -> Option<Problem> {
    let name = doubly_braced_name(text)?;
    let message = format!(
        "`{{{{{name}}}}}` is the text `{{{name}}}` here: write `{{{name}}}` if the value of the key `{name}` is meant"
    );
    Some(Problem { pointer: pointer.to_owned(), message })
}

/// Returns the first name in doubled braces, `{{token}}` or `{{ token }}`.
fn doubly_braced_name(text: &str) -> Option<&str> {
    /// A longer text in braces is no name of a key.
    const MAX_NAME_BYTES: usize = 64;
    text.match_indices("{{").find_map(|(at, _)| {
        let (name, _) = text[at + 2..].split_once("}}")?;
        let name = name.trim_matches(' ');
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        (!name.is_empty() && name.len() <= MAX_NAME_BYTES && is_name(name)).then_some(name)
    })
}

/// Returns true if the component requires `title`: it derives no title from its settings.
pub fn requires_title(schema: &Value) -> bool {
    schema["required"].as_array().is_some_and(|required| required.iter().any(|key| key == "title"))
}

/// The `format` of settings in which all text, at any depth, is templates in the syntax of Python's `str.format_map`.
const TEMPLATE_FORMAT: &str = "str.format_map";

/// The `format` of settings in which a number, a boolean or null is text.
const TEXT_FORMAT: &str = "text";

/// Calls `visit` for each text in a value, at any depth, with the JSON pointer to the text.
fn for_each_text(value: &mut Value, pointer: &str, visit: &mut dyn FnMut(&mut String, &str)) {
    match value {
        Value::String(text) => visit(text, pointer),
        Value::Object(map) => {
            for (key, value) in map {
                for_each_text(value, &child_pointer(pointer, key), visit);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter_mut().enumerate() {
                for_each_text(value, &format!("{pointer}/{index}"), visit);
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
        let written = [("/headers/a", "1.10"), ("/headers/b", "+49"), ("/headers/d", "~"), ("/name", "0x10")];
        let source_texts = written.map(|(pointer, text)| (pointer.to_owned(), text.to_owned())).into();
        let interpolations = Interpolations { source_texts, whole_values: whole, template_escaped: braced.into() };
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
    fn doubled_braces_around_a_name_are_warned_of() {
        let schema = json!({ "properties": { "body": { "format": "str.format_map" }, "name": { "type": "string" } } });
        let schema = Schema::read(&schema).unwrap();
        let settings =
            json!({ "body": { "a": ["{{csrf}}", "{csrf}", "{{ id }}"], "b": "{{}} {{a: 1}}" }, "name": "{{x}}" });
        let warnings = template_warnings(&schema, settings.as_object().unwrap()).unwrap();
        let found: Vec<_> = warnings.iter().map(|warning| (&*warning.pointer, &*warning.message)).collect();
        let message = |name: &str| {
            format!(
                "`{{{{{name}}}}}` is the text `{{{name}}}` here: write `{{{name}}}` if the value of the key `{name}` is meant"
            )
        };
        assert_eq!(found, [("/body/a/0", &*message("csrf")), ("/body/a/2", &*message("id"))]);
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
    fn scalars_that_are_sent_as_text_stay_as_they_are_written() {
        let text = json!({ "type": ["string", "number", "boolean"], "format": "text" });
        let schema = json!({ "properties": { "headers": { "additionalProperties": text }, "name": {} } });
        check(
            &schema,
            json!({ "headers": { "a": 1.1, "b": 49, "c": true, "d": null, "e": null, "f": "x" }, "name": 16 }),
            &json!({ "headers": { "a": "1.10", "b": "+49", "c": "true", "d": "~", "e": null, "f": "x" }, "name": 16 }),
        );
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
