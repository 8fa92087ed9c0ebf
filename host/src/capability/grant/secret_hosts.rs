//! The destinations of secrets that the host keeps from a component. Pure functions of the configuration.
//!
//! A secret is bound to hosts by the operator: by `allow.secret_hosts`, or else by the settings. Otherwise a component
//! could have it sent to any host that it may reach, and read it there.

use serde_json::{Map, Value};
use url::Host;

use super::allowed_hosts::{Grants, Refusal};
use crate::config::{Destination, Protocol};

/// A setting that is sent as a credential, or that names the file of one.
#[derive(Debug, Clone, Copy)]
pub struct Secret<'a> {
    /// The settings as the component has them: values that it does not get are replaced by their JSON pointers.
    pub settings: &'a Value,
    /// The JSON pointer of the setting.
    pub pointer: &'a str,
}

/// A server that a secret is about to be sent to.
#[derive(Debug, Clone)]
pub struct SecretTarget {
    /// The protocol.
    pub protocol: Protocol,
    /// The name or address by which the server is identified.
    pub host: Host,
    /// The port of the server.
    pub port: u16,
}

impl Grants {
    /// Checks whether a secret may be sent to a server: one that `allow.secret_hosts` lists for it, or if there is no
    /// such list, one that the settings name for it.
    ///
    /// The settings name the hosts under the nearest keys of `HOST_KEYS`: those beside the secret, or else in the
    /// innermost map around it that has such keys. If there are none, the settings name all hosts that occur in them.
    ///
    /// # Errors
    /// A [`Refusal`] that names the entry to add.
    pub fn check_secret(&self, secret: Secret, target: &SecretTarget) -> Result<(), Refusal> {
        let path: Vec<_> = secret.pointer.split('/').skip(1).map(unescape).collect();
        let mut is_listed = false;
        for block in &self.0 {
            for (listed, hosts) in &block.secret_hosts {
                // An entry for a map applies to each secret in the map, and an entry for a value in a map applies to a
                // secret that is the whole map.
                if path.starts_with(listed) || listed.starts_with(&path) {
                    is_listed = true;
                    if !target.is_one_of(hosts) {
                        return Err(refuse(secret, target, &block.declared_by));
                    }
                }
            }
        }
        if is_listed || target.is_one_of(&named_hosts(secret.settings, &path)) {
            return Ok(());
        }
        let declared_by = self.0.first().map_or("this probe", |block| block.declared_by.as_str());
        Err(refuse(secret, target, declared_by))
    }

    /// Checks that a component has chosen no option of a connection that a secret is about to be sent over, such as the
    /// proxy: otherwise it could lead the connection to a server of its own. `chosen` has the names of the options
    /// whose values are not among the probe's settings.
    ///
    /// # Errors
    /// A [`Refusal`] that names the setting to add.
    pub fn check_chosen_options(chosen: &[&str]) -> Result<(), Refusal> {
        match chosen.first() {
            None => Ok(()),
            Some(&"verify_tls") => Err(Refusal::new(
                "a secret is not sent to a server whose certificate is not verified: add `verify_tls: false` \
                 beside the secret, or in a map around it, to the settings of this probe",
            )),
            Some(option) => Err(Refusal::new(&format!(
                "a secret is not sent with a `{option}` that the component chooses: add its value to the settings of \
                 this probe"
            ))),
        }
    }
}

impl SecretTarget {
    fn is_one_of(&self, destinations: &[Destination]) -> bool {
        destinations.iter().any(|destination| destination.matches(self.protocol, &self.host, self.port))
    }

    fn entry(&self) -> String {
        let port =
            if self.protocol.default_port() == Some(self.port) { String::new() } else { format!(":{}", self.port) };
        format!("{}://{}{port}", self.protocol.scheme(), self.host)
    }
}

/// Returns `Ok` if a check holds for at least one of the settings that name the file of a secret, or if there are none.
///
/// # Errors
/// The [`Refusal`] of the first one, if the check holds for none.
pub fn any_of(pointers: &[String], check: impl Fn(&str) -> Result<(), Refusal>) -> Result<(), Refusal> {
    let mut refusals = Vec::new();
    for pointer in pointers {
        match check(pointer) {
            Ok(()) => return Ok(()),
            Err(refusal) => refusals.push(refusal),
        }
    }
    refusals.into_iter().next().map_or(Ok(()), Err)
}

