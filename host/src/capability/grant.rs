//! What a probe may do beyond its sandbox: pure functions of its configuration, asked before anything is touched.

use serde_json::{Map, Value};

/// Where a probe's settings name a file, letter by letter, as a JSON pointer: it may have the host read that.
pub fn named_at(settings: &Map<String, Value>, path: &str) -> Option<String> {
    settings.iter().find_map(|(key, value)| Some(format!("/{}{}", escape(key), named_in(value, path)?)))
}

fn named_in(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::String(text) => (text == path).then(String::new),
        Value::Array(list) => {
            list.iter().enumerate().find_map(|(index, value)| Some(format!("/{index}{}", named_in(value, path)?)))
        }
        Value::Object(map) => named_at(map, path),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(settings: Value, path: &str, expected: Option<&str>) {
        let Value::Object(settings) = settings else { panic!("settings are a map") };
        assert_eq!(named_at(&settings, path).as_deref(), expected);
    }

    #[test]
    fn named_files_only() {
        check(json!({ "ca": "ca.pem" }), "ca.pem", Some("/ca"));
        check(json!({ "tls": { "authorities": ["a.pem", "b.pem"] } }), "b.pem", Some("/tls/authorities/1"));
        check(json!({ "ca": "ca.pem" }), "./ca.pem", None);
        check(json!({ "ca": "ca.pem" }), "/etc/passwd", None);
        check(json!({ "ca.pem": true }), "ca.pem", None);
        check(json!({}), "", None);
    }
}
