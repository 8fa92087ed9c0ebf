//! Files and hosts that a probe may use because its own settings name them. Pure functions of the settings.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};
use url::Url;

use crate::config::{TraceHeaders, TraceHost};

/// Returns the JSON pointers of the settings that are exactly this path, in their order. The host reads a file for a
/// probe only if a setting names the file.
pub fn file_pointers<'a>(settings: impl IntoIterator<Item = (&'a String, &'a Value)>, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in settings {
        add_pointers_in(value, path, &format!("/{}", escape_pointer_segment(key)), &mut found);
    }
    found
}

/// Returns the hosts that may get the headers of a run's trace: those that the probe's settings name, and those of
/// `headers`.
pub fn trace_hosts(settings: &Map<String, Value>, headers: &TraceHeaders) -> Arc<[TraceHost]> {
    let mut hosts: HashSet<_> = headers.hosts.iter().cloned().collect();
    settings.values().for_each(|value| add_hosts_in(value, &mut hosts));
    hosts.into_iter().collect()
}

/// Returns true if a request to `url` gets the headers of the run's trace. Targets that the operator has not named do
/// not get them, such as the target of a redirect or a link, or one that the guest chooses.
///
/// Compares host and port, where credentials require the same origin: a site that redirects from http to https is still
/// the site that was named, while another port can belong to another owner.
pub fn gets_trace_headers(hosts: &[TraceHost], url: &Url) -> bool {
    hosts.iter().any(|host| host.matches(url))
}

/// Returns the names and addresses of the hosts that a probe's settings name, each once, without brackets. Leaves out
/// hosts that are filled into a template at run time.
pub fn named_hosts(settings: &Map<String, Value>) -> Box<[String]> {
    let mut hosts = HashSet::new();
    settings.values().for_each(|value| add_hosts_in(value, &mut hosts));
    let names: BTreeSet<_> =
        hosts.iter().filter_map(TraceHost::exact_name).filter(|name| !name.contains('{')).collect();
    names.into_iter().collect()
}

/// Adds the hosts that the texts in a value name to `hosts`.
fn add_hosts_in(value: &Value, hosts: &mut HashSet<TraceHost>) {
    match value {
        Value::String(text) => hosts.extend(TraceHost::named_by(text)),
        Value::Array(list) => list.iter().for_each(|value| add_hosts_in(value, hosts)),
        Value::Object(map) => map.values().for_each(|value| add_hosts_in(value, hosts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Adds the JSON pointers of the texts in the value at `pointer` that are exactly this path.
fn add_pointers_in(value: &Value, path: &str, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text == path => found.push(pointer.to_owned()),
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                add_pointers_in(value, path, &format!("{pointer}/{index}"), found);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                add_pointers_in(value, path, &format!("{pointer}/{}", escape_pointer_segment(key)), found);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn escape_pointer_segment(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(settings: Value, path: &str, expected: &[&str]) {
        let Value::Object(settings) = settings else { panic!("settings are a map") };
        assert_eq!(file_pointers(&settings, path), expected);
    }

    #[test]
    fn only_named_files_have_a_pointer() {
        check(json!({ "ca": "ca.pem" }), "ca.pem", &["/ca"]);
        check(json!({ "tls": { "authorities": ["a.pem", "b.pem"] } }), "b.pem", &["/tls/authorities/1"]);
        check(json!({ "ca": "ca.pem" }), "./ca.pem", &[]);
        check(json!({ "ca": "ca.pem" }), "/etc/passwd", &[]);
        check(json!({ "ca.pem": true }), "ca.pem", &[]);
        check(json!({}), "", &[]);
        check(json!({ "a": "k", "b/c": ["x", { "key": "k" }] }), "k", &["/a", "/b~1c/1/key"]);
    }

    /// Checks whether requests to the URLs get the headers, with these settings and these hosts in `headers`.
    #[track_caller]
    fn check_urls(settings: Value, hosts: &[&str], urls: &[(&str, bool)]) {
        let Value::Object(settings) = settings else { panic!("settings are a map") };
        let hosts = hosts.iter().map(|host| TraceHost::read(host).unwrap()).collect();
        let hosts = trace_hosts(&settings, &TraceHeaders { hosts, ..TraceHeaders::default() });
        for (url, expected) in urls {
            assert_eq!(gets_trace_headers(&hosts, &url.parse().unwrap()), *expected, "{url}");
        }
    }

    #[test]
    fn only_named_hosts_get_the_headers() {
        let http =
            json!({ "url": "https://shop.example/status", "expected": 200, "headers": { "accept": "text/html" } });
        check_urls(
            http,
            &[],
            &[
                ("https://shop.example/elsewhere?x", true),
                ("http://shop.example/", true),
                ("https://SHOP.example./", true),
                ("https://shop.example:8443/", false),
                ("https://evil.example/", false),
                ("https://shop.example@evil.example/", false),
                ("https://shop.example:443@evil.example/", false),
                ("https://shop.example.evil.example/", false),
                ("https://evilshop.example/", false),
                ("https://api.shop.example/", false),
                ("https://example/", false),
                ("https://evil.example/shop.example", false),
                ("https://evil.example/?https://shop.example/", false),
                ("https://evil.example/#shop.example", false),
                (r"https://evil.example\@shop.example/", false),
                (r"https://shop.example\@evil.example/", true),
                ("https://shop\u{3002}example/", true),
                ("https://sh\u{43e}p.example/", false),
            ],
        );
    }

    #[test]
    fn a_chain_names_hosts_in_its_keys_and_steps() {
        let chain = json!({
            "init_keys": { "base": "http://127.0.0.1:8001", "host": "shop.example", "peer": "[::1]:9", "n": 5 },
            "steps": [{ "url": "{base}/" }, { "url": "https://pay.example:{port}/" }, { "url": "{next}" }],
        });
        check_urls(
            chain,
            &[],
            &[
                ("http://127.0.0.1:8001/a", true),
                ("http://127.0.0.1:8002/a", false),
                ("http://shop.example:8080/", true),
                ("http://[0:0:0:0:0:0:0:1]:9/", true),
                ("http://[::1]/", false),
                ("https://pay.example:9443/", true),
                ("http://0.0.0.5/", false),
                ("https://next/", false),
            ],
        );
    }

    #[test]
    fn hosts_that_a_template_or_a_response_fills_in_are_not_named() {
        let Value::Object(settings) = json!({
            "init_keys": { "peer": "[::1]:9" },
            "steps": [
                { "url": "https://Shop.Example./a", "auth": { "oauth2": { "token_url": "https://id.example/" } } },
                { "url": "https://{host}/" },
                { "url": "http://192.0.2.7:{port}/", "expected": 200 },
                { "url": "https://shop.example/b" },
            ],
        }) else {
            panic!("settings are a map")
        };
        assert_eq!(*named_hosts(&settings), ["192.0.2.7", "::1", "id.example", "shop.example"]);
    }

    #[test]
    fn hosts_of_the_trace_headers_section_get_the_headers() {
        check_urls(
            json!({}),
            &["*.shop.example", "pay.example:8443"],
            &[
                ("https://api.shop.example/", true),
                ("https://a.b.shop.example:9/", true),
                ("https://shop.example/", false),
                ("https://evilshop.example/", false),
                ("https://api.shop.example.evil.example/", false),
                ("https://pay.example:8443/", true),
                ("https://pay.example/", false),
            ],
        );
    }
}
