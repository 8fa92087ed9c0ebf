//! What keys must be.

use std::collections::BTreeMap;

use sentrynet_guest::{Check, Failure, Mismatch, Trouble, span};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::request::escape;

/// A value, or `exists` and `value`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Assertion {
    exists: bool,
    value: Option<Value>,
}

impl TryFrom<Value> for Assertion {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let Value::Object(mut form) = value else {
            return Ok(Self { exists: true, value: Some(value) });
        };
        let exists = match form.remove("exists") {
            None => true,
            Some(Value::Bool(exists)) => exists,
            Some(other) => return Err(format!("`exists` is true or false, got {other}")),
        };
        let value = form.remove("value");
        match form.keys().next() {
            Some(key) => Err(format!("unknown key `{key}`: an assertion is a value, or has `exists` and `value`")),
            None if !exists && value.is_some() => Err("a key that must not exist cannot have a `value`".to_owned()),
            None => Ok(Self { exists, value }),
        }
    }
}

impl schemars::JsonSchema for Assertion {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Assertion".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                { "type": ["string", "number", "boolean", "null", "array"] },
                {
                    "type": "object",
                    "properties": { "exists": { "type": "boolean", "default": true }, "value": true },
                    "additionalProperties": false,
                },
            ]
        })
    }
}

/// Notes assertions on keys that nothing sets: they could never hold, or never fail.
pub fn check(assertions: &BTreeMap<String, Assertion>, set_keys: &Map<String, Value>, check: &mut Check) {
    for key in assertions.keys().filter(|key| !set_keys.contains_key(*key)) {
        check.problem(
            format!("/assertions/{}", escape(key)),
            format!("no key `{key}` is set: give it a JSONPath under `set_keys`"),
        );
    }
}

/// All assertions hold; a failure has every one that does not.
pub fn hold(
    assertions: &BTreeMap<String, Assertion>,
    set_keys: &Map<String, Value>,
    keys: &Map<String, Value>,
) -> Result<(), Trouble> {
    if assertions.is_empty() {
        return Ok(());
    }
    span::scope("json.assert", "Checking assertions", |_| {
        let mismatches: Vec<Mismatch> = assertions
            .iter()
            .filter_map(|(key, assertion)| {
                let path = set_keys.get(key).and_then(Value::as_str).unwrap_or_default();
                assertion.mismatch(format!("{key} ({path})"), keys.get(key))
            })
            .collect();
        let Some(first) = mismatches.first() else { return Ok(()) };
        let message = match mismatches.len() {
            1 => format!("{}: expected {}, got {}", first.subject, first.expected, first.actual),
            several => format!("{several} of {} assertions do not hold", assertions.len()),
        };
        Err(Failure::new("assertion", message).mismatches(mismatches).into())
    })
}

impl Assertion {
    fn mismatch(&self, subject: String, actual: Option<&Value>) -> Option<Mismatch> {
        let expected = match (&self.value, actual) {
            (Some(expected), Some(actual)) if same(expected, actual) => return None,
            (Some(expected), _) => expected.to_string(),
            (None, actual) if self.exists == actual.is_some() => return None,
            (None, _) if self.exists => "to exist".to_owned(),
            (None, _) => "not to exist".to_owned(),
        };
        Some(Mismatch { subject, expected, actual: actual.map_or_else(|| "no match".to_owned(), shown) })
    }
}

/// As JSON, cut where it grows long.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 200;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Equal as JSON, numbers as numbers: 1 is 1.0.
fn same(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        // Whole numbers are compared exactly: as f64, neighbours beyond 2^53 would be the same.
        (Value::Number(a), Value::Number(b)) => a == b || (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => expected == actual,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(assertion: Value, actual: Option<&Value>, expected: Option<(&str, &str)>) {
        let assertion = Assertion::try_from(assertion).expect("a right assertion");
        let mismatch = assertion.mismatch("key".to_owned(), actual);
        let mismatch = mismatch.as_ref().map(|mismatch| (mismatch.expected.as_str(), mismatch.actual.as_str()));
        assert_eq!(mismatch, expected);
    }

    #[test]
    fn a_value_alone_must_be_the_same() {
        check(json!("ok"), Some(&json!("ok")), None);
        check(json!("ok"), Some(&json!("down")), Some(("\"ok\"", "\"down\"")));
        check(json!("ok"), None, Some(("\"ok\"", "no match")));
        check(json!(null), Some(&json!(null)), None);
        check(json!("1"), Some(&json!(1)), Some(("\"1\"", "1")));
    }

    #[test]
    fn values_that_count_as_nothing_are_checked() {
        for value in [json!(false), json!(0), json!(""), json!([])] {
            check(json!({ "value": value }), Some(&value), None);
            check(json!({ "value": value }), Some(&json!("x")), Some((&value.to_string(), "\"x\"")));
        }
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        check(json!(1), Some(&json!(1.0)), None);
        check(json!({ "value": [1, { "a": 2.0 }] }), Some(&json!([1.0, { "a": 2 }])), None);
        let (a, b) = (9_007_199_254_740_993_u64, 9_007_199_254_740_992_u64);
        check(json!(a), Some(&json!(b)), Some((&a.to_string(), &b.to_string())));
    }

    #[test]
    fn existence() {
        check(json!({}), Some(&json!(null)), None);
        check(json!({ "exists": true }), None, Some(("to exist", "no match")));
        check(json!({ "exists": false }), None, None);
        check(json!({ "exists": false }), Some(&json!(1)), Some(("not to exist", "1")));
    }

    #[test]
    fn what_is_no_assertion() {
        for wrong in [json!({ "exist": true }), json!({ "exists": "yes" }), json!({ "exists": false, "value": 1 })] {
            assert!(Assertion::try_from(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn long_values_are_cut() {
        let long = json!("ü".repeat(300));
        let mismatch = Assertion::try_from(json!("")).expect("right").mismatch(String::new(), Some(&long));
        assert_eq!(mismatch.expect("it differs").actual.chars().count(), 201);
    }
}
