//! Parsing the operands of operators.

use regex::RegexBuilder;
use sentrynet_guest::Seconds;
use serde_json::{Number, Value};

use super::operator::{Bound, Operator};
use super::parse::{Parser, Position};
use super::types::Type;
use crate::Statuses;
use crate::messages::describe_found;
use crate::subject::SubjectKind;
use crate::unit::Unit;

impl Parser<'_> {
    pub fn parse_equals(&mut self, operand: &Value, at: Position) -> Option<Operator> {
        match self.kind {
            SubjectKind::Status => self.parse_statuses(operand, at),
            _ => self.parse_value(operand, at).map(|value| Operator::OneOf(vec![value])),
        }
    }

    pub fn parse_in(&mut self, operand: &Value, at: Position) -> Option<Operator> {
        let Some(values) = operand.as_array().filter(|values| !values.is_empty()) else {
            return self.reject(at, format!("expected a list of values, got {}", describe_found(operand)));
        };
        if self.kind == SubjectKind::Status {
            return self.parse_statuses(operand, at);
        }
        Some(Operator::OneOf(values.iter().filter_map(|value| self.parse_value(value, at)).collect()))
    }

    fn parse_statuses(&mut self, operand: &Value, at: Position) -> Option<Operator> {
        match Statuses::try_from(operand.clone()) {
            Ok(statuses) => Some(Operator::Status(statuses)),
            Err(message) => self.reject(at, message),
        }
    }

    /// Parses a value that the subject can be equal to.
    fn parse_value(&mut self, value: &Value, at: Position) -> Option<Value> {
        let value = self.parse_value_of_kind(value, at)?;
        match self.subject.and_then(|subject| subject.why_never(&value)) {
            Some(why) => self.reject(at, why),
            None => Some(value),
        }
    }

    fn parse_value_of_kind(&mut self, value: &Value, at: Position) -> Option<Value> {
        let expected = match self.kind {
            SubjectKind::Number(Unit::Seconds) => {
                return self.reject(at, "a time never equals a number exactly: expected a bound, such as {less: 1}");
            }
            SubjectKind::Text => return self.parse_text(value, at).map(Value::from),
            SubjectKind::Number(_) if !value.is_number() => "a number",
            SubjectKind::Wire if matches!(value, Value::Null | Value::Array(_) | Value::Object(_)) => {
                "text or a number"
            }
            _ => return Some(value.clone()),
        };
        self.reject(at, format!("expected {expected}, got {}{}", describe_found(value), hint(value)))
    }

    pub fn parse_text(&mut self, operand: &Value, at: Position) -> Option<String> {
        match operand {
            Value::String(text) => Some(text.clone()),
            other => self.reject(at, format!("expected text, got {}{}", describe_found(other), hint(other))),
        }
    }

    pub fn parse_bound(&mut self, bound: Bound, operand: &Value, at: Position) -> Option<Operator> {
        match operand {
            Value::Number(_) if self.kind == SubjectKind::Text => {
                self.reject(at, "text cannot be compared with a number")
            }
            Value::Number(limit) => Some(Operator::Bound(bound, limit.clone())),
            Value::String(text) if self.takes_time() => match time_bound(text, self.kind) {
                Some(limit) => Some(Operator::Bound(bound, limit)),
                None => self.reject(at, "expected a number, or text with a unit such as `500ms`"),
            },
            other => self.reject(at, format!("expected a number, got {}", describe_found(other))),
        }
    }

    /// Returns true if the values of the subject are times.
    fn takes_time(&self) -> bool {
        matches!(self.kind, SubjectKind::Number(Unit::Seconds | Unit::Days))
    }

    pub fn parse_regex(&mut self, operand: &Value, at: Position) -> Option<Operator> {
        let pattern = self.parse_text(operand, at)?;
        // 4 MiB suffice for `\w{1,50}`, where `\w` contains the letters of all scripts.
        match RegexBuilder::new(&pattern).size_limit(4 << 20).dfa_size_limit(1 << 20).nest_limit(50).build() {
            Ok(regex) => Some(Operator::Matches(regex)),
            Err(regex::Error::CompiledTooBig(_)) => {
                self.reject(at, "the regular expression takes more than 4 MiB when it is compiled")
            }
            Err(error) => {
                // The first lines of the error show the place. The last line says what is wrong.
                let error = error.to_string();
                let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                self.reject(at, format!("not a regular expression: {why}"))
            }
        }
    }

    pub fn parse_type(&mut self, operand: &Value, at: Position) -> Option<Operator> {
        match operand.as_str().map(Type::parse) {
            Some(Ok(found)) => Some(Operator::HasType(found)),
            Some(Err(message)) => self.reject(at, message),
            None => self.reject(at, format!("expected a type such as `text`, got {}", describe_found(operand))),
        }
    }

    pub fn parse_bool(&mut self, operand: &Value, at: Position) -> Option<bool> {
        operand
            .as_bool()
            .or_else(|| self.reject(at, format!("expected true or false, got {}", describe_found(operand))))
    }
}