/// Returns true if the settings have `verify_tls: false` for the secret at a JSON pointer: the nearest `verify_tls`
/// beside the secret, or in a map around it, is false.
pub fn allow_unverified_tls(settings: &Value, pointer: &str) -> bool {
    let path: Vec<_> = pointer.split('/').skip(1).map(unescape).collect();
    let maps = maps_around(settings, &path);
    maps.into_iter().rev().find_map(|map| map.get("verify_tls")) == Some(&Value::Bool(false))
}

/// The keys whose values name the host that a secret beside them is for.
const HOST_KEYS: [&str; 8] = ["url", "base_url", "uri", "endpoint", "host", "hostname", "server", "address"];

/// Returns the hosts that settings name for the secret at a path.
fn named_hosts(settings: &Value, path: &[String]) -> Vec<Destination> {
    for map in maps_around(settings, path).into_iter().rev() {
        let mut hosts = Vec::new();
        let values = HOST_KEYS.iter().filter_map(|key| map.get(*key));
        values.for_each(|value| add_hosts_in(value, port_in(map), &mut hosts));
        if !hosts.is_empty() {
            return hosts;
        }
    }
    let mut hosts = Vec::new();
    add_hosts_in(settings, None, &mut hosts);
    hosts
}

/// Returns the maps on the way to the value at a path, outermost first.
fn maps_around<'a>(settings: &'a Value, path: &[String]) -> Vec<&'a Map<String, Value>> {
    let mut maps = Vec::new();
    let mut value = Some(settings);
    for key in path {
        maps.extend(value.and_then(Value::as_object));
        value = value.and_then(|value| child(value, key));
    }
    maps
}

/// Returns the value under a key of a map, or at an index of a list.
fn child<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Array(list) => list.get(key.parse::<usize>().ok()?),
        value => value.get(key),
    }
}

