//! Validation of settings by a probe's own schema, and the schema of a whole configuration.

use std::path::{Path, PathBuf};

use sentrynet::schema::Schema;
use serde_json::{Value, json};

use crate::guests::{Guest, PASSES};
use crate::support::{absent_path, empty_folder, find_problems, run_command, sentrynet};

/// Returns a guest with this schema of its settings, whose `check` has this body.
fn guest_with_schema(schema: &Value, define: &str, check: &'static str) -> Guest {
    let text = schema.to_string();
    let (escaped, length) = (text.replace('\\', "\\5c").replace('"', "\\22"), text.len());
    let bytes =
        |number: usize| number.to_le_bytes()[..4].iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    // Name, version and summary are those in `guests`.
    let description = format!(
        "(data (i32.const 3072) \"\\00\\01\\00\\00\\05\\00\\00\\00\\05\\01\\00\\00\\05\\00\\00\\00\\0a\\01\\00\\00\\15\\00\\00\\00{}{}\")
         (data (i32.const 8192) \"{escaped}\") {define}",
        bytes(8192),
        bytes(length)
    );
    Guest { define: Box::leak(description.into_boxed_str()), describe: "i32.const 3072", check, ..PASSES }
}

/// Returns the errors that `check` finds in a configuration of one probe of this guest.
#[track_caller]
fn problems_of_guest(name: &str, guest: Guest, keys: &str) -> Vec<String> {
    let path = guest.write(name);
    find_problems(&format!("groups:\n  - probes:\n      - probe: '{}'\n        {keys}\n", path.display()))
}

#[test]
fn settings_are_validated_by_the_schema_of_a_third_party() {
    let schema = json!({
        "properties": {
            "url": { "type": "string" },
            "level": { "type": "integer", "minimum": 1, "maximum": 3 },
            "pin": { "type": "string", "writeOnly": true },
        },
        "required": ["url"],
        "additionalProperties": false,
    });
    let keys = |name: &str, keys: &str| problems_of_guest(name, guest_with_schema(&schema, "", "i32.const 0"), keys);
    assert_eq!(keys("schema-right", "url: x"), [""; 0]);
    assert_eq!(keys("schema-missing", "level: 1"), ["3:9 missing key `url`"]);
    assert_eq!(
        keys(
            "schema-wrong",
            "{url: 5, level: 4, pin: 4711, levl: 1}".trim_matches(['{', '}']).replace(", ", "\n        ").as_str()
        ),
        [
            "4:14 expected text, got 5: put it in quotes",
            "5:16 expected a whole number from 1 to 3, got 4",
            "6:14 expected text, got a number: put it in quotes",
            "7:9 unknown key `levl`, did you mean `level`?",
        ]
    );
}

#[test]
fn problems_found_by_schema_and_probe_are_reported_once() {
    let schema = json!({ "properties": { "url": { "type": "string" }, "n": {} }, "required": ["title"] });
    // An error result: a list of two problems, at `/url` and at `/n`.
    let define = r#"(data (i32.const 3200) "\01\00\00\00\c0\0c\00\00\02\00\00\00")
        (data (i32.const 3264) "\00\0d\00\00\04\00\00\00\04\0d\00\00\05\00\00\00" "\09\0d\00\00\02\00\00\00\0b\0d\00\00\05\00\00\00")
        (data (i32.const 3328) "/urlwrong/nworse")"#;
    let twice = guest_with_schema(&schema, define, "i32.const 3200");
    let keys = "title: t\n        url: 5\n        n: 1";
    assert_eq!(
        problems_of_guest("schema-twice", twice, keys),
        ["5:14 expected text, got 5: put it in quotes", "6:12 worse"]
    );
    let traps = guest_with_schema(&schema, "", "unreachable");
    assert_eq!(problems_of_guest("schema-traps", traps, keys), ["5:14 expected text, got 5: put it in quotes"]);
}

#[test]
fn an_invalid_schema_is_reported_at_the_probe() {
    let single_problem = |name: &str, schema: &Value| {
        let mut found = problems_of_guest(name, guest_with_schema(schema, "", "i32.const 0"), "title: t");
        assert_eq!(found.len(), 1, "{found:#?}");
        found.remove(0)
    };
    let none = single_problem("schema-none", &json!({ "properties": { "a": { "type": "text" } } }));
    assert!(
        none.starts_with(
            "3:16 the schema of its settings is invalid or not supported, at `/properties/a/type`: unknown type"
        ),
        "{none}"
    );
    let remote = single_problem("schema-remote", &json!({ "$ref": "http://127.0.0.1:1/schema" }));
    assert!(remote.contains("at `/$ref`: the reference leads out of the schema"), "{remote}");
    let endless = single_problem("schema-endless", &json!({ "$ref": "#" }));
    assert!(endless.starts_with("3:16 the schema of its settings takes too many steps"), "{endless}");
    assert!(single_problem("schema-text", &json!("text")).contains("the schema of its settings is not a JSON object"));
}

/// Runs `sentrynet schema` and parses its output.
#[track_caller]
fn print_schema(config: Option<&Path>) -> Schema {
    let ended = run_command(sentrynet().env("SENTRYNET_LOG", "error").arg("schema").args(config), "");
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let schema: Value = serde_json::from_str(&ended.stdout).expect("a schema is JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    Schema::read(&schema).expect("the output is a valid schema")
}

/// Returns the pointer and message of each problem in a configuration.
fn problems_by_schema(schema: &Schema, text: &str) -> Vec<(String, String)> {
    let values: Value = serde_yaml::from_str(text).expect("the text is YAML");
    let found = schema.check(&values).expect("the check is within its budget");
    found.into_iter().map(|found| (found.pointer, found.message)).collect()
}

#[test]
fn examples_are_valid_by_the_printed_schema() {
    let schema = print_schema(None);
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let files = std::fs::read_dir(examples).expect("there are examples").flatten().map(|file| file.path());
    // `kubernetes.yaml` is no configuration, but has one in a ConfigMap.
    let is_configuration =
        |path: &PathBuf| path.extension().is_some_and(|it| it == "yaml") && !path.ends_with("kubernetes.yaml");
    let files: Vec<_> = files.filter(is_configuration).collect();
    assert!(files.len() > 5);
    for file in files {
        let text = std::fs::read_to_string(&file).expect("the example can be read");
        assert_eq!(problems_by_schema(&schema, &text), [], "{}", file.display());
    }
}

#[test]
fn the_printed_schema_has_the_keys_of_each_probe() {
    let schema = print_schema(None);
    let probe = |keys: &str| problems_by_schema(&schema, &format!("groups: [{{probes: [{{{keys}}}]}}]"));
    let at = |key: &str, message: &str| (format!("/groups/0/probes/0{key}"), message.to_owned());
    assert_eq!(probe("probe: http, url: x, timeout: '${env:T}', every: 5"), []);
    assert_eq!(probe("probe: probes.http, title: t"), [at("", "missing key `url`")]);
    assert_eq!(
        probe("probe: http, url: x, timeot: 5"),
        [at("/timeot", "unknown key `timeot`, did you mean `timeout`?")]
    );
    assert_eq!(probe("probe: script, steps: [{url: x}]"), [at("", "missing key `title`")]);
    assert_eq!(probe("probe: ssh, host: h, port: 70000").len(), 1);
    assert_eq!(probe("probe: http, url: x, auth: , ip_version: , expected: [2xx, 404]"), []);
}

#[test]
fn the_printed_schema_has_the_components_of_a_configuration() {
    let folder = empty_folder("schema-config");
    let component = guest_with_schema(
        &json!({ "properties": { "level": { "type": "integer" } }, "required": ["level"], "additionalProperties": false }),
        "",
        "i32.const 0",
    );
    std::fs::copy(component.write("schema-mine"), folder.join("mine.wasm")).expect("the folder is writable");
    let text = "modules:
  ours: {component: mine.wasm, settings: {level: 1}}
  ssh: {component: mine.wasm}
groups:
  - probes:
      - {probe: ./mine.wasm, level: 1}
      - {probe: ours}
      - {probe: probes.ssh, level: 2}
";
    let file = folder.join("config.yaml");
    std::fs::write(&file, text).expect("the folder is writable");
    let schema = print_schema(Some(&file));
    assert_eq!(problems_by_schema(&schema, text), []);
    let text = text
        .replace("level: 1}\n      -", "level: x}\n      -")
        .replace("ours}", "ours, levl: 1}")
        .replace("level: 2", "host: h");
    let pointers: Vec<_> = problems_by_schema(&schema, &text).into_iter().map(|(pointer, _)| pointer).collect();
    let [first, second, third] = [0, 1, 2].map(|index| format!("/groups/0/probes/{index}"));
    assert_eq!(pointers, [format!("{first}/level"), format!("{second}/levl"), third.clone(), format!("{third}/host")]);
}

#[test]
fn settings_of_a_module_are_validated_by_its_component() {
    let folder = empty_folder("schema-module");
    let schema = json!({
        "properties": { "level": { "type": "integer" }, "pin": { "type": "string" } },
        "required": ["level", "pin"],
        "if": { "required": ["pin"] },
        "then": { "properties": { "level": { "minimum": 5 } } },
        "additionalProperties": false,
    });
    std::fs::copy(guest_with_schema(&schema, "", "i32.const 0").write("schema-shared"), folder.join("mine.wasm"))
        .expect("the folder is writable");
    let file = folder.join("config.yaml");
    let text = |settings: &str| {
        format!(
            "modules:\n  ours: {{component: mine.wasm, settings: {settings}}}\n  other: {{component: none.wasm, settings: {{a: 1}}}}\n"
        )
    };
    std::fs::write(&file, text("{level: 1}") + "groups: [{probes: [{probe: ours, pin: x}]}]\n")
        .expect("the folder is writable");
    let ended = run_command(sentrynet().env("SENTRYNET_LOG", "error").arg("schema").arg(&file), "");
    let schema = Schema::read(&serde_json::from_str(&ended.stdout).expect("a schema is JSON"))
        .expect("the output is a valid schema");
    // The other settings are those of the probes, so that conditions on them cannot be evaluated.
    for settings in ["{level: 1}", "{pin: x}", "{level: '${env:LEVEL}'}", "{}", "~"] {
        assert_eq!(problems_by_schema(&schema, &text(settings)), [], "{settings}");
    }
    let at = |settings: &str| {
        problems_by_schema(&schema, &text(settings)).into_iter().map(|(pointer, _)| pointer).collect::<Vec<_>>()
    };
    assert_eq!(at("{level: x}"), ["/modules/ours/settings/level"]);
    assert_eq!(at("{levl: 1}"), ["/modules/ours/settings/levl"]);
    assert_eq!(at("{level: 1, every: 5}"), ["/modules/ours/settings/every"]);
    assert_eq!(problems_by_schema(&schema, &text("{level: 1}").replace("component: mine.wasm, ", "")).len(), 1);
}

#[test]
fn a_schema_is_printed_for_a_configuration_with_errors() {
    let text = "groups: [{probes: [{probe: ./none.wasm}, {probe: http, every: soon}]}]";
    let ended = run_command(sentrynet().env("SENTRYNET_LOG", "error").args(["schema", "-"]), text);
    assert_eq!(ended.code, 0);
    assert!(
        ended.stderr.starts_with("warning: <stdin> has errors") && ended.stderr.contains("`sentrynet check`"),
        "{}",
        ended.stderr
    );
    assert!(serde_json::from_str::<Value>(&ended.stdout).is_ok_and(|schema| schema["$defs"]["probe:http"].is_object()));
    let absent = absent_path("probes.yaml").display().to_string();
    let ended = run_command(sentrynet().args(["schema", &absent]), "");
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(ended.stderr.contains(&format!("no file `{absent}`")), "{}", ended.stderr);
}
