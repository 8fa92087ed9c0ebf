//! A configuration of an earlier version that uses every key, and the list of all keys.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use super::expected::{compare, folder};
use crate::guests::PASSES;
use crate::support::certificates::Certificates;
use crate::support::sshd::generate_key;
use crate::support::{run_command, sentrynet};

/// Writes the configuration to a folder, with the files that it names. Returns its path.
fn write_configuration() -> PathBuf {
    let home = crate::support::empty_folder("compatibility-configuration");
    let write = |name: &str, text: &[u8]| std::fs::write(home.join(name), text).expect("the folder is writable");
    let restrict = |name: &str| {
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(home.join(name), mode).expect("the file was written before");
    };
    let certificates = Certificates::new(&home);
    certificates.certify("good", &["shop.example"], 2100);
    let read = |name: &str| std::fs::read(home.join(name)).expect("the certificate was just written");
    write("both.pem", &[read("good.pem"), read("good.key")].concat());
    write("known_hosts", b"");
    restrict("good.key");
    restrict("both.pem");
    generate_key(&home, "id_ed25519", &["-t", "ed25519"], "open sesame");
    let guest = std::fs::read(PASSES.write("compatibility-configured")).expect("the component was just written");
    write("guest.wasm", &guest);
    let digest = ring::digest::digest(&ring::digest::SHA256, &guest);
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let text = std::fs::read_to_string(folder().join("written/configuration.yaml")).expect("the file can be read");
    write("configuration.yaml", text.replace("SHA256_OF_GUEST", &digest).as_bytes());
    restrict("configuration.yaml");
    home.join("configuration.yaml")
}

#[test]
fn a_configuration_with_every_key_is_read() {
    let ended = run_command(
        sentrynet().env("SHOP_REGION", "europe").env("SENTRYNET_LOG", "error").arg("check").arg(write_configuration()),
        "",
    );
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

/// Returns the paths of all values that a schema allows, from the root: `groups[].probes[].url`. `*` stands for any
/// key.
fn key_paths(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect_key_paths(schema, schema, "", &mut Vec::new(), &mut found);
    found
}

fn collect_key_paths<'a>(
    root: &'a Value,
    schema: &'a Value,
    path: &str,
    within: &mut Vec<&'a str>,
    found: &mut BTreeSet<String>,
) {
    let Some(schema) = schema.as_object() else { return };
    for (keyword, value) in schema {
        match (keyword.as_str(), value) {
            // A predicate may contain predicates, to any depth: a reference within itself is not followed.
            ("$ref", Value::String(reference)) if within.contains(&reference.as_str()) => {}
            ("$ref", Value::String(reference)) => {
                let target = root.pointer(reference.trim_start_matches('#')).expect("a `$ref` has a target");
                within.push(reference);
                collect_key_paths(root, target, path, within, found);
                within.pop();
            }
            ("properties" | "patternProperties", Value::Object(properties)) => {
                for (key, value) in properties {
                    let path = below(path, key);
                    collect_key_paths(root, value, &path, within, found);
                    found.insert(without_nesting(&path));
                }
            }
            ("additionalProperties", value) => collect_key_paths(root, value, &format!("{path}.*"), within, found),
            ("items", value) => collect_key_paths(root, value, &format!("{path}[]"), within, found),
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                for schema in schemas {
                    collect_key_paths(root, schema, path, within, found);
                }
            }
            ("then" | "else", value) => collect_key_paths(root, value, path, within, found),
            _ => {}
        }
    }
}

/// Returns the path with `*` for the name of a check, and without the operators within an operator: each check may have
/// each operator, and operators may contain others.
fn without_nesting(path: &str) -> String {
    let mut parts: Vec<_> = path.split('.').collect();
    if let Some(checks) = parts.iter().position(|part| matches!(*part, "checks" | "assertions"))
        && let Some([name, operator, ..]) = parts.get_mut(checks + 1..)
    {
        *name = "*";
        *operator = operator.trim_end_matches("[]");
        parts.truncate(checks + 3);
    }
    parts.join(".")
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Collects the paths of all values in a document, in the same notation.
fn collect_used_paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = below(path, key);
                collect_used_paths(value, &path, found);
                found.insert(path);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_used_paths(value, &format!("{path}[]"), found)),
        _ => {}
    }
}

#[test]
fn keys_are_unchanged_and_the_configuration_uses_all() {
    let ended = run_command(sentrynet().arg("schema"), "");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let paths = key_paths(&serde_json::from_str(&ended.stdout).expect("a schema is JSON"));
    compare("configuration-keys.txt", &paths.iter().map(|path| format!("{path}\n")).collect::<String>());

    let text = std::fs::read_to_string(folder().join("written/configuration.yaml")).expect("the file can be read");
    let mut used = BTreeSet::new();
    collect_used_paths(&serde_yaml::from_str(&text).expect("the file is YAML"), "", &mut used);
    let missing: Vec<_> = paths.iter().filter(|path| !used.iter().any(|used| is_use_of(used, path))).collect();
    assert!(missing.is_empty(), "not in tests/compatibility/written/configuration.yaml: {missing:#?}");
}

/// Returns true if the path in a document matches the path in a schema.
fn is_use_of(used: &str, path: &str) -> bool {
    // A step of a chain has the keys of an http probe.
    let (used, path) = (used.replace(".steps[]", ""), path.replace(".steps[]", ""));
    // `defaults` of a group has the keys of its probes.
    let (used, path) = (used.replace("[].defaults.", "[].probes[]."), path.replace("[].defaults.", "[].probes[]."));
    // A pattern stands for keys such as `header x` and JSONPaths. It counts as used if any key of its map is used.
    if let Some((map, _)) = path.split_once(".^") {
        return used.starts_with(map);
    }
    let (used, path): (Vec<_>, Vec<_>) = (used.split('.').collect(), path.split('.').collect());
    let is_same = |(used, key): (&&str, &&str)| key == used || *key == "*" || *key == "*[]" && used.ends_with("[]");
    used.len() == path.len() && used.iter().zip(&path).all(is_same)
}
