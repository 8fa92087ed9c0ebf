//! Suggestions for keys of a probe that no component knows: the operator may have meant one of the host's own keys, or
//! may know a setting by the name that it has in another program.

use super::diagnostic::{Diagnostic, below, quote_key, unescape};
use super::section::Section;
use crate::schema::closest;

/// Names that other programs have for keys of a probe.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("attempts", "retries"),
    ("cron", "every"),
    ("display_name", "title"),
    ("frequency", "every"),
    ("interval", "every"),
    ("interval_seconds", "every"),
    ("labels", "tags"),
    ("max_retries", "retries"),
    ("monitor", "check_in"),
    ("name", "title"),
    ("period", "every"),
    ("permissions", "allow"),
    ("retry", "retries"),
    ("retry_interval", "retry_delay"),
    ("schedule", "every"),
];

/// Names that other programs have for settings of the built-in probes, and what to write here. A name can stand for a
/// setting of each probe; the first that the probe has is meant.
const OTHER_SETTINGS: &[(&[&str], &str)] = &[
    (&["uri", "endpoint", "address", "target", "host", "hostname", "base_url", "href"], "url"),
    (&["hostname", "address", "target", "server", "url", "ip"], "host"),
    (&["verb", "http_method", "request_method"], "method"),
    (&["params", "parameters", "query_params", "query_string", "search"], "query"),
    (&["data", "json", "payload", "form", "request_body", "post_data", "content"], "body"),
    (&["user", "login", "login_name"], "username"),
    (&["basic_auth", "username", "user", "password", "credentials"], "auth: {basic: {username: …, password: …}}"),
    (&["bearer", "bearer_token", "token", "access_token", "bearer_auth"], "auth: {bearer: …}"),
    (&["oauth", "oauth2", "client_id", "client_secret", "token_url"], OAUTH2),
    (&["authentication", "authorization", "login"], "auth"),
    (&["pass", "passwd"], "password"),
    (&["gzip", "decompress", "accept_encoding"], "compression"),
    (
        &[
            "status",
            "status_code",
            "status_codes",
            "expected_status",
            "expected_status_code",
            "expected_code",
            "expected_codes",
            "expect_status",
            "valid_status_codes",
            "accepted_statuscodes",
            "success_codes",
        ],
        "expected",
    ),
    (&["assert", "asserts", "conditions", "validate", "validations", "matchers", "match", "tests"], "checks"),
    (&["extract", "extractors", "capture", "captures", "variables", "save", "store", "set"], "set_keys"),
    (&["variables", "vars", "keys", "init"], "init_keys"),
    (&["requests", "scenario", "tasks"], "steps"),
    (&["max_size", "body_limit", "max_response_size", "body_size_limit"], "max_body"),
    (&["timeout_seconds", "timeout_ms", "request_timeout", "connect_timeout", "max_time", "deadline"], "timeout"),
    (&["follow_redirects", "follow_redirect", "allow_redirects", "max_redirects", "followlocation"], "redirects"),
    (&["verify", "ssl_verify", "tls_verify", "verify_peer", "check_certificate", "ssl", "tls"], "verify_tls"),
    (
        &[
            "insecure",
            "insecure_skip_verify",
            "ignore_tls",
            "ignore_ssl",
            "ignore_ssl_errors",
            "no_verify",
            "skip_ssl_verify",
            "skip_tls_verify",
            "skip_verify",
            "tls_insecure",
        ],
        "verify_tls: false",
    ),
    (&["cacert", "ca_cert", "ca_file", "ca_bundle", "root_ca"], "ca"),
    (&["cert", "certificate", "client_cert", "client_key", "tls_cert", "tls_key"], "client_certificate"),
    (&["http2", "http_protocol", "protocol"], "http_version"),
    (&["ip_protocol", "ip_family", "preferred_ip_protocol", "ipv4", "ipv6"], "ip_version"),
    (&["resolve", "connect"], "connect_to"),
    (&["dns", "dns_resolver", "resolver", "nameserver"], "dns_server"),
    (&["proxy_url", "http_proxy", "https_proxy"], "proxy"),
    (&["bind", "bind_address", "interface", "local_address", "source_ip", "source_ip_address"], "source_address"),
    (&["key", "key_file", "keyfile", "identity_file", "private_key", "private_key_file", "ssh_key"], "identity"),
    (&["cmd", "exec", "run", "script", "commands"], "command"),
    (&["known_hosts_file", "user_known_hosts_file"], "known_hosts"),
    (&["fingerprint", "host_key_fingerprint", "strict_host_key_checking"], "host_key"),
    (&["ciphers", "kex", "macs", "kex_algorithms"], "algorithms"),
];

