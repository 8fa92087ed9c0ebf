//! Compares `host.json` with the decoder, key by key, and checks the files of `tests/config` against it.

use std::path::{Path, PathBuf};

use super::super::section::Section;
use super::super::{parse, yaml_to_json};
use super::*;
use crate::config::diagnostic::{Diagnostic, Diagnostics, escape};
use crate::schema::Schema;

/// Returns the schema of configurations with built-in probes that accept any settings.
fn whole() -> Value {
    let component = |(module, names): (&str, Vec<String>)| ComponentSchema {
        names,
        key: module.to_owned(),
        summary: "s".to_owned(),
        schema: json!({}),
        module: None,
        given_keys: Vec::new(),
    };
    schema(&built_ins().map(component).collect::<Vec<_>>()).unwrap()
}

fn source(text: &str) -> Source {
    Source::from_text("test", text)
}

/// Returns the values of a file, with references not replaced; `None` if it is no YAML.
fn values(text: &str) -> Option<Value> {
    let mut errors = Diagnostics::default();
    let value = yaml_to_json::value(&folder::parse(&source(text), &mut errors)?, &mut errors);
    errors.into_vec().is_empty().then_some(value)
}

/// Returns JSON pointers to all maps of the host's schema that declare keys.
fn declared_sections(schema: &Value, pointer: &str, found: &mut Vec<String>) {
    for (key, part) in schema.as_object().into_iter().flatten() {
        let below = format!("{pointer}/{}", escape(key));
        if key == "properties" {
            found.push(below.clone());
        }
        declared_sections(part, &below, found);
    }
    for (index, part) in schema.as_array().into_iter().flatten().enumerate() {
        declared_sections(part, &format!("{pointer}/{index}"), found);
    }
}

#[test]
fn every_section_of_the_schema_is_known() {
    let mut declared = Vec::new();
    declared_sections(&HOST_SCHEMA, "", &mut declared);
    let mut known: Vec<_> = Section::ALL.iter().map(|section| section.pointer()).collect();
    declared.sort();
    known.sort();
    assert_eq!(declared, known, "left: host.json, right: Section::ALL in config/section.rs");
}

#[test]
fn every_key_has_a_description() {
    for section in Section::ALL {
        for key in section.keys() {
            let described = section.description(key).is_some();
            assert!(described, "host.json has no `description` of `{key}` at {}", section.pointer());
        }
    }
}

/// Returns a configuration with one key of a section, and without any other error.
fn with_key(section: Section, key: &str, value: &str) -> String {
    let entry = format!("{key}: {value}");
    let with =
        |other: &str| if other.starts_with(&format!("{key}:")) { entry.clone() } else { format!("{other}, {entry}") };
    let probe = |keys: &str| format!("groups: [{{probes: [{{probe: http, title: t, {keys}}}]}}]");
    match section {
        Section::ROOT => entry,
        Section::SENTRY => format!("sentry: {{{entry}}}"),
        Section::HOST_LIMITS => format!("limits: {{{entry}}}"),
        Section::CHECK_IN => format!("sentry: {{check_in: {{{entry}}}}}"),
        Section::GROUP => format!("groups: [{{{entry}}}]"),
        Section::PROBE if key == "probe" => format!("groups: [{{probes: [{{title: t, {entry}}}]}}]"),
        Section::PROBE if key == "title" => format!("groups: [{{probes: [{{probe: http, {entry}}}]}}]"),
        Section::PROBE => probe(&entry),
        Section::DEFAULTS => format!("groups: [{{defaults: {{{entry}}}, probes: [{{probe: http, title: t}}]}}]"),
        Section::ALLOW => probe(&format!("allow: {{{entry}}}")),
        // The decoder checks only that the file exists.
        Section::MODULE => format!("modules: {{m: {{{}}}}}", with("component: Cargo.toml")),
        Section::RUN_LIMITS => probe(&format!("limits: {{{entry}}}")),
        Section::SAMPLE => format!("sentry: {{sample: {{{entry}}}}}"),
        Section::SPOOL => format!("sentry: {{spool: {{{entry}}}}}"),
        Section::TRACE_HEADERS => format!("sentry: {{trace_headers: {{{entry}}}}}"),
        Section::ALLOW_SSH => probe(&format!("allow: {{ssh: {{{entry}}}}}")),
        _ => panic!("this test has no configuration for the section {section:?}: add one here"),
    }
}

