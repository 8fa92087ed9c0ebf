//! The request that a step describes.

use std::time::Duration;

use sentrynet_guest::Check;
use sentrynet_guest::http::Request;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Step;

/// What to send: text as it is, a map or list as JSON.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub enum Body {
    Text(String),
    Json(Value),
}

/// The files of a certificate and its key; they may be one.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
pub struct ClientCertificate {
    certificate: String,
    key: String,
}

/// As text: YAML reads `1.1` and `2` as numbers.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
pub struct HttpVersion(String);

impl Step {
    /// Builds the request, noting what the host refuses of it. None when there is none to send. `at` is the JSON
    /// pointer to the step.
    pub fn build(&self, at: &str, check: &mut Check) -> Option<Request> {
        let url = with_query(self.url.trim(), &self.query, at, check);
        if url.is_empty() {
            check.problem(format!("{at}/url"), "expected a URL such as https://example.org/, got an empty one");
            return None;
        }
        let request = if let Ok(request) = Request::new(self.method(), &url) {
            request
        } else {
            // Apart, so that what is wrong with either is found.
            check.at(format_args!("{at}/method"), Request::new(self.method(), "http://localhost/"));
            check.at(format_args!("{at}/url"), Request::new("GET", &url))?
        };
        self.headers(&request, at, check);
        match &self.body {
            Some(Body::Text(text)) => request.body(text.as_bytes()),
            Some(Body::Json(value)) => request.body(value.to_string().as_bytes()),
            None => {}
        }
        self.limits(&request, at, check);
        self.network(&request, at, check);
        Some(request)
    }

    fn headers(&self, request: &Request, at: &str, check: &mut Check) {
        for (name, value) in &self.headers {
            let pointer = format!("{at}/headers/{}", escape(name));
            if let Some(value) = check.at(&pointer, scalar(value)) {
                check.at(pointer, request.header(name, &value));
            }
        }
        let named = |wanted: &str| self.headers.keys().any(|name| name.eq_ignore_ascii_case(wanted));
        if matches!(self.body, Some(Body::Json(_))) && !named("content-type") {
            check.at(format_args!("{at}/body"), request.header("content-type", "application/json"));
        }
        if let Some(agent) = &self.user_agent {
            let pointer = format!("{at}/user_agent");
            if named("user-agent") {
                check.problem(pointer, "the header `user-agent` is given too: leave one of them out");
            } else {
                check.at(pointer, request.header("user-agent", agent));
            }
        }
        if let Some(auth) = &self.auth {
            let pointer = format!("{at}/auth");
            if named("authorization") {
                check.problem(pointer, "the header `authorization` is given too: leave one of them out");
            } else {
                check.at(pointer, request.authenticate(auth));
            }
        }
    }

    fn limits(&self, request: &Request, at: &str, check: &mut Check) {
        if let Some(seconds) = self.timeout {
            match Duration::try_from_secs_f64(seconds) {
                Ok(timeout) if (0.001..=3600.0).contains(&seconds) => request.timeout(timeout),
                _ => check
                    .problem(format!("{at}/timeout"), format!("expected seconds from 0.001 to 3600, got {seconds}")),
            }
        }
        match self.redirects {
            Some(limit @ 0..=100) => request.redirects(limit),
            Some(limit) => {
                check.problem(format!("{at}/redirects"), format!("expected a number from 0 to 100, got {limit}"));
            }
            None => {}
        }
    }

    fn network(&self, request: &Request, at: &str, check: &mut Check) {
        if let Some(verify) = self.verify_tls {
            request.verify_tls(verify);
        }
        if self.compression {
            request.compression(true);
        }
        if let Some(files) = &self.client_certificate {
            let set = request.client_certificate(&files.certificate, &files.key);
            check.at(format_args!("{at}/client_certificate"), set);
        }
        if let Some(version) = &self.http_version {
            check.at(format_args!("{at}/http_version"), request.http_version(&version.0));
        }
        if let Some(version) = self.ip_version {
            check.at(format_args!("{at}/ip_version"), request.ip_version(u8::try_from(version).unwrap_or_default()));
        }
        if self.connect_to.is_some() && self.proxy.is_some() {
            check.problem(format!("{at}/connect_to"), "a proxy connects by itself: leave out `connect_to` or `proxy`");
        }
        let mut set = |key: &str, value: &Option<String>, set: &dyn Fn(&str) -> Result<(), _>| {
            if let Some(value) = value {
                check.at::<(), sentrynet_guest::http::Invalid>(format_args!("{at}/{key}"), set(value));
            }
        };
        set("ca", &self.ca, &|file| request.ca(file));
        set("connect_to", &self.connect_to, &|address| request.connect_to(address));
        set("dns_server", &self.dns_server, &|address| request.dns_server(address));
        set("proxy", &self.proxy, &|url| request.proxy(url));
        set("source_address", &self.source_address, &|address| request.source_address(address));
    }
}