const OAUTH2: &str = "auth: {oauth2: {token_url: …, client_id: …, client_secret: …}}";

/// Keys that are written under `auth` of the probe `http`, and what to write there.
const KEYS_OF_AUTH: &[(&[&str], &str)] = &[
    (&["username", "user", "login", "password", "pass"], "auth: {basic: {username: …, password: …}}"),
    (&["token", "access_token", "api_key", "bearer_token", "jwt"], "auth: {bearer: …}"),
    (&["client_id", "client_secret", "token_url", "scope", "audience", "send_in", "oauth"], OAUTH2),
];

/// Keys that are written under `basic` of `auth`.
const KEYS_OF_BASIC: &[(&[&str], &str)] =
    &[(&["user", "login", "name"], "username"), (&["pass", "passwd"], "password")];

/// Returns the message about a key that the schema of a component does not know, given its JSON pointer in the settings
/// and the schema's own message: names what was probably meant, or else lists the keys of every probe too.
pub fn unknown_setting(pointer: &str, message: &str) -> String {
    if message.contains("did you mean") {
        return message.to_owned();
    }
    let path: Vec<_> = pointer.split('/').skip(1).map(unescape).collect();
    let Some((key, parents)) = path.split_last() else { return message.to_owned() };
    let lists = |key: &str| message.contains(&format!("`{key}`"));
    // The probe `ssh` has another setting `auth`.
    let has = |setting: &str| lists(name_of(setting)) && (!setting.starts_with("auth: {") || lists("url"));
    let meant = match parents.last().map(String::as_str) {
        Some("auth") if lists("basic") => find(KEYS_OF_AUTH, key, |_| true),
        Some("basic") => find(KEYS_OF_BASIC, key, has),
        Some(_) => find(OTHER_SETTINGS, key, has),
        None => {
            let of_host = OTHER_NAMES.iter().find(|(other, _)| is_same(other, key)).map(|(_, key)| *key);
            of_host.or_else(|| find(OTHER_SETTINGS, key, has)).or_else(|| closest(key, &Section::PROBE.keys()))
        }
    };
    match meant {
        Some(meant) => {
            let unknown = [", expected one of ", ": no other "].iter().find_map(|list| message.split_once(list));
            format!("{}, did you mean `{meant}`?", unknown.map_or(message, |(unknown, _)| unknown))
        }
        None if parents.is_empty() => {
            format!("{message}; every probe also has `{}`", Section::PROBE.keys().join("`, `"))
        }
        None => message.to_owned(),
    }
}

