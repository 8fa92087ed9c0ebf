//! Checks that the tables of keys in `docs/configuration.md` agree with `host.json` and the schemas of the built-in
//! probes. `UPDATE=1` rewrites them.

use sentrynet::config::{self, Source};
use sentrynet::propagation::EventDefaults;
use sentrynet::sandbox::{Compiler, Sandbox};
use serde_json::Value;

use super::{CONFIGURATION, compare, read};

#[tokio::test]
async fn tables_of_keys_agree_with_the_schemas() {
    let page = read(CONFIGURATION);
    let host: Value = serde_json::from_str(&read("host/src/config/schema/host.json")).expect("`host.json` is JSON");
    let mut expected = page.clone();
    for (name, definition) in SECTIONS {
        let section = if definition.is_empty() { &host } else { &host["$defs"][definition] };
        let mut rows = section_rows(&host, section, "");
        if *name == "limits" {
            let own = section_rows(&host, &host["$defs"]["host_limits"], "");
            rows += &own.replace(" | ", " | At the top of the file only. ");
        }
        replace(&mut expected, name, &rows);
    }
    for (name, _) in config::built_ins() {
        replace(&mut expected, name, &setting_rows(&schema(name).await));
    }
    compare(CONFIGURATION, &page, &expected);
}

/// The tables of the host's own keys: the name in the marks around the table, and the definition in `host.json`.
const SECTIONS: &[(&str, &str)] = &[
    ("the file", ""),
    ("a group", "group"),
    ("every probe", "probe"),
    ("modules", "module"),
    ("allow", "allow"),
    ("sentry", "sentry"),
    ("limits", "limits"),
    ("trace_headers", "trace_headers_map"),
    ("check_in", "check_in_map"),
];

/// Definitions in `host.json` whose keys have a table, and the anchor of the table's heading.
const ANCHORS: &[(&str, &str)] = &[
    ("sentry", "sentry"),
    ("host_limits", "limits"),
    ("limits", "limits"),
    ("module", "modules"),
    ("allow", "allow"),
    ("group", "keys-of-a-group"),
    ("defaults", "defaults"),
    ("probe", "keys-of-every-probe"),
    ("trace_headers", "trace_headers"),
    ("check_in", "check_in"),
    ("check_in_map", "check_in"),
];

/// Replaces the rows of a table between its marks.
fn replace(page: &mut String, name: &str, rows: &str) {
    let (begin, end) = (format!("<!-- keys of {name} -->\n"), format!("<!-- end of {name} -->"));
    let start = page.find(&begin).unwrap_or_else(|| panic!("{CONFIGURATION} has no mark {begin}")) + begin.len();
    let length = page[start..].find(&end).unwrap_or_else(|| panic!("{CONFIGURATION} has no mark {end}"));
    page.replace_range(start..start + length, &format!("| key | |\n| --- | --- |\n{rows}"));
}

/// Returns the JSON Schema of a built-in probe's settings.
async fn schema(name: &str) -> Value {
    let text = format!("groups: [{{probes: [{{probe: {name}, title: t}}]}}]");
    let source = Source::from_text("test", text);
    let config = config::parse(&source, &|_| None).config;
    let sandbox =
        Sandbox::new(1, None, EventDefaults::new(&config.sentry), config.secrets.clone(), Compiler::ThisProcess)
            .expect("the machine has memory for one run");
    let description = sandbox.describe(&config.probes[0]).await.expect("the built-in component describes itself");
    description.schema.clone()
}

/// Returns a row for each setting of a component. Bounds and defaults are not added: the descriptions have them.
fn setting_rows(schema: &Value) -> String {
    let required = required(schema);
    let own = schema["properties"].as_object().expect("settings have keys");
    // A chain needs a title, which is the host's key.
    let of_host = required.iter().filter(|key| !own.contains_key(**key));
    let mut rows: String = of_host.map(|key| format!("| `{key}` | **needed.** As every probe's. |\n")).collect();
    for (key, setting) in own {
        rows += &row(key, required.contains(&key.as_str()), description(key, setting, setting), "");
    }
    rows
}

