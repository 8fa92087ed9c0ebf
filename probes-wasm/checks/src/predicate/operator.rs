//! Operators: evaluation, and what they expect in words.

use std::cmp::Ordering;

use regex::Regex;
use serde_json::{Number, Value};

use super::types::Type;
use super::wire_value::WireValue;
use crate::Statuses;
use crate::messages::{display_value, quoted, truncate};
use crate::number::{compare, equal};
use crate::unit::Unit;

/// An operator with its operand.
#[derive(Debug, Clone)]
pub enum Operator {
    OneOf(Vec<Value>),
    Status(Statuses),
    Bound(Bound, Number),
    Contains(Value),
    StartsWith(String),
    EndsWith(String),
    Matches(Regex),
    Exists,
    IsEmpty,
    HasType(Type),
    /// There is a value, and the inner operator does not hold for it. A plain negation would also hold for a missing
    /// value.
    ExistsAndNot(Box<Operator>),
}

/// A comparison of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    Less,
    Greater,
    AtMost,
    AtLeast,
}

impl Operator {
    /// Returns true if the operator holds. No operator holds for a missing value.
    pub fn holds(&self, actual: Option<&WireValue>) -> bool {
        let Some(actual) = actual else { return false };
        match self {
            Self::OneOf(expected) => {
                expected.iter().any(|expected| actual.values().any(|value| equal(expected, value)))
            }
            Self::Status(expected) => {
                actual.value.as_u64().and_then(|status| status.try_into().ok()).is_some_and(|it| expected.allows(it))
            }
            Self::Bound(bound, limit) => {
                actual.number().and_then(|number| compare(number, limit)).is_some_and(|order| bound.holds(order))
            }
            Self::Contains(part) => contains(actual.value, part),
            Self::StartsWith(start) => actual.value.as_str().is_some_and(|text| text.starts_with(start)),
            Self::EndsWith(end) => actual.value.as_str().is_some_and(|text| text.ends_with(end)),
            Self::Matches(regex) => actual.value.as_str().is_some_and(|text| regex.is_match(text)),
            Self::Exists => true,
            Self::IsEmpty => is_empty(actual.value),
            Self::HasType(expected) => actual.values().any(|value| expected.holds(value)),
            Self::ExistsAndNot(operator) => !operator.holds(Some(actual)),
        }
    }

    /// Returns what is expected, in words: `less than 5`, `not to be empty`.
    pub fn describe(&self, unit: Unit, negated: bool) -> String {
        let not = if negated { "not " } else { "" };
        match self {
            Self::OneOf(expected) => match expected.as_slice() {
                [one] => format!("{not}{}", unit.display(one)),
                several => {
                    let several: Vec<String> = several.iter().map(|one| unit.display(one)).collect();
                    format!("{} of {}", if negated { "none" } else { "one" }, truncate(several.join(", ")))
                }
            },
            Self::Status(expected) => match expected.to_string() {
                several if negated && several.contains(" or ") => format!("none of {}", several.replace(" or ", ", ")),
                expected => format!("{not}{expected}"),
            },
            Self::Bound(bound, limit) => format!("{not}{} {}", bound.phrase(), unit.append_to(&limit.to_string())),
            Self::Contains(part) => format!("{not}to contain {}", display_value(part)),
            Self::StartsWith(start) => format!("{not}to start with {}", truncate(quoted(start))),
            Self::EndsWith(end) => format!("{not}to end with {}", truncate(quoted(end))),
            Self::Matches(regex) => format!("{not}to match `{}`", truncate(regex.to_string())),
            Self::Exists => format!("{not}to exist"),
            Self::IsEmpty => format!("{not}to be empty"),
            Self::HasType(expected) => format!("{not}{}", expected.phrase()),
            Self::ExistsAndNot(operator) => operator.describe(unit, !negated),
        }
    }
}

