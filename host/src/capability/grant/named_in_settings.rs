//! Files and hosts that a probe may use because its own settings name them. Pure functions of the settings.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};
use url::Url;

use crate::config::{TraceHeaders, TraceHost};

/// Returns the JSON pointer of the setting that is exactly this path, if there is one. The host reads a file for a
/// probe only if a setting names the file.
pub fn file_pointer<'a>(settings: impl IntoIterator<Item = (&'a String, &'a Value)>, path: &str) -> Option<String> {
    settings
        .into_iter()
        .find_map(|(key, value)| Some(format!("/{}{}", escape_pointer_segment(key), pointer_in(value, path)?)))
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

/// Returns the JSON pointer, relative to a value, of a text in it that is exactly this path.
fn pointer_in(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::String(text) => (text == path).then(String::new),
        Value::Array(list) => {
            list.iter().enumerate().find_map(|(index, value)| Some(format!("/{index}{}", pointer_in(value, path)?)))
        }
        Value::Object(map) => file_pointer(map, path),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
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
    fn check(settings: Value, path: &str, expected: Option<&str>) {
        let Value::Object(settings) = settings else { panic!("settings are a map") };
        assert_eq!(file_pointer(&settings, path).as_deref(), expected);
    }

    #[test]
    fn only_named_files_have_a_pointer() {
        check(json!({ "ca": "ca.pem" }), "ca.pem", Some("/ca"));
        check(json!({ "tls": { "authorities": ["a.pem", "b.pem"] } }), "b.pem", Some("/tls/authorities/1"));
        check(json!({ "ca": "ca.pem" }), "./ca.pem", None);
        check(json!({ "ca": "ca.pem" }), "/etc/passwd", None);
        check(json!({ "ca.pem": true }), "ca.pem", None);
        check(json!({}), "", None);
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
