//! A schema of settings as a table: key, type, what it is unless given, and what it is for.

use serde_json::{Map, Value};

use super::super::layout::{WIDTH, columns, line, paragraph};

/// A row for each key.
pub fn table(schema: &Value) -> String {
    const MOST_KEYS: usize = 200;
    let own = Map::new();
    let own = schema["properties"].as_object().unwrap_or(&own);
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // One that is every probe's own, as its title is.
    let beside = required.iter().filter(|key| !own.contains_key(**key));
    let beside = beside.map(|key| [line(key), String::new(), NEEDED.to_owned(), "As every probe's.".to_owned()]);
    let rows: Vec<[String; 4]> = beside
        .chain(own.iter().map(|(key, of)| {
            let standing = match (required.contains(&key.as_str()), &of["default"]) {
                (true, _) => NEEDED.to_owned(),
                (false, Value::Null) => String::new(),
                (false, default) => line(&default.to_string()),
            };
            let about = line(of["description"].as_str().unwrap_or_default());
            [line(key), line(&words(schema, of, 0)), standing, about]
        }))
        .collect();
    if rows.is_empty() {
        return "  none that it says\n".to_owned();
    }
    let head = ["key", "type", "default", ""].map(str::to_owned);
    // None of the first three takes so much that nothing is left for the last.
    let longest = |column: usize, most: usize| {
        let cells = std::iter::once(&head).chain(&rows).map(|row| row[column].chars().count());
        cells.max().unwrap_or_default().min(most)
    };
    let widths = [longest(0, 20), longest(1, 16), longest(2, 10)];
    let rest = WIDTH - widths.iter().map(|width| width + 2).sum::<usize>() - 2;
    let widths = [widths[0], widths[1], widths[2], rest];
    let rows_shown = std::iter::once(&head).chain(rows.iter().take(MOST_KEYS));
    let mut text: String =
        rows_shown.map(|row| columns(&[0, 1, 2, 3].map(|column| (row[column].as_str(), widths[column])))).collect();
    if rows.len() > MOST_KEYS {
        text += &paragraph("  ", &format!("… and {} more, see `--format json`", rows.len() - MOST_KEYS));
    }
    text
}

const NEEDED: &str = "needed";

/// What a schema takes, as a person says it.
fn words(root: &Value, schema: &Value, hops: usize) -> String {
    /// A schema may refer to itself.
    const MOST_HOPS: usize = 4;
    const MOST_CASES: usize = 8;
    if hops > MOST_HOPS {
        return String::new();
    }
    if let Some(referred) = schema["$ref"].as_str().and_then(|at| root.pointer(at.strip_prefix('#')?)) {
        return words(root, referred, hops + 1);
    }
    let cases = match (&schema["const"], &schema["enum"]) {
        (Value::Null, Value::Array(cases)) => cases.as_slice(),
        (Value::Null, _) => &[],
        (only, _) => std::slice::from_ref(only),
    };
    let several = ["anyOf", "oneOf"].iter().find_map(|key| schema[key].as_array());
    let mut all: Vec<String> = if !cases.is_empty() {
        let shown = |case: &Value| case.as_str().map_or_else(|| case.to_string(), str::to_owned);
        cases.iter().filter(|case| !case.is_null()).map(shown).collect()
    } else if let Some(several) = several {
        several.iter().take(MOST_CASES).map(|one| words(root, one, hops + 1)).collect()
    } else {
        let types = match &schema["type"] {
            Value::Array(types) => types.as_slice(),
            one => std::slice::from_ref(one),
        };
        types.iter().filter_map(Value::as_str).filter_map(|kind| kind_in_words(root, schema, kind, hops)).collect()
    };
    all.retain(|words| !words.is_empty());
    let mut seen = Vec::new();
    for words in all {
        if !seen.contains(&words) {
            seen.push(words);
        }
    }
    let more = seen.len() > MOST_CASES;
    seen.truncate(MOST_CASES);
    seen.extend(more.then(|| "…".to_owned()));
    seen.join(" or ")
}

fn kind_in_words(root: &Value, schema: &Value, kind: &str, hops: usize) -> Option<String> {
    Some(match kind {
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "number" => "number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "object" => "map".to_owned(),
        "array" => match words(root, &schema["items"], hops + 1).as_str() {
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
            words(
                &json!({ "$defs": { "loop": { "$ref": "#/$defs/loop" }, "port": { "type": "integer" } } }),
                schema,
                0
            ),
            expected
        );
    }

    #[test]
    fn types_in_words() {
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
    fn a_table_is_as_wide_as_a_terminal() {
        let schema = json!({
            "required": ["a-key-that-is-longer-than-anybody-would-think-of"],
            "properties": {
                "a-key-that-is-longer-than-anybody-would-think-of": { "type": "string" },
                "n": { "type": "integer", "default": 5, "description": "How many ".repeat(30) },
                "evil\u{1b}[2J": { "description": "\u{202e}", "default": "x".repeat(500) },
            },
        });
        let table = table(&schema);
        assert!(table.lines().all(|line| line.chars().count() <= WIDTH), "{table}");
        assert!(!table.contains('\u{1b}') && !table.contains('\u{202e}'), "{table}");
        assert_eq!(super::table(&json!({ "type": "object" })), "  none that it says\n");
    }
}
