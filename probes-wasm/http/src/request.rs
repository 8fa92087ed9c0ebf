//! The request that the settings describe.

use std::time::Duration;

use sentrynet_guest::Check;
use sentrynet_guest::http::Request;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Settings;

/// What to send: text as it is, a map or list as JSON.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub enum Body {
    Text(String),
    Json(Value),
}

impl TryFrom<Value> for Body {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Self::Text(text)),
            Value::Object(_) | Value::Array(_) => Ok(Self::Json(value)),
            other => Err(format!("{other} is not a body: expected text (in quotes), a map or a list")),
        }
    }
}

impl schemars::JsonSchema for Body {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Body".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "object", "array"] })
    }
}

/// The method as given, or by whether there is a body.
pub fn method(settings: &Settings) -> &str {
    match (&settings.method, &settings.body) {
        (Some(method), _) => method,
        (None, Some(_)) => "POST",
        (None, None) => "GET",
    }
}

/// `METHOD scheme://host:port`: without credentials, path and query, which can hold secrets or vary.
pub fn title(settings: &Settings) -> String {
    let url = settings.url.trim();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{} {scheme}://{host}", method(settings))
}

/// Builds the request, noting what the host refuses of it. None when there is none to send.
pub fn build(settings: &Settings, check: &mut Check) -> Option<Request> {
    let url = with_query(settings.url.trim(), &settings.query, check);
    if url.is_empty() {
        check.problem("/url", "expected a URL such as https://example.org/, got an empty one");
        return None;
    }
    // Apart, so that what is wrong with either is found.
    let method = check.at("/method", Request::new(method(settings), "http://localhost/").map(|_| method(settings)));
    let request = check.at("/url", Request::new(method.unwrap_or("GET"), &url))?;
    headers(settings, &request, check);
    match &settings.body {
        Some(Body::Text(text)) => request.body(text.as_bytes()),
        Some(Body::Json(value)) => request.body(value.to_string().as_bytes()),
        None => {}
    }
    if let Some(seconds) = settings.timeout {
        match Duration::try_from_secs_f64(seconds) {
            Ok(timeout) if (0.001..=3600.0).contains(&seconds) => request.timeout(timeout),
            _ => check.problem("/timeout", format!("expected seconds from 0.001 to 3600, got {seconds}")),
        }
    }
    match settings.redirects {
        Some(limit @ 0..=100) => request.redirects(limit),
        Some(limit) => check.problem("/redirects", format!("expected a number from 0 to 100, got {limit}")),
        None => {}
    }
    request.verify_tls(settings.verify_tls.unwrap_or(true));
    if let Some(ca) = &settings.ca {
        check.at("/ca", request.ca(ca));
    }
    Some(request)
}

fn headers(settings: &Settings, request: &Request, check: &mut Check) {
    for (name, value) in &settings.headers {
        let pointer = format!("/headers/{}", escape(name));
        if let Some(value) = check.at(&pointer, scalar(value)) {
            check.at(pointer, request.header(name, &value));
        }
    }
    let named = settings.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
    if matches!(settings.body, Some(Body::Json(_))) && !named {
        check.at("/body", request.header("content-type", "application/json"));
    }
}

/// The URL with `query` appended to its own, in front of a fragment.
fn with_query(url: &str, query: &Map<String, Value>, check: &mut Check) -> String {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    for (key, value) in query {
        let pointer = format!("/query/{}", escape(key));
        let values = match value {
            Value::Array(several) => several.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            if let Some(value) = check.at(&pointer, scalar(value)) {
                pairs.append_pair(key, &value);
            }
        }
    }
    let pairs = pairs.finish();
    if pairs.is_empty() {
        return url.to_owned();
    }
    let (address, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
    let separator = match (address.contains('?'), address.ends_with(['?', '&'])) {
        (false, _) => "?",
        (true, true) => "",
        (true, false) => "&",
    };
    format!("{address}{separator}{pairs}{fragment}")
}

/// Text as it is, numbers and booleans as YAML writes them.
fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null => Err("expected text or a number, got nothing".to_owned()),
        Value::Array(_) | Value::Object(_) => Err(format!("expected text or a number, got {}", kind(value))),
    }
}

fn kind(value: &Value) -> &'static str {
    if value.is_array() { "a list" } else { "a map" }
}

/// A key as a segment of a JSON pointer.
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn settings(value: Value) -> Settings {
        serde_json::from_value(value).expect("right settings")
    }

    #[test]
    fn titles_name_the_origin_and_nothing_secret() {
        let title = |value| title(&settings(value));
        assert_eq!(title(json!({ "url": "https://example.org/a?b=c#d" })), "GET https://example.org");
        assert_eq!(title(json!({ "url": " http://u:p@host:8080?x", "body": "x" })), "POST http://host:8080");
        assert_eq!(title(json!({ "url": "http://[::1]:80/", "method": "HEAD" })), "HEAD http://[::1]:80");
    }

    #[test]
    fn a_query_is_appended_to_the_urls_own() {
        let check = |url: &str, query: Value, expected: &str| {
            let settings = settings(json!({ "url": url, "query": query }));
            assert_eq!(with_query(url, &settings.query, &mut Check::default()), expected);
        };
        check("http://h/", json!({}), "http://h/");
        check("http://h/", json!({ "a": 1, "b": [true, "x y"] }), "http://h/?a=1&b=true&b=x+y");
        check("http://h/?z=1", json!({ "a": "&" }), "http://h/?z=1&a=%26");
        check("http://h/?", json!({ "a": 1 }), "http://h/?a=1");
        check("http://h/#f?g", json!({ "a": 1 }), "http://h/?a=1#f?g");
    }

    #[test]
    fn the_method_follows_from_the_body() {
        assert_eq!(method(&settings(json!({ "url": "x" }))), "GET");
        assert_eq!(method(&settings(json!({ "url": "x", "body": {} }))), "POST");
        assert_eq!(method(&settings(json!({ "url": "x", "body": {}, "method": "PUT" }))), "PUT");
    }
}
