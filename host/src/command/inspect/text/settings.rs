//! A schema of settings as a table with a row for each key: key, type, default and description.

use serde_json::{Map, Value};

use sentrynet::printable::StyledText;

use super::super::layout::{WIDTH, push_paragraph, push_row, single_line};

/// Adds the table of the settings in `schema`. It has at most 200 keys. If there are more, the last line states how
/// many are left out.
pub fn push_table(text: &mut StyledText, schema: &Value) {
    const MAX_ROWS: usize = 200;
    let no_properties = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&no_properties);
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // A schema can require a key that it does not describe, because every probe has the key, such as `title`.
    let common = required.iter().filter(|key| !properties.contains_key(**key));
    let common =
        common.map(|key| [single_line(key), String::new(), NEEDED.to_owned(), "Every probe has this key.".to_owned()]);
    let mut steps_left = MAX_STEPS;
    let rows: Vec<[String; 4]> = common
        .chain(properties.iter().map(|(key, property)| {
            let default = match (required.contains(&key.as_str()), &property["default"]) {
                (true, _) => NEEDED.to_owned(),
                (false, Value::Null) => String::new(),
                (false, default) => single_line(&default.to_string()),
            };
            let kept = KeptByHost::of(schema, property, &mut steps_left).sentence();
            let description = property["description"].as_str().unwrap_or_default();
            let description = single_line(&format!("{kept} {description}"));
            [single_line(key), single_line(&type_in_words(schema, property, 0)), default, description]
        }))
        .collect();
    if rows.is_empty() {
        return text.push_line("  none are described");
    }
    let header = ["key", "type", "default", ""].map(str::to_owned);
    // The first three columns have maximum widths, so that enough is left for the description.
    let column_width = |column: usize, max: usize| {
        let cells = std::iter::once(&header).chain(&rows).map(|row| row[column].chars().count());
        cells.max().unwrap_or_default().min(max)
    };
    let widths = [column_width(0, 20), column_width(1, 16), column_width(2, 10)];
    let description_width = WIDTH - widths.iter().map(|width| width + 2).sum::<usize>() - 2;
    let widths = [widths[0], widths[1], widths[2], description_width];
    for row in std::iter::once(&header).chain(rows.iter().take(MAX_ROWS)) {
        push_row(text, &[0, 1, 2, 3].map(|column| (row[column].as_str(), widths[column])));
    }
    if rows.len() > MAX_ROWS {
        push_paragraph(text, "  ", &format!("… and {} more, see `--format json`", rows.len() - MAX_ROWS));
    }
}

/// The text in the column of defaults for a required key.
const NEEDED: &str = "needed";

/// The extent to which the value of a setting stays with the host. The component gets a JSON pointer instead of such a
/// value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum KeptByHost {
    Nothing,
    Parts,
    Whole,
}

impl KeptByHost {
    /// Finds the keyword `writeOnly` in the schema of a setting. `steps_left` is the number of schemas that may still
    /// be read, for all settings together.
    fn of(root: &Value, setting: &Value, steps_left: &mut usize) -> Self {
        let mut found = Self::Nothing;
        // Schemas of the setting itself, and of values within it, with the number of references and levels before them.
        let mut unread = vec![(setting, Self::Whole, 0)];
        while let Some((schema, part, depth)) = unread.pop() {
            if *steps_left == 0 {
                break;
            }
            *steps_left -= 1;
            if schema["writeOnly"] == true {
                found = found.max(part);
            }
            if depth == MAX_KEPT_DEPTH {
                continue;
            }
            let referred = schema["$ref"].as_str().and_then(|pointer| root.pointer(pointer.strip_prefix('#')?));
            let alternatives = ["allOf", "anyOf", "oneOf"].iter().filter_map(|key| schema[key].as_array()).flatten();
            unread.extend(referred.into_iter().chain(alternatives).map(|schema| (schema, part, depth + 1)));
            let maps = ["properties", "patternProperties"].iter().filter_map(|key| schema[key].as_object());
            let items = ["items", "additionalProperties"].iter().map(|key| &schema[key]);
            let below = maps.flat_map(Map::values).chain(items).filter(|schema| schema.is_object());
            unread.extend(below.map(|schema| (schema, Self::Parts, depth + 1)));
        }
        found
    }

    /// Returns the sentence that precedes the description of the setting.
    fn sentence(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Parts => "Kept by the host in part.",
            Self::Whole => "Kept by the host.",
        }
    }
}

/// The depth at which schemas are not searched further for `writeOnly`, since a schema can refer to itself.
const MAX_KEPT_DEPTH: usize = 10;
/// The number of schemas that are searched for `writeOnly`.
const MAX_STEPS: usize = 20_000;

