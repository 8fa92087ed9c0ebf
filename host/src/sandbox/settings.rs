//! What a guest gets of its settings, by its own schema. Text that was put in for a reference becomes a number where
//! that is wanted, and is taken letter by letter where a template stands. What the schema marks `writeOnly` the host
//! keeps: the guest gets its JSON pointer instead. Pure.

use serde_json::{Map, Value};

use crate::config::Interpolations;
use crate::schema::{Annotations, BudgetExceeded, Schema, Type};

/// The settings as they are meant: what was put in for a reference is of the type that is wanted.
pub fn typed(
    schema: &Schema,
    settings: &Map<String, Value>,
    interpolations: &Interpolations,
) -> Result<Value, BudgetExceeded> {
    let mut settings = Value::Object(settings.clone());
    if interpolations.whole_values.is_empty() {
        return Ok(settings);
    }
    schema.walk(&mut settings, &mut |asked, value, pointer| {
        let Value::String(text) = &*value else { return false };
        let read = interpolations.whole_values.contains(pointer).then(|| read(asked, text)).flatten();
        read.map(|read| *value = read).is_some()
    })?;
    Ok(settings)
}

/// The settings as the guest gets them, of those that are typed.
pub fn for_guest(schema: &Schema, mut typed: Value, interpolations: &Interpolations) -> Result<Value, BudgetExceeded> {
    schema.walk(&mut typed, &mut |asked, value, pointer| {
        if asked.write_only {
            *value = Value::String(pointer.to_owned());
            return true;
        }
        let template = asked.formats.contains(TEMPLATE);
        if template {
            brace(value, pointer, interpolations);
        }
        template
    })?;
    Ok(typed)
}

/// Whether the probe has no title of its own, and the configuration must give it one.
pub fn wants_title(schema: &Value) -> bool {
    schema["required"].as_array().is_some_and(|required| required.iter().any(|key| key == "title"))
}

/// The `format` of settings whose texts are templates as Python's `str.format_map` has them, however deep they lie.
const TEMPLATE: &str = "str.format_map";

fn brace(value: &mut Value, pointer: &str, interpolations: &Interpolations) {
    match value {
        Value::String(text) => {
            if let Some(braced) = interpolations.template_escaped.get(pointer) {
                text.clone_from(braced);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                brace(value, &format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")), interpolations);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter_mut().enumerate() {
                brace(value, &format!("{pointer}/{index}"), interpolations);
            }
        }
        _ => {}
    }
}

/// A text as a number or a boolean, where the schema takes one and no text.
fn read(asked: &Annotations, text: &str) -> Option<Value> {
    let read: Value = serde_json::from_str(text.trim()).ok()?;
    let fits = match read {
        Value::Number(_) => asked.accepts(Type::Number) || asked.accepts(Type::Integer),
        Value::Bool(_) => asked.accepts(Type::Boolean),
        _ => false,
    };
    (fits && !asked.accepts(Type::String)).then_some(read)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(schema: &Value, settings: Value, expected: &Value) {
        let Value::Object(settings) = settings else { panic!("settings are a map") };
        let whole = ["/port", "/name", "/on"].map(str::to_owned).into();
        let braced = [("/body/a/0", "{{x"), ("/name", "{{y")].map(|(place, text)| (place.to_owned(), text.to_owned()));
        let interpolations = Interpolations { whole_values: whole, template_escaped: braced.into() };
        let schema = Schema::read(schema).unwrap();
        let typed = typed(&schema, &settings, &interpolations).unwrap();
        assert_eq!(&for_guest(&schema, typed, &interpolations).unwrap(), expected);
    }

    #[test]
    fn what_was_put_in_is_no_template() {
        let schema = json!({ "properties": { "body": { "format": "str.format_map" }, "name": { "type": "string" } } });
        check(
            &schema,
            json!({ "body": { "a": ["{x", "{k}"] }, "name": "{y" }),
            &json!({ "body": { "a": ["{{x", "{k}"] }, "name": "{y" }),
        );
    }

    #[test]
    fn a_reference_may_stand_for_a_number() {
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
    fn what_is_write_only_stays() {
        let schema = json!({ "properties": { "password": { "writeOnly": true } } });
        check(&schema, json!({ "password": "x", "user": "y" }), &json!({ "password": "/password", "user": "y" }));
        check(&schema, json!({ "password": null }), &json!({ "password": null }));
        check(&schema, json!({ "user": { "password": "x" } }), &json!({ "user": { "password": "x" } }));
        check(&json!({}), json!({ "password": "x" }), &json!({ "password": "x" }));
    }

    #[test]
    fn wherever_it_lies() {
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
