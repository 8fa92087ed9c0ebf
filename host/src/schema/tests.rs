//! Tests of violations, their messages, and the bounds on work.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

/// Checks the violations of a value: pointers and messages.
#[track_caller]
#[allow(clippy::needless_pass_by_value, reason = "one-line cases")]
fn check(schema: &Value, value: Value, expected: &[(&str, &str)]) {
    let violations = Schema::read(schema).unwrap().check(&value).unwrap();
    let violations: Vec<_> = violations.iter().map(|it| (it.pointer.as_str(), it.message.as_str())).collect();
    assert_eq!(violations, expected, "{value}");
}

#[test]
fn wrong_keys_are_named() {
    let schema = json!({
        "properties": { "url": { "type": "string" }, "timeout": {}, "retries": {} },
        "required": ["url"],
        "additionalProperties": false,
        "dependentRequired": { "retries": ["timeout"] },
    });
    check(&schema, json!({ "url": "x" }), &[]);
    check(&schema, json!({}), &[("", "missing key `url`")]);
    check(
        &schema,
        json!({ "url": "x", "timeot": 1, "c/d": 2 }),
        &[
            ("/timeot", "unknown key `timeot`, did you mean `timeout`?"),
            ("/c~1d", "unknown key `c/d`, expected one of `url`, `timeout`, `retries`"),
        ],
    );
    check(&schema, json!({ "url": "x", "retries": 1 }), &[("", "`retries` needs the key `timeout` beside it")]);
    let secret = json!({ "url": "x", "authorization hunter2": null });
    check(
        &schema,
        secret,
        &[("/authorization hunter2", "unknown key `authorization…`, expected one of `url`, `timeout`, `retries`")],
    );
}

#[test]
fn types_and_ranges_are_described() {
    let schema = json!({ "properties": {
        "text": { "type": ["string", "null"] },
        "on": { "type": "boolean" },
        "either": { "type": ["boolean", "string", "array"] },
        "count": { "type": "integer", "minimum": 0 },
        "port": { "type": "integer", "minimum": 1, "maximum": 65535 },
        "ratio": { "type": "number", "exclusiveMinimum": 0.0, "maximum": 1 },
        "even": { "multipleOf": 2 },
        "map": { "type": "object", "properties": { "a": {}, "b": {}, "c": {}, "d": {} } },
    } });
    check(&schema, json!({ "text": null, "on": true, "count": 1.0, "port": 80, "ratio": 0.5, "even": 4 }), &[]);
    check(
        &schema,
        json!({ "text": 5, "on": "yes", "either": 5, "count": 0.5, "port": "80", "ratio": 0, "even": 3, "map": [] }),
        &[
            ("/text", "expected text, got 5: put it in quotes"),
            ("/on", "expected true or false, got text"),
            ("/either", "expected text, true, false or a list, got 5"),
            ("/count", "expected a whole number of at least 0, got 0.5"),
            ("/port", "expected a whole number from 1 to 65535, got text: leave out the quotes"),
            ("/ratio", "expected a number above 0 and of at most 1, got 0"),
            ("/even", "expected a multiple of 2, got 3"),
            ("/map", "expected a map of keys such as `a`, `b` and `c`, got a list"),
        ],
    );
}

#[test]
fn allowed_values_are_listed() {
    let schema = json!({ "properties": {
        "auth": { "enum": ["none", "key", "agent", null] },
        "version": { "enum": [1.1, 2, "1.1", "2"] },
        "fixed": { "const": "fixed" },
    } });
    check(
        &schema,
        json!({ "auth": "agnet", "version": 3, "fixed": "y" }),
        &[
            ("/auth", "expected `none`, `key` or `agent`: did you mean `agent`?"),
            ("/version", "expected 1.1 or 2, got 3"),
            ("/fixed", "expected `fixed`"),
        ],
    );
}

