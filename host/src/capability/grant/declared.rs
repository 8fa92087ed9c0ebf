//! What a probe has been given by its own settings: files that they name, and hosts that are told of the trace. Pure.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value};
use url::Url;

use crate::config::{TraceHeaders, TraceHost};

/// Where a probe's settings name a file, letter by letter, as a JSON pointer: it may have the host read that.
pub fn named_at<'a>(settings: impl IntoIterator<Item = (&'a String, &'a Value)>, path: &str) -> Option<String> {
    settings.into_iter().find_map(|(key, value)| Some(format!("/{}{}", escape(key), named_in(value, path)?)))
}

/// The hosts that may be told of a run's trace: those that the operator names, in the probe's settings or beside them.
pub fn told(settings: &Map<String, Value>, headers: &TraceHeaders) -> Arc<[TraceHost]> {
    let mut hosts: HashSet<_> = headers.hosts.iter().cloned().collect();
    settings.values().for_each(|value| hosts_in(value, &mut hosts));
    hosts.into_iter().collect()
}

/// Whether a request may tell its target of the trace. Where an answer leads by a redirect or a link, or a guest goes by
/// itself, nobody has chosen to tell.
///
/// It is asked of name and port, not of origins as for credentials: a site that sends us on from http to https is still
/// the one that was named, while another port can be anybody's.
pub fn may_tell(told: &[TraceHost], url: &Url) -> bool {
    told.iter().any(|host| host.matches(url))
}

fn hosts_in(value: &Value, hosts: &mut HashSet<TraceHost>) {
    match value {
        Value::String(text) => hosts.extend(TraceHost::named_by(text)),
        Value::Array(list) => list.iter().for_each(|value| hosts_in(value, hosts)),
        Value::Object(map) => map.values().for_each(|value| hosts_in(value, hosts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
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

    /// Whether a probe with these settings, and these hosts beside them, may tell whoever it asks at each of the URLs.
    #[track_caller]
    fn tells(settings: Value, beside: &[&str], urls: &[(&str, bool)]) {
        let Value::Object(settings) = settings else { panic!("settings are a map") };
        let hosts = beside.iter().map(|host| TraceHost::read(host).unwrap()).collect();
        let told = told(&settings, &TraceHeaders { hosts, ..TraceHeaders::default() });
        for (url, expected) in urls {
            assert_eq!(may_tell(&told, &url.parse().unwrap()), *expected, "{url}");
        }
    }

    #[test]
    fn only_named_hosts_are_told() {
        let http =
            json!({ "url": "https://shop.example/status", "expected": 200, "headers": { "accept": "text/html" } });
        tells(
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
        tells(
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
    fn hosts_beside_the_settings_are_told() {
        tells(
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