/// Adds the hosts that the texts in a value name. `port` is the port beside the value, if any.
fn add_hosts_in(value: &Value, port: Option<u16>, hosts: &mut Vec<Destination>) {
    match value {
        Value::String(text) => hosts.extend(Destination::named_by(text, port)),
        Value::Array(list) => list.iter().for_each(|value| add_hosts_in(value, port, hosts)),
        Value::Object(map) => map.values().for_each(|value| add_hosts_in(value, port_in(map), hosts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Returns the port under the key `port`.
fn port_in(map: &Map<String, Value>) -> Option<u16> {
    map.get("port")?.as_u64().and_then(|port| u16::try_from(port).ok())
}

fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

fn refuse(secret: Secret, target: &SecretTarget, declared_by: &str) -> Refusal {
    let (pointer, entry) = (secret.pointer.escape_debug(), target.entry());
    Refusal::new(&format!(
        "sending the secret setting `{pointer}` to `{entry}` is not allowed: add `{pointer}: [\"{entry}\"]` to \
         `allow.secret_hosts` of {declared_by}"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use url::Url;

    use super::*;
    use crate::config::Allow;

    fn target(url: &str) -> SecretTarget {
        let parsed: Url = url.replacen("ssh:", "http:", 1).parse().expect("the test's URL is valid");
        let protocol = match url.split(':').next() {
            Some("https") => Protocol::Https,
            Some("ssh") => Protocol::Ssh,
            _ => Protocol::Http,
        };
        let port = parsed.port_or_known_default().expect("a URL has a port");
        SecretTarget { protocol, host: parsed.host().expect("a URL has a host").to_owned(), port }
    }

    fn block(entries: &[(&[&str], &[&str])]) -> Allow {
        let entry = |(path, hosts): &(&[&str], &[&str])| {
            let hosts = hosts.iter().map(|host| Destination::read(host).unwrap()).collect();
            (path.iter().map(|key| (*key).to_owned()).collect(), hosts)
        };
        let secret_hosts = entries.iter().map(entry).collect();
        Allow { declared_by: "this probe".to_owned(), secret_hosts, ..Allow::default() }
    }

    #[track_caller]
    fn check(blocks: &[Allow], settings: &Value, pointer: &str, urls: &[(&str, bool)]) {
        let grants = Grants::new(blocks.to_vec());
        for (url, expected) in urls {
            let result = grants.check_secret(Secret { settings, pointer }, &target(url));
            assert_eq!(result.is_ok(), *expected, "{pointer} to {url}: {result:?}");
        }
    }

    #[test]
    fn a_secret_goes_to_the_host_beside_it() {
        let flat = json!({ "url": "https://shop.example/a", "other": "https://evil.example/", "token": "/token" });
        let urls = [
            ("https://shop.example/b", true),
            ("https://evil.example/", false),
            ("http://shop.example/", false),
            ("https://shop.example:8443/", false),
            ("ssh://shop.example/", false),
        ];
        check(&[], &flat, "/token", &urls);
        // A pointer into the value is the same secret.
        check(&[], &flat, "/token/bearer", &urls);
        let steps = json!({
            "base": "https://base.example/",
            "steps": [
                { "url": "https://a.example/", "auth": "/steps/0/auth" },
                { "url": "https://b.example/", "auth": "/steps/1/auth" },
                { "url": "{base}/c", "auth": "/steps/2/auth" },
            ],
        });
        check(&[], &steps, "/steps/0/auth", &[("https://a.example/", true), ("https://b.example/", false)]);
        check(&[], &steps, "/steps/1/auth", &[("https://a.example/", false), ("https://b.example/", true)]);
        check(&[], &steps, "/steps/2/auth", &[("https://base.example/", true), ("https://evil.example/", false)]);
        let outer =
            json!({ "host": "db.example", "port": 2222, "login": { "user": "ada", "password": "/login/password" } });
        let urls = [("ssh://db.example:2222", true), ("ssh://db.example:2223", false), ("ssh://ada:2222", false)];
        check(&[], &outer, "/login/password", &urls);
        check(&[], &json!({ "token": "/token" }), "/token", &[("https://token/", false), ("http://localhost/", false)]);
    }

    #[test]
    fn entries_replace_the_hosts_of_the_settings() {
        let settings = json!({ "url": "https://shop.example/", "auth": "/auth", "token": "/token" });
        let blocks = [block(&[(&["auth"], &["https://id.example"])])];
        let urls = [("https://id.example/", true), ("https://shop.example/", false)];
        check(&blocks, &settings, "/auth", &urls);
        check(&blocks, &settings, "/auth/bearer", &urls);
        check(&blocks, &settings, "/token", &[("https://id.example/", false), ("https://shop.example/", true)]);
        check(&[block(&[(&["auth", "bearer"], &["https://id.example"])])], &settings, "/auth", &urls);
        // An inner block narrows an outer one.
        let narrowed = [block(&[(&["auth"], &["*"])]), block(&[(&["auth"], &["https://id.example"])])];
        check(&narrowed, &settings, "/auth", &urls);
    }

    #[test]
    fn a_refusal_names_the_entry_to_add() {
        let settings = json!({ "url": "https://shop.example/", "auth": "/auth" });
        let secret = Secret { settings: &settings, pointer: "/auth" };
        let refusal = Grants::new(vec![block(&[])]).check_secret(secret, &target("http://[::1]:81/"));
        assert_eq!(
            refusal.unwrap_err().to_string(),
            "sending the secret setting `/auth` to `http://[::1]:81` is not allowed: add `/auth: [\"http://[::1]:81\"]` to \
             `allow.secret_hosts` of this probe"
        );
    }

    #[test]
    fn secrets_are_not_sent_with_options_that_the_component_chooses() {
        assert!(Grants::check_chosen_options(&[]).is_ok());
        for option in ["proxy", "connect_to", "dns_server", "host_key", "verify_tls"] {
            let refusal = Grants::check_chosen_options(&[option]).unwrap_err().to_string();
            assert!(refusal.contains(option) && refusal.ends_with("settings of this probe"), "{refusal}");
        }
    }

    #[test]
    fn unverified_tls_counts_for_the_secrets_below_it() {
        let steps = json!({ "steps": [
            { "verify_tls": false, "auth": "/steps/0/auth" },
            { "auth": "/steps/1/auth", "text": "verify_tls: false" },
        ], "token": "/token" });
        let check = |settings: &Value, pointer: &str, expected: bool| {
            assert_eq!(allow_unverified_tls(settings, pointer), expected, "{pointer}");
        };
        check(&steps, "/steps/0/auth", true);
        check(&steps, "/steps/0/auth/bearer", true);
        check(&steps, "/steps/1/auth", false);
        check(&steps, "/token", false);
        let outer =
            json!({ "verify_tls": false, "login": { "auth": "/login/auth", "verify_tls": true }, "token": "/token" });
        check(&outer, "/login/auth", false);
        check(&outer, "/token", true);
    }
}