#[test]
fn every_declared_key_is_decoded() {
    let mut missing = Vec::new();
    for section in Section::ALL {
        for key in section.keys() {
            let parsed = parse(&source(&with_key(*section, key, "[]")), &|_| None);
            let is_unknown = |error: &Diagnostic| error.message.starts_with(&format!("unknown key `{key}`"));
            let is_setting = parsed.config.probes.iter().any(|probe| probe.settings.contains_key(key));
            if is_setting || parsed.errors.iter().any(is_unknown) {
                missing.push(format!("{}/{key}", section.pointer()));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "host.json declares keys that the decoder does not read (config/decode.rs): {missing:#?}"
    );
}

#[test]
fn every_key_of_a_probe_can_be_shared() {
    let of_probe = Section::PROBE.keys().into_iter().filter(|key| !matches!(*key, "probe" | "title"));
    let missing: Vec<_> = of_probe.filter(|key| !Section::DEFAULTS.has(key)).collect();
    assert!(missing.is_empty(), "`defaults` in host.json does not declare these keys of a probe: {missing:?}");
}

/// Returns values to try for a key: words, and numbers and texts at the limits that the schema has for it.
fn candidates(section: Section, key: &str) -> Vec<String> {
    let words = ["soon", "~", "true", "[]", "{}", "2 MiB", "1 of 10", "linked", "off", "[1]", "'5'", "''"];
    let durations = ["1m", "60 s", "5x", "1.s"];
    let numbers = [-1.0, 0.0, 0.009, 0.5, 1.0, 1.5, 10.0, 1e15].map(|number| number.to_string());
    let mut all: Vec<_> = words.into_iter().chain(durations).map(str::to_owned).chain(numbers).collect();
    if section.is_number(key) {
        let (least, most) = section.bounds(key).into_inner();
        let bounds = [least - 1.0, least - 0.001, least, least + 1.0, most - 1.0, most, most + 0.5, most + 1.0];
        all.extend(bounds.map(|number| number.to_string()));
    }
    let lengths = section.declared_max_length(key).into_iter().flat_map(|length| [length, length + 1]);
    all.extend(lengths.map(|length| "x".repeat(length)));
    all
}

/// Keys whose values the decoder also checks in ways that a schema cannot express, with what it checks.
const CHECKED_ELSEWHERE: &[(Section, &str, &str)] = &[
    (Section::MODULE, "component", "the file must exist"),
    (Section::SENTRY, "spotlight", "a word of Sentry's SDKs, in any case, or a URL"),
];

#[test]
fn the_schema_accepts_what_the_decoder_does() {
    let schema = Schema::read(&whole()).unwrap();
    let mut different = Vec::new();
    let is_exempt = |section, key| CHECKED_ELSEWHERE.iter().any(|(other, name, _)| (*other, *name) == (section, key));
    for section in Section::ALL {
        for key in section.keys().into_iter().filter(|key| !is_exempt(*section, *key)) {
            for value in candidates(*section, key) {
                let text = with_key(*section, key, &value);
                let errors = parse(&source(&text), &|_| None).errors;
                let invalid = schema.check(&values(&text).unwrap()).unwrap();
                if invalid.is_empty() != errors.is_empty() {
                    different.push((format!("{}/{key}", section.pointer()), text, invalid, errors));
                }
            }
        }
    }
    assert!(different.is_empty(), "host.json and the decoder (config/decode.rs) differ: {different:#?}");
}

#[test]
fn any_scalar_may_be_a_reference() {
    let schema = Schema::read(&whole()).unwrap();
    let text = "sentry: {dsn: '${file:dsn}', environment: 'a-${env:B}', sample: '${env:S}', server_name: '${env:N}'}
limits: {deadline: '${env:D:-5}', cpu: '${env:C}s', in_flight: '${env:F}', memory: '${env:M}'}
groups: [{probes: [{probe: '${env:P}/a.wasm', title: '${env:T}', every: '${env:E}', check_in: {slug: 'a-${env:S}'}}]}]";
    assert_eq!(schema.check(&values(text).unwrap()), Ok(Vec::new()));
    let found = schema.check(&json!({ "limits": { "handles": "5 ${env:A}", "in_flight": "${A}" } })).unwrap();
    assert_eq!(found.len(), 2, "{found:#?}");
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/config")).join(folder);
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect()
}

#[test]
fn valid_files_match_the_schema() {
    for path in files("ok").into_iter().chain(files("warn")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut whole = whole();
        // The names of modules are in the schema only with `sentrynet schema FILE`.
        let declared = values(&text).unwrap()["modules"].as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
        let known = whole.pointer_mut("/$defs/probe/properties/probe/anyOf/0/enum").and_then(Value::as_array_mut);
        if let Some(known) = known {
            known.extend(declared.into_iter().flatten().map(Value::from));
        } else {
            let known = whole.pointer_mut("/$defs/probe/properties/probe/anyOf/0").unwrap();
            known["anyOf"][0]["enum"].as_array_mut().unwrap().extend(declared.into_iter().flatten().map(Value::from));
        }
        let found = Schema::read(&whole).unwrap().check(&values(&text).unwrap()).unwrap();
        assert_eq!(found, [], "{}", path.display());
    }
}

#[test]
fn invalid_files_do_not_match_the_schema() {
    /// Files with errors that a schema cannot find: about the environment, the disk, and two keys that conflict.
    const NOT_EXPRESSIBLE: &[&str] =
        &["allow-network-with-bits-beyond", "check-in-slug-twice", "check-in-without-letters", "probe-file-missing"];
    let schema = Schema::read(&whole()).unwrap();
    let (mut checked, mut missed) = (0, Vec::new());
    for path in files("bad") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let Some(values) = values(&std::fs::read_to_string(&path).unwrap()) else { continue };
        checked += 1;
        if schema.check(&values).unwrap().is_empty() {
            missed.push(name);
        }
    }
    missed.sort();
    assert_eq!(missed, NOT_EXPRESSIBLE);
    assert!(checked > 40, "{checked}");
}

#[test]
fn schemas_of_components_do_not_collide() {
    let settings = |kind: &str| {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "https://example.org/settings",
            "properties": { "level": { "$ref": "#/$defs/level" }, "tree": { "$dynamicRef": "#node" } },
            "required": ["title", "level"],
            "additionalProperties": false,
            "$defs": { "level": { "type": kind }, "node": { "$dynamicAnchor": "node", "type": "array" } },
        })
    };
    let component = |name: &str, kind: &str, given_keys: &[&str]| ComponentSchema {
        names: vec![name.to_owned()],
        key: "mine".to_owned(),
        summary: "s".to_owned(),
        schema: settings(kind),
        module: None,
        given_keys: given_keys.iter().map(|key| (*key).to_owned()).collect(),
    };
    let components = [component("./a.wasm", "integer", &[]), component("b", "string", &["level"])];
    let schema = Schema::read(&schema(&components).unwrap()).unwrap();
    let found = |probe: Value| {
        let found = schema.check(&json!({ "groups": [{ "probes": [probe] }] })).unwrap();
        found.into_iter().map(|found| found.message).collect::<Vec<_>>()
    };
    assert_eq!(found(json!({ "probe": "./a.wasm", "title": "t", "level": 1, "every": 5, "tree": [] })), [""; 0]);
    assert_eq!(found(json!({ "probe": "./a.wasm", "title": "t", "level": "${env:LEVEL}" })), [""; 0]);
    assert_eq!(found(json!({ "probe": "./a.wasm", "title": "t", "level": "x" })).len(), 1);
    assert_eq!(found(json!({ "probe": "./a.wasm", "level": 1 })), ["missing key `title`"]);
    assert_eq!(found(json!({ "probe": "b", "title": "t" })), [""; 0], "its module has the setting `level`");
    assert_eq!(found(json!({ "probe": "b", "title": "t", "level": 5, "tree": 5 })).len(), 2);
    let unknown = found(json!({ "probe": "b", "title": "t", "levl": "x" }));
    assert_eq!(unknown, ["unknown key `levl`, did you mean `level`?"]);
    assert_eq!(found(json!({ "probe": "./other.wasm", "whatever": 1 })), [""; 0]);
}