#[test]
fn limits_of_strings_arrays_and_objects_are_described() {
    let schema = json!({ "properties": {
        "slug": { "pattern": "^[a-z]+$" },
        "name": { "minLength": 2, "maxLength": 3 },
        "list": { "minItems": 1, "uniqueItems": true, "items": { "type": "string" } },
        "map": { "minProperties": 1 },
        "pair": { "prefixItems": [{ "type": "number" }], "items": false },
        "some": { "contains": { "type": "number" } },
        "gone": false,
    } });
    check(
        &schema,
        json!({ "slug": "A", "name": "a", "list": [], "map": {}, "pair": [1, 2], "some": [], "gone": 1 }),
        &[
            ("/slug", "expected text that matches `^[a-z]+$`"),
            ("/name", "expected text of 2 to 3 characters, got 1"),
            ("/list", "expected at least 1 item, got none"),
            ("/map", "expected at least 1 key, got none"),
            ("/pair/1", "nothing can stand here: leave it out"),
            ("/some", "expected a list with at least 1 item of the kind that the probe asks for, got none"),
            ("/gone", "nothing can stand here: leave it out"),
        ],
    );
    check(
        &schema,
        json!({ "list": ["a", 5, "a"] }),
        &[
            ("/list", "expected a list of which no two items are the same"),
            ("/list/1", "expected text, got 5: put it in quotes"),
        ],
    );
}

#[test]
fn the_closest_alternative_is_reported() {
    let file =
        json!({ "type": "object", "properties": { "file": {} }, "required": ["file"], "additionalProperties": false });
    check(
        &json!({ "anyOf": [{ "type": "string" }, file] }),
        json!({ "fil": 1 }),
        &[("", "missing key `file`"), ("/fil", "unknown key `fil`, did you mean `file`?")],
    );
    let scalars = json!({ "anyOf": [{ "type": "string" }, { "enum": [1, 2] }, { "type": "array" }] });
    check(&scalars, json!({}), &[("", "expected 1, 2, text or a list, got a map")]);
    let kind = |kind: &str, key: &str| json!({ "properties": { "kind": { "const": kind }, key: { "type": "string" } }, "required": ["kind", key] });
    let discriminated = json!({ "oneOf": [kind("first", "x"), kind("second", "y")] });
    check(&discriminated, json!({ "kind": "second" }), &[("", "missing key `y`")]);
    check(&discriminated, json!({ "kind": "second", "y": 1 }), &[("/y", "expected text, got 1: put it in quotes")]);
    check(&discriminated, json!({ "kind": "c" }), &[("/kind", "expected `first` or `second`")]);
    let one = json!({ "oneOf": [{ "required": ["path"] }, { "required": ["url"] }] });
    check(&one, json!({}), &[("", "missing key `path` or `url`")]);
    let both =
        "this fits several alternatives, and the probe must know which is meant: leave out what belongs to others";
    check(&one, json!({ "path": 1, "url": 2 }), &[("", both)]);
}

#[test]
fn keys_of_a_failing_subschema_are_not_unknown() {
    let schema = json!({
        "$ref": "#/$defs/base",
        "properties": { "own": {} },
        "unevaluatedProperties": false,
        "$defs": { "base": { "properties": { "url": { "type": "string" } } } },
    });
    check(&schema, json!({ "url": "x", "own": 1 }), &[]);
    check(
        &schema,
        json!({ "url": 5, "own": 1, "ulr": 1 }),
        &[("/url", "expected text, got 5: put it in quotes"), ("/ulr", "unknown key `ulr`, did you mean `url`?")],
    );
}

#[test]
fn secrets_are_not_repeated() {
    let schema = json!({ "properties": {
        "pin": { "writeOnly": true, "type": "string", "minLength": 9 },
        "auth": { "writeOnly": true, "properties": { "code": { "enum": [1234] } } },
        "list": { "allOf": [{ "writeOnly": true }, { "items": { "type": "string" } }] },
    } });
    check(
        &schema,
        json!({ "pin": 4711, "auth": { "code": 4712 }, "list": [4713] }),
        &[
            ("/pin", "expected text, got a number: put it in quotes"),
            ("/auth/code", "expected 1234, got a number"),
            ("/list/0", "expected text, got a number: put it in quotes"),
        ],
    );
    check(&schema, json!({ "pin": "hunter2" }), &[("/pin", "expected text of at least 9 characters")]);
}

#[test]
fn references_are_resolved() {
    let schema = json!({
        "$id": "https://example.org/a",
        "properties": { "a": { "$ref": "#name" }, "b": { "$ref": "b" }, "c": { "$ref": "#/$defs/a%25~1" } },
        "$defs": {
            "x": { "$anchor": "name", "type": "string" },
            "y": { "$id": "b", "$ref": "#/$defs/z", "$defs": { "z": { "type": "boolean" } } },
            "a%/": { "type": "number" },
        },
    });
    let (text, flag, number) =
        ("expected text, got a list", "expected true or false, got a list", "expected a number, got a list");
    check(&schema, json!({ "a": [], "b": [], "c": [] }), &[("/a", text), ("/b", flag), ("/c", number)]);
    let read = Schema::read(&schema).unwrap();
    let leads = |from: &str| read.references().iter().find(|reference| reference.from == from).unwrap().to.clone();
    assert_eq!(leads("/properties/a"), "/$defs/x");
    assert_eq!(leads("/properties/b"), "/$defs/y");
    assert_eq!(leads("/$defs/y"), "/$defs/y/$defs/z");
}

