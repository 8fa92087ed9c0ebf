//! The host's part held against the decoder, both ways, and against the files that it takes and refuses.

use std::path::{Path, PathBuf};

use super::super::known_keys::{
    ALLOW, ALLOW_SSH, CHECK_IN, GROUP, LIMITS, LIMITS_OF_A_RUN, MODULE, PROBE, ROOT, SAMPLE, SENTRY, TRACE_HEADERS,
};
use super::super::{Draft, parse, yaml_to_json};
use super::*;
use crate::config::diagnostic::Diagnostics;
use crate::schema::Schema;

/// The whole, with built-in probes that take any settings.
fn whole() -> Value {
    let component = |(module, names): (&str, Vec<String>)| Component {
        names,
        key: module.to_owned(),
        summary: "s".to_owned(),
        schema: json!({}),
        module: None,
        given: Vec::new(),
    };
    schema(&built_ins().map(component).collect::<Vec<_>>()).unwrap()
}

fn source(text: &str) -> Source {
    Source { name: "test".into(), text: text.into(), path: None, directory: ".".into(), probe: None }
}

/// A file's values as they are written, references and all.
fn values(text: &str) -> Option<Value> {
    let mut problems = Diagnostics::default();
    let value = yaml_to_json::value(&Document::of(&source(text)).ok()?, &mut problems);
    problems.into_vec().is_empty().then_some(value)
}

fn keys_at(whole: &Value, pointer: &str) -> Vec<String> {
    let mut keys: Vec<_> = whole.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect();
    keys.sort();
    keys
}

#[test]
fn no_key_without_a_schema_and_none_that_is_not_known() {
    let host: Value = serde_json::from_str(HOST).unwrap();
    let places: &[(&str, &[&str])] = &[
        ("/properties", ROOT),
        ("/$defs/sentry/properties", SENTRY),
        ("/$defs/sentry/properties/sample/anyOf/1/properties", SAMPLE),
        ("/$defs/sentry/properties/spool/anyOf/2/properties", &["directory", "size"]),
        ("/$defs/trace_headers/anyOf/1/properties", TRACE_HEADERS),
        ("/$defs/monitor/properties", CHECK_IN),
        ("/properties/limits/properties", LIMITS),
        ("/$defs/limits/properties", LIMITS_OF_A_RUN),
        ("/$defs/group/properties", GROUP),
        ("/$defs/probe/properties", PROBE),
        ("/$defs/module/properties", MODULE),
        ("/$defs/allow/properties", ALLOW),
        ("/$defs/allow/properties/ssh/properties", ALLOW_SSH),
    ];
    for (pointer, known) in places {
        let mut known: Vec<_> = known.iter().map(|key| (*key).to_owned()).collect();
        known.sort();
        assert_eq!(keys_at(&host, pointer), known, "{pointer}");
        let all = host.pointer(pointer).unwrap().as_object().unwrap().values();
        for key in all.filter(|key| key.get("$ref").is_none()) {
            assert!(key["description"].is_string(), "below {pointer}: {key}");
        }
    }
}

/// What stands for the value in question.
const HERE: &str = "HERE";

