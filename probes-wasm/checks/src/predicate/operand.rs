//! What stands beside an operator.

use regex::RegexBuilder;
use serde_json::Value;

use super::operator::{Bound, Operator};
use super::read::{At, Reader};
use super::types::Type;
use crate::Statuses;
use crate::subject::{Nature, Unit};
use crate::words::got;

impl Reader<'_> {
    pub fn equals(&mut self, operand: &Value, at: At) -> Option<Operator> {
        match self.nature {
            Nature::Status => self.statuses(operand, at),
            _ => self.value(operand, at).map(|value| Operator::OneOf(vec![value])),
        }
    }

    pub fn one_of(&mut self, operand: &Value, at: At) -> Option<Operator> {
        let Some(values) = operand.as_array().filter(|values| !values.is_empty()) else {
            return self.wrong(at, format!("expected a list of values, got {}", got(operand)));
        };
        if self.nature == Nature::Status {
            return self.statuses(operand, at);
        }
        Some(Operator::OneOf(values.iter().filter_map(|value| self.value(value, at)).collect()))
    }

    fn statuses(&mut self, operand: &Value, at: At) -> Option<Operator> {
        match Statuses::try_from(operand.clone()) {
            Ok(statuses) => Some(Operator::Status(statuses)),
            Err(message) => self.wrong(at, message),
        }
    }

    /// A value that the subject can have.
    fn value(&mut self, value: &Value, at: At) -> Option<Value> {
        let expected = match self.nature {
            Nature::Number(Unit::Seconds) => {
                return self.wrong(at, "a time is never exactly so long: expected a bound, such as {less: 1}");
            }
            Nature::Text => return self.text(value, at).map(Value::from),
            Nature::Number(_) if !value.is_number() => "a number",
            Nature::Wire if matches!(value, Value::Null | Value::Array(_) | Value::Object(_)) => "text or a number",
            _ => return Some(value.clone()),
        };
        self.wrong(at, format!("expected {expected}, got {}{}", got(value), hint(value)))
    }

    pub fn text(&mut self, operand: &Value, at: At) -> Option<String> {
        match operand {
            Value::String(text) => Some(text.clone()),
            other => self.wrong(at, format!("expected text, got {}{}", got(other), hint(other))),
        }
    }

    pub fn bound(&mut self, bound: Bound, operand: &Value, at: At) -> Option<Operator> {
        match operand {
            Value::Number(_) if self.nature == Nature::Text => {
                self.wrong(at, "text is neither less nor greater than a number")
            }
            Value::Number(limit) => Some(Operator::Bound(bound, limit.clone())),
            other => self.wrong(at, format!("expected a number, got {}", got(other))),
        }
    }

    pub fn matches(&mut self, operand: &Value, at: At) -> Option<Operator> {
        let pattern = self.text(operand, at)?;
        // Room for `\w{1,50}`, which knows the letters of all scripts.
        match RegexBuilder::new(&pattern).size_limit(4 << 20).dfa_size_limit(1 << 20).nest_limit(50).build() {
            Ok(regex) => Some(Operator::Matches(regex)),
            Err(regex::Error::CompiledTooBig(_)) => self.wrong(at, "too big a regular expression"),
            Err(error) => {
                // The error draws the place over several lines; the sentence stands in its last.
                let error = error.to_string();
                let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                self.wrong(at, format!("not a regular expression: {why}"))
            }
        }
    }

    pub fn is(&mut self, operand: &Value, at: At) -> Option<Operator> {
        match operand.as_str().map(Type::parse) {
            Some(Ok(found)) => Some(Operator::Is(found)),
            Some(Err(message)) => self.wrong(at, message),
            None => self.wrong(at, format!("expected a type such as `text`, got {}", got(operand))),
        }
    }

    pub fn yes_or_no(&mut self, operand: &Value, at: At) -> Option<bool> {
        operand.as_bool().or_else(|| self.wrong(at, format!("expected true or false, got {}", got(operand))))
    }
}

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

    /// The problem at the operator.
    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "one-line cases")]
    fn check(nature: Nature, form: Value, expected: Option<&str>) {
        let mut problems = Vec::new();
        Predicate::read_for(nature, &form, "", &mut problems);
        assert_eq!(problems.first().map(|problem| &*problem.message), expected, "{form}");
        assert!(problems.len() <= 1, "{problems:?}");
    }

    #[test]
    fn operands() {
        let check = |form, expected: Option<&str>| check(Nature::Json, form, expected);
        check(json!({ "less": null }), Some("expected a number, got nothing"));
        check(json!({ "starts_with": 10.0 }), Some("expected text, got 10.0: put it in quotes"));
        check(json!({ "matches": ["a"] }), Some("expected text, got a list: `in` takes a list"));
        check(
            json!({ "matches": "a{4,1}" }),
            Some("not a regular expression: invalid repetition count range, the start must be <= the end"),
        );
        check(json!({ "matches": "\\w{1,50}" }), None);
        check(json!({ "matches": "(?i)\\p{Greek}\\d\\s\\b" }), None);
        check(json!({ "matches": "((a{999}){999}){999}" }), Some("too big a regular expression"));
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
    fn what_never_holds_for_text() {
        let check = |form, expected: Option<&str>| check(Nature::Text, form, expected);
        check(json!("a"), None);
        check(json!({ "in": ["a"], "not": "b", "type": "text" }), None);
        check(json!(5), Some("expected text, got 5: put it in quotes"));
        check(json!(null), Some("expected text, got nothing"));
        check(json!(["a"]), Some("expected text, got a list: `in` takes a list"));
        check(json!({ "not_equal": {} }), Some("expected text, got a map"));
        check(json!({ "contains": true }), Some("expected text, got true: put it in quotes"));
        check(json!({ "less": 5 }), Some("text is neither less nor greater than a number"));
    }

    #[test]
    fn what_never_holds_for_text_from_the_wire() {
        let check = |form, expected: Option<&str>| check(Nature::Wire, form, expected);
        check(json!({ "in": ["a", 1, 1.5, true], "less": 1 }), None);
        check(json!(null), Some("expected text or a number, got nothing"));
        check(json!(["a"]), Some("expected text or a number, got a list: `in` takes a list"));
        check(json!({ "contains": 5 }), Some("expected text, got 5: put it in quotes"));
    }

    #[test]
    fn what_never_holds_for_numbers() {
        let check = |form, expected: Option<&str>| check(Nature::Number(Unit::Bytes), form, expected);
        check(json!(5), None);
        check(json!({ "in": [1, 2.5], "not_equal": 3, "at_most": 5 }), None);
        check(json!("5"), Some("expected a number, got text"));
        check(json!([5]), Some("expected a number, got a list: `in` takes a list"));
        check(json!({ "contains": "5" }), Some("`contains` never holds for a number"));
        check(json!({ "is_empty": false }), Some("`is_empty` never holds for a number"));
    }

    #[test]
    fn a_time_has_bounds() {
        let check = |form, expected: Option<&str>| check(Nature::Number(Unit::Seconds), form, expected);
        let bound = "a time is never exactly so long: expected a bound, such as {less: 1}";
        check(json!({ "less": 0.8, "not": { "less": 0.1 } }), None);
        check(json!(0.8), Some(bound));
        check(json!({ "in": [1] }), Some(bound));
    }

    #[test]
    fn statuses() {
        let check = |form, expected: Option<&str>| check(Nature::Status, form, expected);
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
