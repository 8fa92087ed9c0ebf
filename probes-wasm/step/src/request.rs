//! Building the request of a step.

use sentrynet_guest::http::Request;
use sentrynet_guest::{Problems, SecretSetting, escape_pointer};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{MAX_MAX_BODY_BYTES, MAX_REDIRECTS, MAX_TIMEOUT_SECONDS, MIN_TIMEOUT_SECONDS, Step};

/// The body of a request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub enum Body {
    /// Text, which is sent as it is.
    Text(String),
    /// A map or a list, which is sent as JSON.
    Json(Value),
}

/// The paths of a client certificate and of its key, which are the same unless the settings have both.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
pub struct ClientCertificate {
    certificate: String,
    key: String,
    passphrase: Option<SecretSetting>,
}

/// A version of HTTP as text. In YAML it may be a number too: `1.1`, `2`.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
pub struct HttpVersion(String);

impl Step {
    /// Builds the request, and adds all mistakes in its settings, those that the host finds included.
    ///
    /// `at` is the JSON pointer to the step. If only the method is invalid, returns a request with the method GET, so
    /// that mistakes in the other settings are found too. Returns `None` if the URL is invalid.
    pub fn build_request(&self, at: &str, problems: &mut Problems) -> Option<Request> {
        let url = append_query(self.url.trim(), &self.query, at, problems);
        if url.is_empty() {
            problems.add(format!("{at}/url"), "expected a URL such as https://example.org/, got an empty one");
            return None;
        }
        let request = if let Ok(request) = Request::new(self.method(), &url) {
            request
        } else {
            // Each is tried alone, to find whether the method or the URL is wrong, or both.
            problems.ok_or_add(format_args!("{at}/method"), Request::new(self.method(), "http://localhost/"));
            problems.ok_or_add(format_args!("{at}/url"), Request::new("GET", &url))?
        };
        self.set_headers(&request, at, problems);
        match &self.body {
            Some(Body::Text(text)) => request.body(text.as_bytes()),
            Some(Body::Json(value)) => request.body(value.to_string().as_bytes()),
            None => {}
        }
        self.set_limits(&request, at, problems);
        self.set_network(&request, at, problems);
        Some(request)
    }

