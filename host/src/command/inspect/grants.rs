//! What a component would need granted, as the key `allow` has it.

use sentrynet::sandbox::{Grant, Import};
use serde_json::{Map, Value, json};

/// Where the operator is to write a host of theirs: nobody's, by RFC 2606.
const HOST: &str = "host.example";

/// All that the component's imports work only with.
pub fn needed(imports: &[Import]) -> Map<String, Value> {
    let mut allow = Map::new();
    let mut needs: Vec<_> = imports.iter().filter_map(|import| import.info.needs).collect();
    needs.sort();
    for need in needs {
        let (key, value) = match need {
            Grant::Hosts => ("hosts", json!([HOST])),
            Grant::Ssh { commands, agent } => {
                let mut ssh = Map::from_iter([("hosts".to_owned(), json!([HOST]))]);
                ssh.extend(commands.then(|| ("commands".to_owned(), json!(true))));
                ssh.extend(agent.then(|| ("agent".to_owned(), json!(true))));
                ("ssh", Value::Object(ssh))
            }
            Grant::Env => ("env", json!(["NAME"])),
            Grant::Log => ("log", json!(true)),
        };
        allow.insert(key.to_owned(), value);
    }
    allow
}

/// A configuration's lines that declare the component, to be pasted at the beginning of a line.
pub fn yaml(name: &str, component: &str, sha256: &str, allow: &Map<String, Value>) -> String {
    let mut yaml =
        format!("modules:\n  {}:\n    component: {}\n    sha256: {sha256}\n", scalar(name), scalar(component));
    if !allow.is_empty() {
        yaml += "    allow:\n";
    }
    for (key, value) in allow {
        yaml += &format!("      {key}: {}\n", flow(value));
    }
    yaml
}

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

/// A text as YAML has it: in quotes unless it can be nothing else, and with nothing in it that is a reference.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.' || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c))
        && text.contains(|c: char| c.is_ascii_alphabetic())
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n", ".nan", ".inf"]
            .contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { Value::from(text.replace("${", "$${")).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_what_they_are() {
        let check = |text: &str, expected: &str| assert_eq!(scalar(text), expected);
        check("redis-ping", "redis-ping");
        check("./probes/mine.wasm", "./probes/mine.wasm");
        check("mine: {}", r#""mine: {}""#);
        check("no", r#""no""#);
        check("1e3", r#""1e3""#);
        check("...", r#""...""#);
        check("a\nb", r#""a\nb""#);
        check("${env:HOME}.wasm", r#""$${env:HOME}.wasm""#);
    }

    #[test]
    fn what_is_pasted_is_a_module() {
        let allow = Map::from_iter([("ssh".to_owned(), json!({ "hosts": [HOST], "commands": true }))]);
        assert_eq!(
            yaml("redis", "./redis.wasm", "00ff", &allow),
            "modules:\n  redis:\n    component: ./redis.wasm\n    sha256: 00ff\n    allow:\n      \
             ssh: {hosts: [host.example], commands: true}\n"
        );
        assert_eq!(yaml("a", "b", "c", &Map::new()).lines().count(), 4);
    }
}