impl Bound {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::Greater => order.is_gt(),
            Self::AtMost => order.is_le(),
            Self::AtLeast => order.is_ge(),
        }
    }

    fn phrase(self) -> &'static str {
        match self {
            Self::Less => "less than",
            Self::Greater => "greater than",
            Self::AtMost => "at most",
            Self::AtLeast => "at least",
        }
    }
}

fn contains(value: &Value, part: &Value) -> bool {
    match (value, part) {
        (Value::String(text), Value::String(part)) => text.contains(part),
        (Value::Array(list), part) => list.iter().any(|element| equal(element, part)),
        (Value::Object(map), Value::String(key)) => map.contains_key(key),
        _ => false,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Predicate;
    use crate::subject::SubjectKind;

    use super::*;

    /// Asserts what a predicate expects in words, the values for which it holds, and those for which it does not.
    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "one-line cases")]
    fn check(form: Value, expected: &str, right: Value, wrong: Value) {
        check_for(SubjectKind::Json, form, expected, right, wrong);
    }

    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "one-line cases")]
    fn check_for(kind: SubjectKind, form: Value, expected: &str, right: Value, wrong: Value) {
        let mut problems = Vec::new();
        let predicate = Predicate::parse_for(kind, &form, "", &mut problems).expect("the predicate is valid");
        for value in right.as_array().expect("a list") {
            assert_eq!(predicate.mismatches("", Some(value), ""), [], "{form} {value}");
        }
        for value in wrong.as_array().expect("a list") {
            let mismatches = predicate.mismatches("", Some(value), "");
            assert_eq!(mismatches.first().map(|found| &*found.expected), Some(expected), "{form} {value}");
        }
    }

    #[test]
    fn equality() {
        check(json!("ok"), "\"ok\"", json!(["ok"]), json!(["OK", "", null, ["ok"], { "ok": "ok" }]));
        check(json!(1), "1", json!([1, 1.0]), json!(["1", 2, true, null, [1]]));
        check(json!("1"), "\"1\"", json!(["1"]), json!([1, "1.0"]));
        check(json!(null), "null", json!([null]), json!([0, false, "", [], {}]));
        check(json!(false), "false", json!([false]), json!([true, null, 0, "false"]));
        check(json!([1, "a"]), "[1,\"a\"]", json!([[1.0, "a"]]), json!([["a", 1], [1], 1]));
        check(json!({ "equals": { "a": 1 } }), "{\"a\":1}", json!([{ "a": 1 }]), json!([{}, { "a": 1, "b": 2 }]));
        check(json!({ "not_equal": "a" }), "not \"a\"", json!(["b", null, 1]), json!(["a"]));
        check(json!({ "in": [1, "a", null] }), "one of 1, \"a\", null", json!([1.0, "a", null]), json!(["1", [1]]));
        let big = 9_007_199_254_740_993_u64;
        check(json!(big), &big.to_string(), json!([big]), json!([big - 1, big + 1]));
    }

    #[test]
    fn bounds() {
        let none = json!(["3", null, true, [3], {}]);
        let check = |form, expected, right, wrong| {
            check(form, expected, right, wrong);
        };
        check(json!({ "less": 5 }), "less than 5", json!([4, 4.99, -1e9]), json!([5, 5.0, 6]));
        check(json!({ "greater": 5 }), "greater than 5", json!([5.01, 6]), json!([5, 4]));
        check(json!({ "at_most": 12.5 }), "at most 12.5", json!([12.5, 12]), json!([12.51, 13]));
        check(json!({ "at_least": -1 }), "at least -1", json!([-1, -1.0, 0]), json!([-2]));
        check(json!({ "less": 5 }), "less than 5", json!([]), none.clone());
        check(json!({ "at_least": 0 }), "at least 0", json!([]), none);
        let big = 9_007_199_254_740_993_u64;
        check(json!({ "less": big }), "less than 9007199254740993", json!([big - 1]), json!([big, big + 1]));
    }

    #[test]
    fn texts() {
        let none = json!([null, 5, true, ["äb"], { "äb": 1 }]);
        check(json!({ "contains": "äb" }), "to contain \"äb\"", json!(["xäby", "äb"]), json!(["a b", "", 5, null]));
        check(json!({ "starts_with": "äb" }), "to start with \"äb\"", json!(["äbc"]), json!(["xäb", ""]));
        check(json!({ "ends_with": "b\n" }), "to end with \"b\\n\"", json!(["äb\n"]), json!(["b", ""]));
        check(json!({ "matches": "^ä+b" }), "to match `^ä+b`", json!(["äääbc"]), json!(["b", "xäb"]));
        check(json!({ "matches": "b" }), "to match `b`", json!(["abc"]), json!(["B"]));
        check(json!({ "starts_with": "" }), "to start with \"\"", json!(["", "a"]), none.clone());
        check(json!({ "matches": "" }), "to match ``", json!(["", "a"]), none);
    }

    #[test]
    fn lists_and_maps() {
        check(json!({ "contains": 1 }), "to contain 1", json!([[1.0], [2, 1]]), json!([["1"], [], "1", 1, null]));
        check(json!({ "contains": { "a": 1 } }), "to contain {\"a\":1}", json!([[{ "a": 1 }]]), json!([{ "a": 1 }]));
        check(json!({ "contains": "a" }), "to contain \"a\"", json!([["a"], { "a": null }]), json!([{ "b": "a" }]));
        check(json!({ "is_empty": true }), "to be empty", json!(["", [], {}]), json!([" ", [null], null, 0, false]));
        check(json!({ "is_empty": false }), "not to be empty", json!(["a", [1], { "a": 1 }]), json!(["", [], {}]));
    }

    #[test]
    fn types() {
        let all = || vec![json!("1"), json!(1.5), json!(true), json!([]), json!({}), json!(null)];
        let words = ["text", "a number", "true or false", "a list", "a map", "null"];
        for (index, (name, word)) in ["text", "number", "boolean", "list", "map", "null"].iter().zip(words).enumerate()
        {
            let mut others = all();
            let right = others.remove(index);
            check(json!({ "type": name }), word, json!([right]), others.into());
        }
        check(json!({ "type": "integer" }), "an integer", json!([1, -1, 1.0, u64::MAX]), json!([1.5, "1", null]));
    }

    #[test]
    fn text_from_the_wire_is_parsed_as_the_type_it_is_compared_with() {
        let check = |form, expected, right, wrong| check_for(SubjectKind::Wire, form, expected, right, wrong);
        check(json!(2), "2", json!(["2", "2.0", " 2 "]), json!(["1.1", "", "02", "2 x", "[2]"]));
        check(json!("2"), "\"2\"", json!(["2"]), json!(["2.0"]));
        check(json!(true), "true", json!(["true"]), json!(["TRUE", "1"]));
        check(json!({ "at_least": 1.2 }), "at least 1.2", json!(["1.2", "1.3"]), json!(["1.1", "x", "NaN", "inf"]));
        check(json!({ "in": [1, "b"] }), "one of 1, \"b\"", json!(["1", "b"]), json!(["2"]));
        check(json!({ "type": "integer" }), "an integer", json!(["17"]), json!(["1.5", "x"]));
        check(json!({ "type": "text" }), "text", json!(["17", "x"]), json!([]));
        check(json!({ "starts_with": "1" }), "to start with \"1\"", json!(["1.1"]), json!(["2"]));
    }

    #[test]
    fn statuses() {
        let check = |form, expected, right, wrong| check_for(SubjectKind::Status, form, expected, right, wrong);
        check(json!("2xx"), "2xx", json!([200, 299]), json!([199, 300, 404]));
        check(json!([200, "3xx"]), "200 or 3xx", json!([200, 301]), json!([201, 400]));
        check(json!({ "in": ["204"] }), "204", json!([204]), json!([200]));
        check(json!({ "not_equal": "5xx" }), "not 5xx", json!([200]), json!([500, 503]));
        check(json!({ "not": [400, 401] }), "none of 400, 401", json!([200]), json!([400]));
        check(json!({ "less": 300 }), "less than 300", json!([200]), json!([300]));
    }
}