/// Returns a row for each key of a section, and for each key of a map that a key takes, unless this map has a table of
/// its own.
fn section_rows(whole: &Value, section: &Value, prefix: &str) -> String {
    let required = required(section);
    let mut rows = String::new();
    for (key, schema) in section["properties"].as_object().expect("a section has keys") {
        let declared = follow(whole, schema);
        let name = format!("{prefix}{key}");
        let rest = values(declared) + &link(schema);
        rows += &row(&name, required.contains(&key.as_str()), description(key, schema, declared), &rest);
        if link(schema).is_empty()
            && let Some(map) = inner_map(whole, schema)
        {
            rows += &section_rows(whole, map, &format!("{name}."));
        }
    }
    rows
}

fn row(name: &str, is_required: bool, description: &str, rest: &str) -> String {
    let needed = if is_required { "**needed.** " } else { "" };
    format!("| `{name}` | {needed}{}{rest} |\n", description.replace('\n', " "))
}

fn description<'a>(key: &str, schema: &'a Value, declared: &'a Value) -> &'a str {
    let description = schema["description"].as_str().or(declared["description"].as_str());
    description.unwrap_or_else(|| panic!("`{key}` has no description"))
}

fn required(section: &Value) -> Vec<&str> {
    section["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Returns the schema that a `$ref` leads to, or the schema itself.
fn follow<'a>(whole: &'a Value, schema: &'a Value) -> &'a Value {
    let pointer = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.map_or(schema, |pointer| whole.pointer(pointer).expect("a `$ref` has a target"))
}

/// Returns the schema of the map that a key has as its value, or `None` if its value is no map of the host's keys.
fn inner_map<'a>(whole: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    let declared = follow(whole, schema);
    let branches = declared["anyOf"].as_array().into_iter().flatten();
    let maps = std::iter::once(schema).chain(branches).filter(|schema| schema.get("$ref").is_some());
    maps.map(|schema| follow(whole, schema)).find(|schema| schema.get("properties").is_some_and(Value::is_object))
}

/// Returns a link to the table with the keys of a value, of its items or of its members.
fn link(schema: &Value) -> String {
    let branches = schema["anyOf"].as_array().into_iter().flatten();
    let mut parts = [schema, &schema["items"], &schema["additionalProperties"]].into_iter().chain(branches);
    let definition = parts.find_map(|part| part["$ref"].as_str()?.strip_prefix("#/$defs/"));
    let anchor = definition.and_then(|definition| ANCHORS.iter().find(|(name, _)| *name == definition));
    anchor.map_or_else(String::new, |(_, anchor)| format!(" [Keys](#{anchor})."))
}

/// Returns a sentence with the bounds and the default of a value.
fn values(declared: &Value) -> String {
    let branches = declared["anyOf"].as_array().map_or(&[] as &[_], Vec::as_slice);
    let number = std::iter::once(declared).chain(branches).find(|schema| schema.get("minimum").is_some());
    let is_bytes = branches.iter().any(|branch| branch["$ref"] == "#/$defs/size");
    let shown = |number: &Value| if is_bytes { bytes(number) } else { with_separators(&number.to_string()) };
    let bounds = number.map(|schema| format!("From {} to {}", shown(&schema["minimum"]), shown(&schema["maximum"])));
    let default = declared.get("default").map(|default| match default {
        Value::Number(number) => with_separators(&number.to_string()),
        Value::String(text) if is_bytes => text.clone(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    });
    match (bounds, default) {
        (Some(bounds), Some(default)) => format!(" {bounds}; {default} unless given."),
        (Some(bounds), None) => format!(" {bounds}."),
        (None, Some(default)) => format!(" {default} unless given."),
        (None, None) => String::new(),
    }
}

/// Returns a number of bytes in the largest unit that needs no fraction.
fn bytes(number: &Value) -> String {
    let bytes = number.as_u64().expect("bounds of sizes are whole numbers");
    let unit = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| bytes.is_multiple_of(1 << shift));
    unit.map_or_else(|| format!("{bytes} bytes"), |(shift, unit)| format!("{} {unit}", bytes >> shift))
}

/// Returns a number with commas between its thousands.
fn with_separators(number: &str) -> String {
    let (whole, fraction) = number.split_at(number.find('.').unwrap_or(number.len()));
    let digits = whole.len();
    let separated = whole.chars().enumerate().map(|(index, digit)| {
        let is_thousand = index > 0 && (digits - index) % 3 == 0;
        if is_thousand { format!(",{digit}") } else { digit.to_string() }
    });
    separated.collect::<String>() + fraction
}
