//! Warns of hosts that the settings of a probe name, and that no `allow` lets it connect to: its runs would break
//! there.

use serde_json::{Map, Value};
use url::{Host, Url};

use crate::capability::grant::{Grants, List};
use crate::config::{Allow, parse_host_and_port};
use crate::sandbox::imports::{Grant, ImportInfo, import_info};
use crate::sandbox::problem::Problem;
use crate::schema::child_pointer;

/// The greatest number of warnings about one probe.
const MAX_WARNINGS: usize = 10;

/// The keys whose values name a host, and the port that they lack may stand beside them.
const HOST_KEYS: [&str; 4] = ["host", "hostname", "server", "address"];

/// The ports of URLs without a port, for schemes that the crate `url` does not know.
const DEFAULT_PORTS: [(&str, u16); 12] = [
    ("amqp", 5672),
    ("amqps", 5671),
    ("ldap", 389),
    ("ldaps", 636),
    ("mongodb", 27017),
    ("mysql", 3306),
    ("postgres", 5432),
    ("postgresql", 5432),
    ("redis", 6379),
    ("rediss", 6379),
    ("smtp", 25),
    ("ssh", 22),
];

/// Returns a warning for each host that the settings name with its port, and that the component may not connect to.
/// `imports` are those of the component: without one that connects, there are no warnings.
pub fn warnings(imports: &[(String, Vec<String>)], allow: &[Allow], settings: &Map<String, Value>) -> Vec<Problem> {
    let needs = |is_needed: fn(Grant) -> bool| {
        let info = imports.iter().filter_map(|(interface, functions)| import_info(interface, functions));
        info.filter_map(|ImportInfo { needs, .. }| needs).any(is_needed)
    };
    let (by_http, by_ssh) = (needs(|grant| grant == Grant::Hosts), needs(|grant| matches!(grant, Grant::Ssh { .. })));
    if allow.is_empty() || !by_http && !by_ssh {
        return Vec::new();
    }
    let search = Search { grants: Grants::new(allow.to_vec()), by_http, by_ssh };
    let mut found = Vec::new();
    search.map(settings, "", &mut found);
    found.truncate(MAX_WARNINGS);
    found
}

struct Search {
    grants: Grants,
    /// The component can connect to hosts of `allow.hosts`.
    by_http: bool,
    /// The component can connect to hosts of `allow.ssh.hosts`.
    by_ssh: bool,
}

impl Search {
    fn map(&self, map: &Map<String, Value>, pointer: &str, found: &mut Vec<Problem>) {
        let port = map.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        for (key, value) in map {
            let pointer = child_pointer(pointer, key);
            match value {
                Value::String(text) if HOST_KEYS.contains(&key.as_str()) && !text.contains("://") => {
                    let named = parse_host_and_port(text.trim()).filter(|_| !text.contains('{'));
                    if let Some((host, Some(port))) = named.map(|(host, own)| (host, own.or(port))) {
                        let list = if self.by_http { List::Hosts } else { List::Ssh };
                        self.host(list, &host, port, &pointer, found);
                    }
                }
                value => self.value(value, &pointer, found),
            }
        }
    }

    fn value(&self, value: &Value, pointer: &str, found: &mut Vec<Problem>) {
        match value {
            Value::String(text) => self.text(text, pointer, found),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, &format!("{pointer}/{index}"), found);
                }
            }
            Value::Object(map) => self.map(map, pointer, found),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Adds a warning if a text is a URL whose host is not allowed. The host of a template is filled in during the run.
    fn text(&self, text: &str, pointer: &str, found: &mut Vec<Problem>) {
        let is_url = text.contains("://") && !text.contains(['{', ' ']);
        let Some(url) = is_url.then(|| Url::parse(text.trim()).ok()).flatten() else { return };
        let of_scheme = || DEFAULT_PORTS.iter().find(|(scheme, _)| *scheme == url.scheme()).map(|(_, port)| *port);
        // The crate leaves an address in the URL of another scheme as it is written.
        let host = url.host().and_then(|host| Host::parse(&host.to_string()).ok());
        let (Some(host), Some(port)) = (host, url.port_or_known_default().or_else(of_scheme)) else { return };
        let list = if url.scheme() == "ssh" { List::Ssh } else { List::Hosts };
        self.host(list, &host, port, pointer, found);
    }

    fn host(&self, list: List, host: &Host, port: u16, pointer: &str, found: &mut Vec<Problem>) {
        let can_connect = if list == List::Ssh { self.by_ssh } else { self.by_http };
        if let (true, Err(refusal)) = (can_connect, self.grants.check_host(list, host, port)) {
            let message = format!("the component may not connect to this host: {refusal}");
            found.push(Problem { pointer: pointer.to_owned(), message });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::AllowedHost;

    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "one-line cases")]
    fn check(import: &str, hosts: &[&str], settings: Value, expected: &[(&str, &str)]) {
        let imports = [(format!("sentrynet:probe/{import}@0.1.0"), Vec::new())];
        let hosts = hosts.iter().map(|host| AllowedHost::read(host).expect("the test's host is valid")).collect();
        let block = Allow { declared_by: "the module `m`".to_owned(), hosts: Some(hosts), ..Allow::default() };
        let found = warnings(&imports, &[block.or_deny()], settings.as_object().expect("settings are a map"));
        let expected: Vec<_> = expected
            .iter()
            .map(|(pointer, entry)| {
                let key = if import == "ssh" { "allow.ssh.hosts" } else { "allow.hosts" };
                let why = format!("`{entry}` is not allowed: add `{entry}` to `{key}` of the module `m`");
                ((*pointer).to_owned(), format!("the component may not connect to this host: {why}"))
            })
            .collect();
        let found: Vec<_> = found.into_iter().map(|problem| (problem.pointer, problem.message)).collect();
        assert_eq!(found, expected, "{settings}");
    }

    #[test]
    fn hosts_that_are_not_allowed_are_warned_of() {
        let url = json!({ "url": "https://shop.example/a" });
        check("http", &["shop.example"], url.clone(), &[]);
        check("http", &["*"], url.clone(), &[]);
        check("http", &["*.shop.example"], url.clone(), &[("/url", "shop.example:443")]);
        check("http", &[], url.clone(), &[("/url", "shop.example:443")]);
        check("http", &["shop.example:80"], url.clone(), &[("/url", "shop.example:443")]);
        check("log", &[], url, &[]);
        let nested = json!({ "a": [{ "b/c": "redis://cache.example/0" }], "host": "db.example", "port": 5432 });
        check("http", &["a.example"], nested, &[("/a/0/b~1c", "cache.example:6379"), ("/host", "db.example:5432")]);
        check("ssh", &[], json!({ "server": "h.example:22" }), &[("/server", "h.example:22")]);
    }

    #[test]
    fn texts_that_name_no_host_are_not() {
        let settings =
            json!({ "url": "https://{host}/", "a": "see https://h.example/", "host": "h", "b": "x://", "c": 1 });
        check("http", &[], settings, &[]);
        check("http", &["127.0.0.0/8"], json!({ "url": "http://127.0.0.1:80/", "u": "http://localhost:80/" }), &[]);
    }
}
