//! What a probe may do beyond its sandbox: pure functions of its configuration, asked before anything is touched.

use serde_json::{Map, Value};

/// A probe may have the host read a file if its settings name it, letter by letter.
pub fn may_read(settings: &Map<String, Value>, path: &str) -> bool {
    settings.values().any(|value| names(value, path))
}

fn names(value: &Value, path: &str) -> bool {
    match value {
        Value::String(text) => text == path,
        Value::Array(list) => list.iter().any(|value| names(value, path)),
        Value::Object(map) => map.values().any(|value| names(value, path)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(settings: Value, path: &str, expected: bool) {
        let Value::Object(settings) = settings else { panic!("settings are a map") };
        assert_eq!(may_read(&settings, path), expected);
    }

    #[test]
    fn named_files_only() {
        check(json!({ "ca": "ca.pem" }), "ca.pem", true);
        check(json!({ "tls": { "authorities": ["a.pem", "b.pem"] } }), "b.pem", true);
        check(json!({ "ca": "ca.pem" }), "./ca.pem", false);
        check(json!({ "ca": "ca.pem" }), "/etc/passwd", false);
        check(json!({ "ca.pem": true }), "ca.pem", false);
        check(json!({}), "", false);
    }
}