#[test]
fn the_schema_takes_what_the_decoder_does() {
    let probe = |keys: &str| format!("groups: [{{probes: [{{probe: http, title: t, {keys}}}]}}]");
    let places = [
        "limits: HERE".to_owned(),
        "groups: HERE".to_owned(),
        "sentry: {sample: HERE}".to_owned(),
        "sentry: {sample: {rate: HERE}}".to_owned(),
        "sentry: {sample: {slower_than: HERE}}".to_owned(),
        "sentry: {spool: {size: HERE}}".to_owned(),
        "sentry: {server_name: HERE}".to_owned(),
        "sentry: {tags: {a: HERE}}".to_owned(),
        "sentry: {trace_headers: HERE}".to_owned(),
        "sentry: {trace_headers: {mode: HERE}}".to_owned(),
        "sentry: {trace_headers: {traceparent: HERE}}".to_owned(),
        "sentry: {trace_headers: {hosts: HERE}}".to_owned(),
        "sentry: {check_in: {slug: a, margin: HERE}}".to_owned(),
        "sentry: {check_in: HERE, server_name: a}".to_owned(),
        "groups: [{check_in: HERE, probes: [{probe: http, title: t}]}]".to_owned(),
        probe("check_in: {failure_issue_threshold: HERE}"),
        probe("check_in: {recovery_threshold: HERE}"),
        probe("every: HERE"),
        probe("burst: HERE"),
        probe("retries: HERE"),
        probe("retry_delay: HERE"),
        probe("failures_before_error: HERE"),
        probe("limits: {deadline: HERE}"),
        probe("allow: {log: HERE}"),
        probe("allow: {hosts: HERE}"),
        probe("allow: {env: HERE}"),
        probe("allow: {ssh: {commands: HERE, agent: HERE}}"),
        "groups: [{probes: [{probe: http, title: HERE}]}]".to_owned(),
    ];
    let limits = LIMITS.iter().map(|key| format!("limits: {{{key}: HERE}}"));
    let places: Vec<_> = places.into_iter().chain(limits).collect();
    let bounds =
        [1.0, 10.0, 720.0, 1000.0, 3600.0, 1024.0, 10_000.0, 40_320.0, 86_400.0, 100_000.0, 1_000_000.0, 31_536_000.0];
    let sizes = [1_048_576.0, 4_194_304.0, 67_108_864.0, 1_099_511_627_776.0];
    let numbers = bounds.into_iter().chain(sizes).flat_map(|bound| [bound - 1.0, bound, bound + 1.0]);
    let numbers = numbers.chain([-1.0, 0.009, 0.01, 0.04, 0.05, 0.5, 1.5]).map(|number| number.to_string());
    let words = ["soon", "~", "true", "[]", "{}", "2 MiB", "1 of 10", "linked", "off", "[1]", "'5'", "''"];
    let written: Vec<_> = numbers.chain(words.map(str::to_owned)).collect();
    let read = Schema::read(&whole()).unwrap();
    let mut differ = Vec::new();
    for text in places.iter().flat_map(|place| written.iter().map(move |written| place.replace(HERE, written))) {
        let Draft { problems, .. } = parse(&source(&text), &|_| None);
        let found = read.check(&values(&text).unwrap()).unwrap();
        if found.is_empty() != problems.is_empty() {
            differ.push((text, found, problems));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

#[test]
fn references_stand_for_any_scalar() {
    let read = Schema::read(&whole()).unwrap();
    let text = "sentry: {dsn: '${file:dsn}', environment: 'a-${env:B}', sample: '${env:S}', server_name: '${env:N}'}
limits: {deadline: '${env:D:-5}', in_flight: '${env:F}', memory: '${env:M}'}
groups: [{probes: [{probe: '${env:P}/a.wasm', title: '${env:T}', every: '${env:E}', check_in: {slug: 'a-${env:S}'}}]}]";
    assert_eq!(read.check(&values(text).unwrap()), Ok(Vec::new()));
    let found = read.check(&json!({ "limits": { "deadline": "5 ${env:A}", "in_flight": "${A}" } })).unwrap();
    assert_eq!(found.len(), 2, "{found:#?}");
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/config")).join(folder);
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect()
}

#[test]
fn right_files_fit() {
    for path in files("ok").into_iter().chain(files("warn")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut whole = whole();
        // What a file declares is known by `sentrynet schema FILE` alone.
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
fn wrong_files_do_not() {
    /// What a schema cannot know: what is in the environment and on disk, and what one key has to do with another.
    const BEYOND: &[&str] =
        &["allow-network-with-bits-beyond", "check-in-slug-twice", "check-in-without-letters", "probe-file-missing"];
    let read = Schema::read(&whole()).unwrap();
    let (mut checked, mut missed) = (0, Vec::new());
    for path in files("bad") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let Some(values) = values(&std::fs::read_to_string(&path).unwrap()) else { continue };
        checked += 1;
        if read.check(&values).unwrap().is_empty() {
            missed.push(name);
        }
    }
    missed.sort();
    assert_eq!(missed, BEYOND);
    assert!(checked > 40, "{checked}");
}

#[test]
fn components_do_not_collide() {
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
    let component = |name: &str, kind: &str, given: &[&str]| Component {
        names: vec![name.to_owned()],
        key: "mine".to_owned(),
        summary: "s".to_owned(),
        schema: settings(kind),
        module: None,
        given: given.iter().map(|key| (*key).to_owned()).collect(),
    };
    let components = [component("./a.wasm", "integer", &[]), component("b", "string", &["level"])];
    let read = Schema::read(&schema(&components).unwrap()).unwrap();
    let found = |probe: Value| {
        let found = read.check(&json!({ "groups": [{ "probes": [probe] }] })).unwrap();
        found.into_iter().map(|found| found.message).collect::<Vec<_>>()
    };
    assert_eq!(found(json!({ "probe": "./a.wasm", "title": "t", "level": 1, "every": 5, "tree": [] })), [""; 0]);
    assert_eq!(found(json!({ "probe": "./a.wasm", "title": "t", "level": "${env:LEVEL}" })), [""; 0]);
    assert_eq!(found(json!({ "probe": "./a.wasm", "title": "t", "level": "x" })).len(), 1);
    assert_eq!(found(json!({ "probe": "./a.wasm", "level": 1 })), ["missing key `title`"]);
    assert_eq!(found(json!({ "probe": "b", "title": "t" })), [""; 0], "its module gives the level");
    assert_eq!(found(json!({ "probe": "b", "title": "t", "level": 5, "tree": 5 })).len(), 2);
    let unknown = found(json!({ "probe": "b", "title": "t", "levl": "x" }));
    assert_eq!(unknown, ["unknown key `levl`, did you mean `level`?"]);
    assert_eq!(found(json!({ "probe": "./other.wasm", "whatever": 1 })), [""; 0]);
}