/// Returns what to write for a key by the name that it has elsewhere, if the probe has such a setting.
fn find(names: &'static [(&[&str], &str)], key: &str, has: impl Fn(&str) -> bool) -> Option<&'static str> {
    let found = names.iter().find(|(others, meant)| others.iter().any(|other| is_same(other, key)) && has(meant));
    found.map(|(_, meant)| *meant)
}

/// Returns true if a key is this name, in upper or lower case, and with `-` or `_`.
fn is_same(name: &str, key: &str) -> bool {
    name.eq_ignore_ascii_case(&key.replace('-', "_"))
}

/// Returns the key of what to write: `auth` of `auth: {bearer: …}`.
fn name_of(setting: &str) -> &str {
    setting.split(':').next().unwrap_or_default()
}

/// Returns the error for a key under `defaults` of a group, at this JSON pointer, that none of the group's components
/// has. `known` are the keys of their settings.
pub fn unknown_group_key<'a>(pointer: &str, key: &str, known: impl Iterator<Item = &'a str>) -> Diagnostic {
    let known: Vec<_> = known.chain(Section::DEFAULTS.keys()).collect();
    let meant = find(OTHER_SETTINGS, key, |setting| known.contains(&name_of(setting)));
    let of_host = OTHER_NAMES.iter().find(|(other, _)| is_same(other, key)).map(|(_, key)| *key);
    let meant = of_host.or(meant).or_else(|| closest(key, &known));
    let rest = meant.map_or(": no probe of this group has it".to_owned(), |meant| format!(", did you mean `{meant}`?"));
    Diagnostic::at_key(below(pointer, key), format!("unknown key {}{rest}", quote_key(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_the_host_is_suggested() {
        let schema = "unknown key `K`, expected one of `url`, `timeout`";
        for (key, meant) in [
            ("interval", "every"),
            ("Name", "title"),
            ("retry_dely", "retry_delay"),
            ("evry", "every"),
            ("cron", "every"),
            ("retry", "retries"),
        ] {
            let message = unknown_setting(&format!("/{key}"), schema);
            assert_eq!(message, format!("unknown key `K`, did you mean `{meant}`?"));
        }
        let all = unknown_setting("/colour", schema);
        assert!(all.starts_with(&format!("{schema}; every probe also has `probe`, `title`, `every`")), "{all}");
        let own = "unknown key `timeot`, did you mean `timeout`?";
        assert_eq!(unknown_setting("/timeot", own), own);
        assert_eq!(unknown_setting("/limits/interval", schema), schema);
    }

    #[test]
    fn settings_of_other_programs_are_suggested_where_the_probe_has_them() {
        let http = "unknown key `K`, expected one of `url`, `auth`, `expected`, `redirects`, `verify_tls`, `timeout`";
        let check = |pointer: &str, schema: &str, meant: Option<&str>| {
            let message = unknown_setting(pointer, schema);
            assert_eq!(message.split_once(", did you mean ").map(|(_, meant)| meant), meant, "{pointer}: {message}");
        };
        check("/insecure", http, Some("`verify_tls: false`?"));
        check("/steps/0/follow-redirects", http, Some("`redirects`?"));
        check("/expected_status", http, Some("`expected`?"));
        check("/token", http, Some("`auth: {bearer: …}`?"));
        check("/Basic_Auth", http, Some("`auth: {basic: {username: …, password: …}}`?"));
        check("/private_key", http, None);
        let ssh = "unknown key `K`, expected one of `host`, `username`, `auth`";
        check("/user", ssh, Some("`username`?"));
        check("/token", ssh, None);
        check("/insecure", "unknown key `insecure`, expected one of `host`, `port`", None);
        let auth = "unknown key `K`, expected one of `basic`, `bearer`, `oauth2`";
        check("/auth/username", auth, Some("`auth: {basic: {username: …, password: …}}`?"));
        check("/steps/3/auth/token", auth, Some("`auth: {bearer: …}`?"));
        check("/auth/client_id", auth, Some(&format!("`{OAUTH2}`?")));
        check("/auth/colour", auth, None);
        check("/auth/basic/user", "unknown key `user`, expected one of `username`, `password`", Some("`username`?"));
    }

    #[test]
    fn a_key_that_no_probe_of_a_group_has_is_compared_with_all_keys() {
        let check = |key: &str, expected: &str| {
            let error = unknown_group_key("/groups/0/defaults", key, ["timeout", "verify_tls"].into_iter());
            assert_eq!(error, Diagnostic::at_key(format!("/groups/0/defaults/{key}"), expected));
        };
        check("timeot", "unknown key `timeot`, did you mean `timeout`?");
        check("interval", "unknown key `interval`, did you mean `every`?");
        check("insecure", "unknown key `insecure`, did you mean `verify_tls: false`?");
        check("colour", "unknown key `colour`: no probe of this group has it");
    }
}