    /// Adds mistakes that the host accepts, since such a request can be sent: a method in lower case, and JSON that is
    /// declared to be a form.
    pub fn check_request(&self, at: &str, problems: &mut Problems) {
        const METHODS: &[&str] = &["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
        let is_meant = |meant: &&&str| meant.eq_ignore_ascii_case(self.method()) && **meant != self.method();
        if let Some(meant) = METHODS.iter().find(is_meant) {
            let message = format!("methods are case-sensitive, did you mean `{meant}`?");
            problems.add(format!("{at}/method"), message);
        }
        let is_form = |value: &Value| {
            let media_type = value.as_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
            ["application/x-www-form-urlencoded", "multipart/form-data"]
                .iter()
                .any(|form| form.eq_ignore_ascii_case(media_type))
        };
        let is_content_type = |name: &str| name.eq_ignore_ascii_case("content-type");
        let declared = self.headers.iter().find(|(name, value)| is_content_type(name) && is_form(value));
        if let (Some((name, _)), Some(Body::Json(_))) = (declared, &self.body) {
            let message = "a map or a list is sent as JSON, which is no form: write the body as text, such as `a=1&b=2`, \
                           or leave out this header";
            problems.add(format!("{at}/headers/{}", escape_pointer(name)), message);
        }
    }

    fn set_headers(&self, request: &Request, at: &str, problems: &mut Problems) {
        for (name, value) in &self.headers {
            let pointer = format!("{at}/headers/{}", escape_pointer(name));
            if let Some(value) = problems.ok_or_add(&pointer, scalar_text(value)) {
                problems.ok_or_add(pointer, request.header(name, &value));
            }
        }
        let has_header = |header: &str| self.headers.keys().any(|name| name.eq_ignore_ascii_case(header));
        if matches!(self.body, Some(Body::Json(_))) && !has_header("content-type") {
            problems.ok_or_add(format_args!("{at}/body"), request.header("content-type", "application/json"));
        }
        if let Some(agent) = &self.user_agent {
            let pointer = format!("{at}/user_agent");
            if has_header("user-agent") {
                problems.add(pointer, "the header `user-agent` is given too: leave one of them out");
            } else {
                problems.ok_or_add(pointer, request.header("user-agent", agent));
            }
        }
        if let Some(auth) = &self.auth {
            let pointer = format!("{at}/auth");
            if has_header("authorization") {
                problems.add(pointer, "the header `authorization` is given too: leave one of them out");
            } else {
                problems.ok_or_add(pointer, request.authenticate(auth));
            }
        }
    }

    fn set_limits(&self, request: &Request, at: &str, problems: &mut Problems) {
        if let Some(seconds) = self.timeout {
            let timeout = seconds.within(MIN_TIMEOUT_SECONDS..=f64::from(MAX_TIMEOUT_SECONDS));
            if let Some(timeout) = problems.ok_or_add(format_args!("{at}/timeout"), timeout) {
                request.timeout(timeout);
            }
        }
        if let Some(size) = self.max_body {
            problems.ok_or_add(format_args!("{at}/max_body"), size.within(1..=MAX_MAX_BODY_BYTES));
        }
        match self.redirects {
            Some(limit @ 0..=MAX_REDIRECTS) => request.redirects(limit),
            Some(limit) => {
                let message = format!("expected a number from 0 to {MAX_REDIRECTS}, got {limit}");
                problems.add(format!("{at}/redirects"), message);
            }
            None => {}
        }
    }

    fn set_network(&self, request: &Request, at: &str, problems: &mut Problems) {
        if let Some(verify) = self.verify_tls {
            request.verify_tls(verify);
        }
        if self.compression {
            request.compression(true);
        }
        if let Some(files) = &self.client_certificate {
            let passphrase = files.passphrase.as_ref().map(|setting| request.client_key_passphrase(setting));
            problems.ok_or_add(format_args!("{at}/client_certificate/passphrase"), passphrase.unwrap_or(Ok(())));
            let set = request.client_certificate(&files.certificate, &files.key);
            problems.ok_or_add(format_args!("{at}/client_certificate"), set);
        }
        if let Some(version) = &self.http_version {
            problems.ok_or_add(format_args!("{at}/http_version"), request.http_version(&version.0));
        }
        if let Some(version) = self.ip_version {
            problems.ok_or_add(
                format_args!("{at}/ip_version"),
                request.ip_version(u8::try_from(version).unwrap_or_default()),
            );
        }
        if self.connect_to.is_some() && self.proxy.is_some() {
            problems.add(format!("{at}/connect_to"), "a proxy connects by itself: leave out `connect_to` or `proxy`");
        }
        let mut set = |key: &str, value: &Option<String>, set: &dyn Fn(&str) -> Result<(), _>| {
            if let Some(value) = value {
                problems.ok_or_add::<(), sentrynet_guest::http::Invalid>(format_args!("{at}/{key}"), set(value));
            }
        };
        set("ca", &self.ca, &|file| request.ca(file));
        set("connect_to", &self.connect_to, &|address| request.connect_to(address));
        set("dns_server", &self.dns_server, &|address| request.dns_server(address));
        set("proxy", &self.proxy, &|url| request.proxy(url));
        set("source_address", &self.source_address, &|address| request.source_address(address));
    }
}

/// Returns `scheme://host:port` of a URL. Credentials, path and query are left out: they may be secret, or vary.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.trim().split_once("://").unwrap_or(("", url.trim()));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

/// Returns `scheme://host:port/path` of a URL: its origin, and a path other than `/`. Credentials and query are left
/// out: they may be secret, or vary.
pub fn origin_and_path(url: &str) -> String {
    let (_, rest) = url.trim().split_once("://").unwrap_or(("", url.trim()));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let path = rest.find('/').map_or("", |start| &rest[start..]);
    format!("{}{}", origin(url), if path == "/" { "" } else { path })
}

/// Returns the URL with `query` appended to its own query, and before the fragment.
fn append_query(url: &str, query: &Map<String, Value>, at: &str, problems: &mut Problems) -> String {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    for (key, value) in query {
        let pointer = format!("{at}/query/{}", escape_pointer(key));
        let values = match value {
            Value::Array(several) => several.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            if let Some(value) = problems.ok_or_add(&pointer, scalar_text(value)) {
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

/// Returns text as it is, and numbers and booleans as JSON writes them. The host has made texts of those in the
/// configuration.
///
/// # Errors
/// Returns a sentence if the value is null, a list or a map.
fn scalar_text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null => Err("expected text or a number, got nothing".to_owned()),
        Value::Array(_) | Value::Object(_) => Err(format!("expected text or a number, got {}", container_name(value))),
    }
}

fn container_name(value: &Value) -> &'static str {
    if value.is_array() { "a list" } else { "a map" }
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
        const SHAPE: &str =
            "expected a file of certificate and key, or `{certificate: FILE, key: FILE, passphrase: TEXT}`";
        match value {
            Value::String(file) => Ok(Self { certificate: file.clone(), key: file, passphrase: None }),
            Value::Object(mut files) => {
                let file = |key: &str, files: &mut Map<String, Value>| match files.remove(key) {
                    Some(Value::String(file)) => Ok(file),
                    _ => Err(SHAPE.to_owned()),
                };
                let certificate = file("certificate", &mut files)?;
                let key = if files.contains_key("key") { file("key", &mut files)? } else { certificate.clone() };
                let passphrase = files.remove("passphrase").filter(|passphrase| !passphrase.is_null());
                let passphrase = passphrase.map(serde_json::from_value).transpose().map_err(|_| SHAPE.to_owned())?;
                if files.is_empty() { Ok(Self { certificate, key, passphrase }) } else { Err(SHAPE.to_owned()) }
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
                    "properties": {
                        "certificate": { "type": "string" },
                        "key": { "type": "string" },
                        "passphrase": { "type": ["string", "null"], "writeOnly": true },
                    },
                    "required": ["certificate"],
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
        serde_json::from_value(value).expect("the step is valid")
    }

    #[test]
    fn origins_contain_no_secrets() {
        assert_eq!(origin("https://example.org/a?b=c#d"), "https://example.org");
        assert_eq!(origin(" http://u:p@host:8080?x"), "http://host:8080");
        assert_eq!(origin("http://[::1]:80/"), "http://[::1]:80");
    }

    #[test]
    fn paths_follow_their_origins_without_the_query() {
        let check = |url: &str, expected: &str| assert_eq!(origin_and_path(url), expected, "{url}");
        check("https://example.org", "https://example.org");
        check("https://example.org/", "https://example.org");
        check("https://example.org/a/b/?c=/d#/e", "https://example.org/a/b/");
        check("https://example.org?c=/d", "https://example.org");
        check(" http://u:p@host:8080/a@b ", "http://host:8080/a@b");
        check("http://[::1]:80/a", "http://[::1]:80/a");
    }

    #[test]
    fn the_key_of_a_certificate_is_in_its_file_unless_another_is_given() {
        let check = |value: Value, expected: Option<(&str, &str)>| {
            let files = ClientCertificate::try_from(value).ok();
            let files = files.as_ref().map(|files| (files.certificate.as_str(), files.key.as_str()));
            assert_eq!(files, expected);
        };
        check(json!("a.p12"), Some(("a.p12", "a.p12")));
        check(json!({ "certificate": "a.p12" }), Some(("a.p12", "a.p12")));
        check(json!({ "certificate": "a.pem", "key": "a.key" }), Some(("a.pem", "a.key")));
        check(json!({ "key": "a.key" }), None);
        check(json!({ "certificate": "a.pem", "key": 1 }), None);
    }

    #[test]
    fn a_query_is_appended_to_the_urls_own() {
        let check = |url: &str, query: Value, expected: &str| {
            let step = step(json!({ "url": url, "query": query }));
            assert_eq!(append_query(url, &step.query, "", &mut Problems::default()), expected);
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

    #[track_caller]
    fn check_mistakes(value: Value, expected: &[(&str, &str)]) {
        let mut problems = Problems::default();
        step(value).check_request("", &mut problems);
        assert_eq!(problems.first().as_slice(), expected);
    }

    #[test]
    fn a_method_in_lower_case_is_a_mistake() {
        let check =
            |method: &str, expected: &[(&str, &str)]| check_mistakes(json!({ "url": "x", "method": method }), expected);
        check("GET", &[]);
        check("REPORT", &[]);
        check("report", &[]);
        check("get", &[("/method", "methods are case-sensitive, did you mean `GET`?")]);
        check("Post", &[("/method", "methods are case-sensitive, did you mean `POST`?")]);
    }

    #[test]
    fn json_under_the_content_type_of_a_form_is_a_mistake() {
        let check = |content_type: &str, body: Value, is_mistake: bool| {
            let message = "a map or a list is sent as JSON, which is no form: write the body as text, such as \
                           `a=1&b=2`, or leave out this header";
            let expected = [("/headers/Content-Type", message)];
            let expected = if is_mistake { &expected[..] } else { &[] };
            check_mistakes(json!({ "url": "x", "headers": { "Content-Type": content_type }, "body": body }), expected);
        };
        check("application/x-www-form-urlencoded", json!({ "a": 1 }), true);
        check("Multipart/Form-Data; boundary=x", json!([1]), true);
        check("application/x-www-form-urlencoded", json!("a=1"), false);
        check("application/vnd.api+json", json!({ "a": 1 }), false);
        check("text/plain", json!({ "a": 1 }), false);
    }

    #[test]
    fn versions_are_numbers_or_text() {
        for version in [json!(1.1), json!("1.1"), json!(2)] {
            let step = step(json!({ "url": "x", "http_version": version }));
            assert_eq!(
                step.http_version.expect("the version is given").0,
                version.as_str().map_or(version.to_string(), str::to_owned)
            );
        }
    }
}
