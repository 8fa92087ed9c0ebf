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
fn configuration() -> PathBuf {
    let place = crate::support::empty_folder("compatibility-configuration");
    let write = |name: &str, text: &[u8]| std::fs::write(place.join(name), text).expect("the folder is writable");
    let hide = |name: &str| {
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(place.join(name), mode).expect("the file is there");
    };
    let certificates = Certificates::new(&place);
    certificates.certify("good", &["shop.example"], 2100);
    let read = |name: &str| std::fs::read(place.join(name)).expect("it was just written");
    write("both.pem", &[read("good.pem"), read("good.key")].concat());
    write("known_hosts", b"");
    hide("good.key");
    hide("both.pem");
    generate_key(&place, "id_ed25519", &["-t", "ed25519"], "open sesame");
    let guest = std::fs::read(PASSES.write("compatibility-configured")).expect("it was just written");
    write("guest.wasm", &guest);
    let digest = ring::digest::digest(&ring::digest::SHA256, &guest);
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let text = std::fs::read_to_string(folder().join("written/configuration.yaml")).expect("the file can be read");
    write("configuration.yaml", text.replace("SHA256_OF_GUEST", &digest).as_bytes());
    hide("configuration.yaml");
    place.join("configuration.yaml")
}

#[test]
fn a_configuration_with_every_key_is_read() {
    let ended = run_command(
        sentrynet().env("SHOP_REGION", "europe").env("SENTRYNET_LOG", "error").arg("check").arg(configuration()),
        "",
    );
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

/// Returns the paths of all values that a schema allows, from the root: `groups[].probes[].url`. `*` stands for any
/// key.
fn places(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(schema, schema, "", &mut Vec::new(), &mut found);
    found
}

fn walk<'a>(root: &'a Value, schema: &'a Value, place: &str, within: &mut Vec<&'a str>, found: &mut BTreeSet<String>) {
    let Some(schema) = schema.as_object() else { return };
    for (keyword, value) in schema {
        match (keyword.as_str(), value) {
            // A predicate may contain predicates, to any depth: a reference within itself is not followed.
            ("$ref", Value::String(reference)) if within.contains(&reference.as_str()) => {}
            ("$ref", Value::String(reference)) => {
                let target = root.pointer(reference.trim_start_matches('#')).expect("a reference leads somewhere");
                within.push(reference);
                walk(root, target, place, within, found);
                within.pop();
            }
            ("properties" | "patternProperties", Value::Object(properties)) => {
                for (key, value) in properties {
                    let place = below(place, key);
                    walk(root, value, &place, within, found);
                    found.insert(without_nesting(&place));
                }
            }
            ("additionalProperties", value) => walk(root, value, &format!("{place}.*"), within, found),
            ("items", value) => walk(root, value, &format!("{place}[]"), within, found),
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                for schema in schemas {
                    walk(root, schema, place, within, found);
                }
            }
            ("then" | "else", value) => walk(root, value, place, within, found),
            _ => {}
        }
    }
}

/// Returns the path with `*` for the name of a check, and without the operators within an operator: each check may have
/// each operator, and operators may contain others.
fn without_nesting(place: &str) -> String {
    let mut parts: Vec<_> = place.split('.').collect();
    if let Some(checks) = parts.iter().position(|part| matches!(*part, "checks" | "assertions"))
        && let Some([name, operator, ..]) = parts.get_mut(checks + 1..)
    {
        *name = "*";
        *operator = operator.trim_end_matches("[]");
        parts.truncate(checks + 3);
    }
    parts.join(".")
}

fn below(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}

/// Collects the paths of all values in a document, in the same notation.
fn used(value: &Value, place: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let place = below(place, key);
                used(value, &place, found);
                found.insert(place);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| used(value, &format!("{place}[]"), found)),
        _ => {}
    }
}

#[test]
fn keys_are_unchanged_and_the_configuration_uses_each() {
    let ended = run_command(sentrynet().arg("schema"), "");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let places = places(&serde_json::from_str(&ended.stdout).expect("a schema is JSON"));
    compare("configuration-keys.txt", &places.iter().map(|place| format!("{place}\n")).collect::<String>());

    let text = std::fs::read_to_string(folder().join("written/configuration.yaml")).expect("the file can be read");
    let mut given = BTreeSet::new();
    used(&serde_yaml::from_str(&text).expect("it is YAML"), "", &mut given);
    let missing: Vec<_> = places.iter().filter(|place| !given.iter().any(|given| is(given, place))).collect();
    assert!(missing.is_empty(), "not in tests/compatibility/written/configuration.yaml: {missing:#?}");
}

/// Returns true if the path in a document matches the path in a schema.
fn is(given: &str, place: &str) -> bool {
    // A step of a chain has the keys of an http probe.
    let (given, place) = (given.replace(".steps[]", ""), place.replace(".steps[]", ""));
    // A pattern stands for keys such as `header x` and JSONPaths. It counts as used if any key of its map is used.
    if let Some((map, _)) = place.split_once(".^") {
        return given.starts_with(map);
    }
    let (given, place): (Vec<_>, Vec<_>) = (given.split('.').collect(), place.split('.').collect());
    let same = |(given, key): (&&str, &&str)| key == given || *key == "*" || *key == "*[]" && given.ends_with("[]");
    given.len() == place.len() && given.iter().zip(&place).all(same)
}
