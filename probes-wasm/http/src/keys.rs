//! Keys set from the answer's JSON, by JSONPath.

use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use sentrynet_guest::http::Response;
use sentrynet_guest::{Check, Failure, Trouble, span};
use serde_json::{Map, Value};

use crate::request::escape;

/// Notes every path that is none.
pub fn check(set_keys: &Map<String, Value>, check: &mut Check) {
    for (key, path) in set_keys {
        check.at(format!("/set_keys/{}", escape(key)), parse(path));
    }
}

/// Parses the body and looks up each key: one match is the value, several are a list, none leaves the key unset.
pub fn extract(set_keys: &Map<String, Value>, response: &Response) -> Result<Map<String, Value>, Trouble> {
    span::scope("json.parse", "Parse body", |_| {
        let body = json(response)?;
        let mut keys = Map::new();
        for (key, path) in set_keys {
            let query = parse(path).map_err(|error| Trouble::Broken(format!("{key}: {error}")))?;
            let found = js_path_process(&query, &body)
                .map_err(|error| Trouble::Broken(format!("JSONPath {path} cannot be evaluated: {error}")))?;
            let mut values: Vec<Value> = found.into_iter().map(|found| found.val().clone()).collect();
            match values.len() {
                0 => {}
                1 => drop(keys.insert(key.clone(), values.remove(0))),
                _ => drop(keys.insert(key.clone(), Value::Array(values))),
            }
        }
        Ok(keys)
    })
}

fn json(response: &Response) -> Result<Value, Failure> {
    let body = response.body();
    if (body.len() as u64) < response.body_size() {
        let message = format!("the body has {} bytes, too many to read as JSON", response.body_size());
        return Err(Failure::new("json", message));
    }
    serde_json::from_slice(&body).map_err(|error| Failure::new("json", format!("the body is not JSON: {error}")))
}

fn parse(path: &Value) -> Result<JpQuery, String> {
    let Value::String(path) = path else {
        return Err(format!("{path} is not a JSONPath: expected text such as `$.status`"));
    };
    parse_json_path(path)
        .map_err(|error| format!("`{path}` is not a JSONPath such as `$.status`: {}", first_line(&error.to_string())))
}

/// The parser draws the place over several lines; the sentence stands in its last.
fn first_line(error: &str) -> String {
    error.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or(error).trim_start_matches("= ").to_owned()
}
