//! What a guest gets of its settings, by its own schema. What that marks `writeOnly` the host keeps: the guest gets its
//! JSON pointer instead. Text that was put in for a reference becomes a number where that is wanted, and is taken
//! letter by letter where a template stands. Pure.

use serde_json::{Map, Value};

use crate::config::Referred;

/// The settings as the guest gets them.
pub fn for_guest(schema: &Value, settings: &Map<String, Value>, referred: &Referred) -> Value {
    let mut settings = Value::Object(settings.clone());
    Walk { root: schema, referred }.walk(schema, &mut settings, &mut String::new(), 0);
    settings
}

/// Whether the probe has no title of its own, and the configuration must give it one.
pub fn wants_title(schema: &Value) -> bool {
    schema["required"].as_array().is_some_and(|required| required.iter().any(|key| key == "title"))
}

struct Walk<'a> {
    root: &'a Value,
    referred: &'a Referred,
}

impl Walk<'_> {
    /// `hops` counts steps in the schema that lead no deeper into the value: a schema may refer to itself.
    fn walk(&self, schema: &Value, value: &mut Value, pointer: &mut String, hops: usize) {
        const MOST_HOPS: usize = 16;
        if hops > MOST_HOPS || value.is_null() {
            return;
        }
        if schema["writeOnly"] == true {
            *value = Value::String(pointer.clone());
            return;
        }
        if let Value::String(text) = value
            && self.referred.whole.contains(pointer.as_str())
            && let Some(typed) = typed(schema, text)
        {
            *value = typed;
            return;
        }
        if schema["format"] == TEMPLATE {
            self.brace(value, pointer);
            return;
        }
        let referred = schema["$ref"].as_str().and_then(|reference| self.root.pointer(reference.strip_prefix('#')?));
        let alternatives = ["anyOf", "oneOf", "allOf"].iter().filter_map(|key| schema[key].as_array()).flatten();
        for schema in referred.into_iter().chain(alternatives) {
            self.walk(schema, value, pointer, hops + 1);
        }
        let length = pointer.len();
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let below = match &schema["properties"][key.as_str()] {
                        Value::Null => &schema["additionalProperties"],
                        known => known,
                    };
                    pointer.push('/');
                    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                    self.walk(below, value, pointer, 0);
                    pointer.truncate(length);
                }
            }
            Value::Array(list) => {
                for (index, value) in list.iter_mut().enumerate() {
                    pointer.push_str(&format!("/{index}"));
                    self.walk(&schema["items"], value, pointer, 0);
                    pointer.truncate(length);
                }
            }
            _ => {}
        }
    }
}

/// The `format` of settings whose texts are templates as Python's `str.format_map` has them, however deep they lie.
const TEMPLATE: &str = "str.format_map";

impl Walk<'_> {
    fn brace(&self, value: &mut Value, pointer: &str) {
        match value {
            Value::String(text) => {
                if let Some(braced) = self.referred.braced.get(pointer) {
                    text.clone_from(braced);
                }
            }
            Value::Object(map) => {
                for (key, value) in map {
                    self.brace(value, &format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")));
                }
            }
            Value::Array(list) => {
                for (index, value) in list.iter_mut().enumerate() {
                    self.brace(value, &format!("{pointer}/{index}"));
                }
            }
            _ => {}
        }
    }
}

/// A text as a number or a boolean, where the schema takes one and no text.
fn typed(schema: &Value, text: &str) -> Option<Value> {
    let types = match &schema["type"] {
        Value::Array(several) => several.as_slice(),
        one => std::slice::from_ref(one),
    };
    let takes = |kind: &str| types.iter().any(|known| known == kind);
    let read: Value = serde_json::from_str(text.trim()).ok()?;
    let fits = match read {
        Value::Number(_) => takes("number") || takes("integer"),
        Value::Bool(_) => takes("boolean"),
        _ => false,
    };
    (fits && !takes("string")).then_some(read)
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
        let referred = Referred { whole, braced: braced.into() };
        assert_eq!(&for_guest(schema, &settings, &referred), expected);
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
