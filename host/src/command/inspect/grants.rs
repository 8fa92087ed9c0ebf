//! The permissions that a component needs, in the form of the configuration key `allow`.

use sentrynet::printable::escape_json;
use sentrynet::sandbox::{Grant, Import};
use serde_json::{Map, Value, json};

/// A placeholder that the operator replaces with a host. RFC 2606 reserves the domain `.example` for such use.
const EXAMPLE_HOST: &str = "host.example";

/// Returns a value of `allow` with every permission that a component's imports need to work.
pub fn required_permissions(imports: &[Import]) -> Map<String, Value> {
    let mut allow = Map::new();
    let mut needs: Vec<_> = imports.iter().filter_map(|import| import.info.needs).collect();
    needs.sort();
    for need in needs {
        let (key, value) = match need {
            Grant::Hosts => ("hosts", json!([EXAMPLE_HOST])),
            Grant::Ssh { commands, agent, accept_new } => {
                let mut ssh = Map::from_iter([("hosts".to_owned(), json!([EXAMPLE_HOST]))]);
                ssh.extend(commands.then(|| ("commands".to_owned(), json!(true))));
                ssh.extend(agent.then(|| ("agent".to_owned(), json!(true))));
                ssh.extend(accept_new.then(|| ("accept_new".to_owned(), json!(true))));
                ("ssh", Value::Object(ssh))
            }
            Grant::Env => ("env", json!(["NAME"])),
            Grant::Log => ("log", json!(true)),
        };
        allow.insert(key.to_owned(), value);
    }
    allow
}

/// Returns the lines of YAML of a configuration that declares the component under `modules`.
pub fn module_yaml(name: &str, component: &str, sha256: &str, allow: &Map<String, Value>) -> Vec<String> {
    let mut lines = vec![
        "modules:".to_owned(),
        format!("  {}:", scalar(name)),
        format!("    component: {}", scalar(component)),
        format!("    sha256: {sha256}"),
    ];
    if !allow.is_empty() {
        lines.push("    allow:".to_owned());
    }
    lines.extend(allow.iter().map(|(key, value)| format!("      {key}: {}", flow(value))));
    lines
}

/// Returns a value in YAML, in the flow style: on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(list) => format!("[{}]", list.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let items: Vec<_> = map.iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect();
            format!("{{{}}}", items.join(", "))
        }
        other => other.to_string(),
    }
}

/// Returns a text as a YAML scalar, in quotes unless YAML reads it as a string without them. `${` is escaped as `$${`,
/// so that the scalar has no reference. Characters that are not printable are escaped as in JSON, which YAML reads too.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.' || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c))
        && text.contains(|c: char| c.is_ascii_alphabetic())
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n", ".nan", ".inf"]
            .contains(&text.to_ascii_lowercase().as_str());
    if is_plain {
        return text.to_owned();
    }
    escape_json(&Value::from(text.replace("${", "$${")).to_string()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_and_escaped_where_needed() {
        let check = |text: &str, expected: &str| assert_eq!(scalar(text), expected);
        check("redis-ping", "redis-ping");
        check("./probes/mine.wasm", "./probes/mine.wasm");
        check("mine: {}", r#""mine: {}""#);
        check("no", r#""no""#);
        check("1e3", r#""1e3""#);
        check("...", r#""...""#);
        check("a\nb", r#""a\nb""#);
        check("a\u{202e}\u{9b}", r#""a\u202e\u009b""#);
        check("${env:HOME}.wasm", r#""$${env:HOME}.wasm""#);
    }

    #[test]
    fn a_module_is_declared_in_yaml() {
        let allow = Map::from_iter([("ssh".to_owned(), json!({ "hosts": [EXAMPLE_HOST], "commands": true }))]);
        assert_eq!(
            module_yaml("redis", "./redis.wasm", "00ff", &allow).join("\n"),
            "modules:\n  redis:\n    component: ./redis.wasm\n    sha256: 00ff\n    allow:\n      \
             ssh: {hosts: [host.example], commands: true}"
        );
        assert_eq!(module_yaml("a", "b", "c", &Map::new()).len(), 4);
    }
}