#[track_caller]
#[allow(clippy::needless_pass_by_value, reason = "one-line cases")]
fn check_refused(schema: Value, expected: &str) {
    assert_eq!(Schema::read(&schema).unwrap_err().to_string(), expected);
}

#[test]
fn invalid_schemas_are_refused() {
    let types = "unknown type, expected one of `null`, `boolean`, `object`, `array`, `number`, `string`, `integer`";
    check_refused(json!(5), "expected a schema: an object, true or false");
    check_refused(
        json!({ "properties": { "a/b": { "type": "text" } } }),
        &format!("at `/properties/a~1b/type`: {types}"),
    );
    check_refused(json!({ "$defs": { "a": { "required": "b" } } }), "at `/$defs/a/required`: expected an array");
    check_refused(json!({ "properties": [] }), "at `/properties`: expected an object");
    check_refused(
        json!({ "items": [{}] }),
        "at `/items`: an array of schemas is not supported here: draft 2020-12 has `prefixItems`",
    );
    check_refused(json!({ "anyOf": [] }), "at `/anyOf`: expected at least one schema");
    check_refused(json!({ "multipleOf": 0 }), "at `/multipleOf`: expected a number above 0");
    check_refused(json!({ "minLength": -1 }), "at `/minLength`: expected a whole number of at least 0");
    check_refused(json!({ "pattern": "(" }), "at `/pattern`: invalid regular expression: unclosed group");
    check_refused(json!({ "not": { "$ref": "#/$defs/a" } }), "at `/not/$ref`: the reference leads to no schema");
    let out = "the reference leads out of the schema, and remote schemas are not fetched: put the schema that it \
               refers to under `$defs`, with its `$id`";
    for remote in ["https://example.org/s.json", "http://127.0.0.1:1/x", "file:///etc/passwd", "other.json"] {
        check_refused(json!({ "$ref": remote }), &format!("at `/$ref`: {out}"));
    }
}

#[test]
fn other_dialects_are_refused() {
    check_refused(
        json!({ "dependencies": { "a": ["b"] } }),
        "at `/dependencies`: `dependencies` of older drafts is not supported: draft 2020-12 has `dependentRequired` and \
         `dependentSchemas`",
    );
    check_refused(
        json!({ "items": { "$recursiveRef": "#" } }),
        "at `/items/$recursiveRef`: `$recursiveRef` of draft 2019-09 is not supported: draft 2020-12 has `$dynamicRef`",
    );
    check_refused(
        json!({ "$defs": { "a": { "$id": "#a" } } }),
        "at `/$defs/a/$id`: a fragment is not supported here: draft 2020-12 has `$anchor`",
    );
    check_refused(
        json!({ "$schema": "https://example.org/meta" }),
        "at `/$schema`: the dialect is not supported: expected `https://json-schema.org/draft/2020-12/schema`",
    );
    for known in ["https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#"] {
        assert!(Schema::read(&json!({ "$schema": known, "properties": { "dependencies": {} } })).is_ok());
    }
}

/// Checks that a value is validated and walked, or its schema refused, within a short time. Returns the violations.
#[track_caller]
fn check_bounded(schema: &Value, value: &Value) -> Result<Vec<Violation>, BudgetExceeded> {
    let started = Instant::now();
    let found = Schema::read(schema).map_or(Ok(Vec::new()), |schema| {
        let mut walked = value.clone();
        schema.check(value).and_then(|found| schema.walk(&mut walked, &mut |_, _, _| false).map(|()| found))
    });
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    found
}

