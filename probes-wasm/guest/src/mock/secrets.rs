//! Settings that the host keeps.

use serde_json::Value;

use crate::escape_pointer;

/// The depth below which schemas are not read, since a schema can refer to itself.
const MAX_DEPTH: usize = 64;

/// Replaces each value that the schema marks `writeOnly` by its JSON pointer, as the host does.
pub fn replace_by_pointers(root: &Value, schema: &Value, value: &mut Value, pointer: &str) {
    replace(root, schema, value, pointer, 0);
}

fn replace(root: &Value, schema: &Value, value: &mut Value, pointer: &str, depth: usize) {
    if depth > MAX_DEPTH || value.is_null() {
        return;
    }
    if schema["writeOnly"] == true {
        *value = Value::from(pointer);
        return;
    }
    let referred = schema["$ref"].as_str().and_then(|pointer| root.pointer(pointer.strip_prefix('#')?));
    let alternatives = ["allOf", "anyOf", "oneOf"].iter().filter_map(|key| schema[key].as_array()).flatten();
    for schema in referred.into_iter().chain(alternatives) {
        replace(root, schema, value, pointer, depth + 1);
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let known = schema["properties"].get(key).unwrap_or(&schema["additionalProperties"]);
                replace(root, known, value, &format!("{pointer}/{}", escape_pointer(key)), depth + 1);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter_mut().enumerate() {
                replace(root, &schema["items"], value, &format!("{pointer}/{index}"), depth + 1);
            }
        }
        _ => {}
    }
}