/// Returns the type or the values that a schema accepts, in words: `list of text`, `get or post`. Returns an empty text
/// if the schema states no type. `depth` is the number of schemas and references that led to this schema.
fn type_in_words(root: &Value, schema: &Value, depth: usize) -> String {
    /// The depth below which schemas are not read, since a schema can refer to itself.
    const MAX_DEPTH: usize = 4;
    /// The number of alternatives that are shown.
    const MAX_ALTERNATIVES: usize = 8;
    if depth > MAX_DEPTH {
        return String::new();
    }
    if let Some(referred) = schema["$ref"].as_str().and_then(|pointer| root.pointer(pointer.strip_prefix('#')?)) {
        return type_in_words(root, referred, depth + 1);
    }
    let constants = match (&schema["const"], &schema["enum"]) {
        (Value::Null, Value::Array(constants)) => constants.as_slice(),
        (Value::Null, _) => &[],
        (constant, _) => std::slice::from_ref(constant),
    };
    let subschemas = ["anyOf", "oneOf"].iter().find_map(|key| schema[key].as_array());
    let mut alternatives: Vec<String> = if !constants.is_empty() {
        let to_text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        constants.iter().filter(|value| !value.is_null()).map(to_text).collect()
    } else if let Some(subschemas) = subschemas {
        subschemas.iter().take(MAX_ALTERNATIVES).map(|schema| type_in_words(root, schema, depth + 1)).collect()
    } else {
        let types = match &schema["type"] {
            Value::Array(types) => types.as_slice(),
            single => std::slice::from_ref(single),
        };
        types.iter().filter_map(Value::as_str).filter_map(|kind| kind_in_words(root, schema, kind, depth)).collect()
    };
    alternatives.retain(|alternative| !alternative.is_empty());
    let mut distinct = Vec::new();
    for alternative in alternatives {
        if !distinct.contains(&alternative) {
            distinct.push(alternative);
        }
    }
    let is_truncated = distinct.len() > MAX_ALTERNATIVES;
    distinct.truncate(MAX_ALTERNATIVES);
    distinct.extend(is_truncated.then(|| "…".to_owned()));
    distinct.join(" or ")
}

/// Returns a value of the keyword `type` in words, or `None` for `null` and unknown values.
fn kind_in_words(root: &Value, schema: &Value, kind: &str, depth: usize) -> Option<String> {
    Some(match kind {
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "number" => "number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "object" => "map".to_owned(),
        "array" => match type_in_words(root, &schema["items"], depth + 1).as_str() {
            "" => "list".to_owned(),
            items => format!("list of {items}"),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(schema: &Value, expected: &str) {
        assert_eq!(
            type_in_words(
                &json!({ "$defs": { "loop": { "$ref": "#/$defs/loop" }, "port": { "type": "integer" } } }),
                schema,
                0
            ),
            expected
        );
    }

    #[test]
    fn types_are_described_in_words() {
        check(&json!({ "type": "string" }), "text");
        check(&json!({ "type": ["integer", "null"] }), "whole number");
        check(&json!({ "type": "array", "items": { "type": "string" } }), "list of text");
        check(&json!({ "enum": ["get", "post", 3, null] }), "get or post or 3");
        check(&json!({ "const": 1 }), "1");
        check(
            &json!({ "anyOf": [{ "$ref": "#/$defs/port" }, { "type": "string" }, { "type": "null" }] }),
            "whole number or text",
        );
        check(&json!({ "$ref": "#/$defs/loop" }), "");
        check(&json!(true), "");
        check(&json!({ "type": 5, "enum": "x", "anyOf": {}, "$ref": "x" }), "");
    }

    #[test]
    fn settings_that_the_host_keeps_are_marked() {
        let check = |schema: Value, expected: &str| {
            let root = json!({ "$defs": {
                "secret": { "type": "string", "writeOnly": true },
                "loop": { "anyOf": [{ "$ref": "#/$defs/loop" }, { "items": { "$ref": "#/$defs/loop" } }] },
            } });
            assert_eq!(KeptByHost::of(&root, &schema, &mut 1000).sentence(), expected, "{schema}");
        };
        check(json!({ "type": "string" }), "");
        check(json!({ "writeOnly": false }), "");
        check(json!({ "type": "string", "writeOnly": true }), "Kept by the host.");
        check(json!({ "$ref": "#/$defs/secret" }), "Kept by the host.");
        check(json!({ "anyOf": [{ "$ref": "#/$defs/secret" }, { "type": "null" }] }), "Kept by the host.");
        check(json!({ "properties": { "password": { "$ref": "#/$defs/secret" } } }), "Kept by the host in part.");
        check(json!({ "items": { "writeOnly": true } }), "Kept by the host in part.");
        check(json!({ "$ref": "#/$defs/loop" }), "");
        check(json!(true), "");

        let mut text = StyledText::new();
        push_table(
            &mut text,
            &json!({ "properties": { "token": { "type": "string", "writeOnly": true,
            "description": "A bearer token." } } }),
        );
        assert!(text.to_plain().contains("Kept by the host. A bearer token."), "{}", text.to_plain());
    }

    #[test]
    fn a_table_fits_into_the_width() {
        let schema = json!({
            "required": ["a-key-that-is-longer-than-anybody-would-think-of"],
            "properties": {
                "a-key-that-is-longer-than-anybody-would-think-of": { "type": "string" },
                "n": { "type": "integer", "default": 5, "description": "How many ".repeat(30) },
                "evil\u{1b}[2J": { "description": "\u{202e}", "default": "x".repeat(500) },
            },
        });
        let table = |schema| {
            let mut text = StyledText::new();
            push_table(&mut text, schema);
            text.to_plain()
        };
        let shown = table(&schema);
        assert!(shown.lines().all(|line| line.chars().count() <= WIDTH), "{shown}");
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
        assert_eq!(table(&json!({ "type": "object" })), "  none are described\n");
    }
}