/// `scheme://host:port`: without credentials, path and query, which can hold secrets or vary.
pub fn origin(url: &str) -> String {
    let (scheme, rest) = url.trim().split_once("://").unwrap_or(("", url.trim()));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

/// The URL with `query` appended to its own, in front of a fragment.
fn with_query(url: &str, query: &Map<String, Value>, at: &str, check: &mut Check) -> String {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    for (key, value) in query {
        let pointer = format!("{at}/query/{}", escape(key));
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
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Body".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "object", "array"] })
    }
}

impl TryFrom<Value> for ClientCertificate {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        const SHAPE: &str = "expected a PEM file of certificate and key, or `{certificate: FILE, key: FILE}`";
        match value {
            Value::String(file) => Ok(Self { certificate: file.clone(), key: file }),
            Value::Object(mut files) => {
                let file = |key: &str, files: &mut Map<String, Value>| match files.remove(key) {
                    Some(Value::String(file)) => Ok(file),
                    _ => Err(SHAPE.to_owned()),
                };
                let files_named = (file("certificate", &mut files)?, file("key", &mut files)?);
                if files.is_empty() {
                    Ok(Self { certificate: files_named.0, key: files_named.1 })
                } else {
                    Err(SHAPE.to_owned())
                }
            }
            _ => Err(SHAPE.to_owned()),
        }
    }
}

impl schemars::JsonSchema for ClientCertificate {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ClientCertificate".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": { "certificate": { "type": "string" }, "key": { "type": "string" } },
                    "required": ["certificate", "key"],
                    "additionalProperties": false,
                },
            ]
        })
    }
}

impl TryFrom<Value> for HttpVersion {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) if number.as_f64() == Some(2.0) => Ok(Self("2".to_owned())),
            Value::Number(number) => Ok(Self(number.to_string())),
            _ => Err("expected 1.1 or 2".to_owned()),
        }
    }
}

impl schemars::JsonSchema for HttpVersion {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HttpVersion".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "enum": [1.1, 2, "1.1", "2"] })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn step(value: Value) -> Step {
        serde_json::from_value(value).expect("a right step")
    }

    #[test]
    fn origins_hold_nothing_secret() {
        assert_eq!(origin("https://example.org/a?b=c#d"), "https://example.org");
        assert_eq!(origin(" http://u:p@host:8080?x"), "http://host:8080");
        assert_eq!(origin("http://[::1]:80/"), "http://[::1]:80");
    }

    #[test]
    fn a_query_is_appended_to_the_urls_own() {
        let check = |url: &str, query: Value, expected: &str| {
            let step = step(json!({ "url": url, "query": query }));
            assert_eq!(with_query(url, &step.query, "", &mut Check::default()), expected);
        };
        check("http://h/", json!({}), "http://h/");
        check("http://h/", json!({ "a": 1, "b": [true, "x y"] }), "http://h/?a=1&b=true&b=x+y");
        check("http://h/?z=1", json!({ "a": "&" }), "http://h/?z=1&a=%26");
        check("http://h/?", json!({ "a": 1 }), "http://h/?a=1");
        check("http://h/#f?g", json!({ "a": 1 }), "http://h/?a=1#f?g");
    }

    #[test]
    fn the_method_follows_from_the_body() {
        assert_eq!(step(json!({ "url": "x" })).method(), "GET");
        assert_eq!(step(json!({ "url": "x", "body": {} })).method(), "POST");
        assert_eq!(step(json!({ "url": "x", "body": {}, "method": "PUT" })).method(), "PUT");
    }

    #[test]
    fn versions_are_numbers_or_text() {
        for version in [json!(1.1), json!("1.1"), json!(2)] {
            let step = step(json!({ "url": "x", "http_version": version }));
            assert_eq!(
                step.http_version.expect("given").0,
                version.as_str().map_or(version.to_string(), str::to_owned)
            );
        }
    }
}