/// Parses a bound of a time, such as `500ms`, and returns it in the unit of the subject.
fn time_bound(text: &str, kind: SubjectKind) -> Option<Number> {
    const SECONDS_PER_DAY: f64 = 86_400.0;
    let seconds = Seconds::parse(text)?.as_f64();
    // A number alone has the unit of the subject.
    let has_unit = text.contains(|c: char| c.is_ascii_alphabetic());
    let number = if kind == SubjectKind::Number(Unit::Days) && has_unit { seconds / SECONDS_PER_DAY } else { seconds };
    // `1` is displayed as `1 s`, and `1.0` as `1.0 s`.
    serde_json::from_str(&number.to_string()).ok()
}

/// Returns advice for a value that is given where text is expected.
fn hint(value: &Value) -> &'static str {
    match value {
        Value::Number(_) | Value::Bool(_) => ": put it in quotes",
        Value::Array(_) => ": `in` takes a list",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Predicate;

    /// Asserts the message of the only mistake, if there is one.
    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "one-line cases")]
    fn check(kind: SubjectKind, form: Value, expected: Option<&str>) {
        let mut problems = Vec::new();
        Predicate::parse_for(kind, &form, "", &mut problems);
        assert_eq!(problems.first().map(|problem| &*problem.message), expected, "{form}");
        assert!(problems.len() <= 1, "{problems:?}");
    }

    #[test]
    fn operands_have_the_right_type() {
        let check = |form, expected: Option<&str>| check(SubjectKind::Json, form, expected);
        check(json!({ "less": null }), Some("expected a number, got nothing"));
        check(json!({ "starts_with": 10.0 }), Some("expected text, got 10.0: put it in quotes"));
        check(json!({ "matches": ["a"] }), Some("expected text, got a list: `in` takes a list"));
        check(
            json!({ "matches": "a{4,1}" }),
            Some("not a regular expression: invalid repetition count range, the start must be <= the end"),
        );
        check(json!({ "matches": "\\w{1,50}" }), None);
        check(json!({ "matches": "(?i)\\p{Greek}\\d\\s\\b" }), None);
        check(
            json!({ "matches": "((a{999}){999}){999}" }),
            Some("the regular expression takes more than 4 MiB when it is compiled"),
        );
        check(
            json!({ "matches": "(".repeat(100_000) + &")".repeat(100_000) }),
            Some("not a regular expression: exceed the maximum number of nested parentheses/brackets (50)"),
        );
        check(json!({ "in": "a" }), Some("expected a list of values, got text"));
        check(json!({ "in": [] }), Some("expected a list of values, got a list"));
        check(json!({ "in": [null, {}, []] }), None);
        check(json!({ "exists": 1 }), Some("expected true or false, got 1"));
        check(json!({ "is_empty": null }), Some("expected true or false, got nothing"));
        check(json!({ "type": "array" }), Some("unknown type `array`, did you mean `list`?"));
        check(json!({ "type": null }), Some("expected a type such as `text`, got nothing"));
        check(json!({ "contains": { "a": 1 } }), None);
    }

    #[test]
    fn operators_that_never_hold_for_text_are_rejected() {
        let check = |form, expected: Option<&str>| check(SubjectKind::Text, form, expected);
        check(json!("a"), None);
        check(json!({ "in": ["a"], "not": "b", "type": "text" }), None);
        check(json!(5), Some("expected text, got 5: put it in quotes"));
        check(json!(null), Some("expected text, got nothing"));
        check(json!(["a"]), Some("expected text, got a list: `in` takes a list"));
        check(json!({ "not_equal": {} }), Some("expected text, got a map"));
        check(json!({ "contains": true }), Some("expected text, got true: put it in quotes"));
        check(json!({ "less": 5 }), Some("text cannot be compared with a number"));
    }

    #[test]
    fn operators_that_never_hold_for_text_from_the_wire_are_rejected() {
        let check = |form, expected: Option<&str>| check(SubjectKind::Wire, form, expected);
        check(json!({ "in": ["a", 1, 1.5, true], "less": 1 }), None);
        check(json!(null), Some("expected text or a number, got nothing"));
        check(json!(["a"]), Some("expected text or a number, got a list: `in` takes a list"));
        check(json!({ "contains": 5 }), Some("expected text, got 5: put it in quotes"));
    }

    #[test]
    fn operators_that_never_hold_for_numbers_are_rejected() {
        let check = |form, expected: Option<&str>| check(SubjectKind::Number(Unit::Bytes), form, expected);
        check(json!(5), None);
        check(json!({ "in": [1, 2.5], "not_equal": 3, "at_most": 5 }), None);
        check(json!("5"), Some("expected a number, got text"));
        check(json!([5]), Some("expected a number, got a list: `in` takes a list"));
        check(json!({ "contains": "5" }), Some("`contains` never holds for a number"));
        check(json!({ "is_empty": false }), Some("`is_empty` never holds for a number"));
    }

    #[test]
    fn a_time_is_compared_with_bounds_only() {
        let check = |form, expected: Option<&str>| check(SubjectKind::Number(Unit::Seconds), form, expected);
        let bound = "a time never equals a number exactly: expected a bound, such as {less: 1}";
        check(json!({ "less": 0.8, "not": { "less": 0.1 } }), None);
        check(json!(0.8), Some(bound));
        check(json!({ "in": [1] }), Some(bound));
        check(json!("1s"), Some(bound));
    }

    #[test]
    fn bounds_of_times_can_have_a_unit() {
        let check_bound = |unit, text: &str, expected: Option<&str>| {
            let limit = time_bound(text, SubjectKind::Number(unit));
            assert_eq!(limit.map(|limit| limit.to_string()).as_deref(), expected, "{text}");
        };
        check_bound(Unit::Seconds, "500ms", Some("0.5"));
        check_bound(Unit::Seconds, "1m", Some("60"));
        check_bound(Unit::Seconds, "2", Some("2"));
        check_bound(Unit::Seconds, "soon", None);
        check_bound(Unit::Days, "14d", Some("14"));
        check_bound(Unit::Days, "12h", Some("0.5"));
        check_bound(Unit::Days, "14", Some("14"));
        let wrong = "expected a number, or text with a unit such as `500ms`";
        check(SubjectKind::Number(Unit::Seconds), json!({ "less": "soon" }), Some(wrong));
        check(SubjectKind::Number(Unit::Bytes), json!({ "less": "1s" }), Some("expected a number, got text"));
        check(SubjectKind::Json, json!({ "less": "1s" }), Some("expected a number, got text"));
    }

    #[test]
    fn statuses_are_numbers_or_classes() {
        let check = |form, expected: Option<&str>| check(SubjectKind::Status, form, expected);
        check(json!("2xx"), None);
        check(json!([200, "3xx"]), None);
        check(json!({ "in": [200, "3xx"], "not_equal": "5xx", "less": 300, "not": [400, 401] }), None);
        check(json!({ "starts_with": "2" }), Some("`starts_with` never holds for a number"));
        let status = "expected a number such as 200, a class such as `2xx`, or a list of them";
        check(json!({ "in": ["6xx"] }), Some(&format!("\"6xx\" is not a status: {status}")));
        check(json!({ "equals": null }), Some(&format!("null is not a status: {status}")));
        check(json!({ "less": "3xx" }), Some("expected a number, got text"));
    }
}