#[test]
fn hostile_schemas_exceed_the_budget() {
    // Every level applies the next one three times: 3 to the power of 40 steps.
    let mut definitions = serde_json::Map::new();
    for level in 0..40 {
        let next = json!({ "$ref": format!("#/$defs/a{}", level + 1) });
        definitions.insert(format!("a{level}"), json!({ "anyOf": [next, next], "not": next }));
    }
    definitions.insert("a40".to_owned(), json!({ "type": "string" }));
    assert_eq!(check_bounded(&json!({ "$ref": "#/$defs/a0", "$defs": definitions }), &json!(5)), Err(BudgetExceeded));

    let twice = json!({ "items": { "$ref": "#" } });
    let nested = (0..60).fold(json!([]), |value, _| json!([value]));
    assert_eq!(
        check_bounded(&json!({ "anyOf": [twice, twice], "oneOf": [twice, twice] }), &nested),
        Err(BudgetExceeded)
    );

    assert_eq!(check_bounded(&json!({ "$ref": "#" }), &json!(5)), Err(BudgetExceeded));
    let around =
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } });
    assert_eq!(check_bounded(&around, &json!(5)), Err(BudgetExceeded));

    let chain =
        (0..15_000).map(|link| (format!("a{link}"), json!({ "$ref": format!("#/$defs/a{}", (link + 1) % 15_000) })));
    let chain: serde_json::Map<_, _> = chain.collect();
    assert_eq!(check_bounded(&json!({ "$ref": "#/$defs/a0", "$defs": chain }), &json!(5)), Err(BudgetExceeded));
}

#[test]
fn large_schemas_and_values_take_bounded_time() {
    let many: Vec<_> = (0..5000).map(|number| json!({ "const": number })).collect();
    assert!(check_bounded(&json!({ "anyOf": many }), &json!("x")).is_ok_and(|found| found.len() == 1));
    let patterns: serde_json::Map<_, _> =
        (0..5000).map(|number| (format!("(a{{1,900}}){number}"), json!({}))).collect();
    drop(check_bounded(&json!({ "patternProperties": patterns }), &json!({ "a".repeat(10_000): 1 })));
    drop(check_bounded(&json!({ "pattern": "(a+)+$" }), &json!("a".repeat(1_000_000) + "b")));
    let deep = (0..100).fold(json!({ "type": "string" }), |schema, _| json!({ "allOf": [schema] }));
    assert!(check_bounded(&deep, &json!(5)).is_ok_and(|found| found.len() == 1));
    let items = json!({ "uniqueItems": true, "items": { "enum": (0..900).collect::<Vec<_>>() } });
    drop(check_bounded(&items, &json!((0..20_000).collect::<Vec<_>>())));
    let divisions = vec![json!({ "multipleOf": 1e-300 }); 2000];
    drop(check_bounded(&json!({ "items": { "allOf": divisions } }), &json!(vec![1.5e300; 2000])));
    let long = json!({ "properties": { "k".repeat(3000): { "properties": {} } } });
    assert!(Schema::read(&long).is_err());
    let ids: serde_json::Map<_, _> =
        (0..60).map(|number| (number.to_string(), json!({ "$id": number.to_string() }))).collect();
    assert!(Schema::read(&json!({ "$defs": ids })).is_err());
}

#[test]
fn annotations_are_collected_for_each_value() {
    let schema = json!({
        "properties": {
            "key": { "writeOnly": true },
            "port": { "anyOf": [{ "$ref": "#/$defs/port" }, { "type": "null" }] },
            "either": { "oneOf": [{ "type": "number" }, { "type": "string" }] },
            "version": { "enum": [1, 2] },
        },
        "patternProperties": { "^x-": { "format": "f" } },
        "$defs": { "port": { "type": "integer" } },
    });
    let schema = Schema::read(&schema).unwrap();
    let mut value = json!({ "key": { "a": 1 }, "port": 1, "either": 2, "version": 3, "x-a": 4 });
    let mut seen = Vec::new();
    let visit = &mut |annotations: &Annotations, _: &mut Value, pointer: &str| {
        let formats: Vec<_> = annotations.formats.iter().map(|format| (*format).to_owned()).collect();
        let number = annotations.accepts(Type::Integer) || annotations.accepts(Type::Number);
        seen.push((pointer.to_owned(), annotations.write_only, number, annotations.accepts(Type::String), formats));
        annotations.write_only
    };
    schema.walk(&mut value, visit).unwrap();
    let (none, some) = (Vec::new(), vec!["f".to_owned()]);
    assert_eq!(
        seen,
        [
            (String::new(), false, false, false, none.clone()),
            ("/key".to_owned(), true, false, false, none.clone()),
            ("/port".to_owned(), false, true, false, none.clone()),
            ("/either".to_owned(), false, true, true, none.clone()),
            ("/version".to_owned(), false, true, false, none),
            ("/x-a".to_owned(), false, false, false, some),
        ]
    );
}
