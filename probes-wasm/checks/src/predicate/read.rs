//! A predicate from its form.

use serde_json::Value;

use super::names::unknown_operator;
use super::operator::{Bound, Operator};
use super::{Join, Node, Predicate};
use crate::Problem;
use crate::subject::Nature;
use crate::words::{below, problem};

const DEEPEST: usize = 32;

pub struct Reader<'p> {
    pub nature: Nature,
    /// Whether `value` stands for `equals`, and a map may be empty.
    pub assertion: bool,
    pub problems: &'p mut Vec<Problem>,
}

/// A place in the form: its JSON pointer, whether it is denied, and how deep it is.
#[derive(Clone, Copy)]
pub struct At<'p> {
    pub pointer: &'p str,
    negated: bool,
    depth: usize,
}

impl Reader<'_> {
    pub fn predicate(&mut self, form: &Value, pointer: &str) -> Option<Predicate> {
        let before = self.problems.len();
        let node = self.node(form, At { pointer, negated: false, depth: 0 })?;
        (self.problems.len() == before).then_some(Predicate { nature: self.nature, node })
    }

    fn node(&mut self, form: &Value, at: At) -> Option<Node> {
        let Value::Object(form) = form else { return self.operator("equals", form, at) };
        let assertion = self.assertion && at.depth == 0;
        if at.depth > DEEPEST {
            return self.wrong(at, format!("nested deeper than {DEEPEST}"));
        }
        if form.is_empty() {
            return if assertion {
                Some(at.leaf(Operator::Exists))
            } else {
                self.wrong(at, "expected at least one operator, such as `equals`")
            };
        }
        if form.get("exists") == Some(&Value::Bool(false)) && form.len() > 1 {
            return self.wrong(at, "what must not exist can have no other operator");
        }
        let nodes = form.iter().filter_map(|(name, operand)| {
            let at = At { pointer: &below(at.pointer, name), ..at };
            let name = if assertion && name == "value" { "equals" } else { name };
            self.operator(name, operand, at)
        });
        Some(at.many(Join::All, nodes.collect()))
    }

    fn operator(&mut self, name: &str, operand: &Value, at: At) -> Option<Node> {
        let operator = match name {
            "not" => return self.node(operand, At { negated: !at.negated, ..at.deeper() }),
            "all" => return self.nodes(Join::All, operand, at),
            "any" => return self.nodes(Join::Any, operand, at),
            "exists" => {
                let yes = self.yes_or_no(operand, at)?;
                return Some(At { negated: at.negated == yes, ..at }.leaf(Operator::Exists));
            }
            "is_empty" if self.yes_or_no(operand, at)? => Operator::Empty,
            "is_empty" => Operator::Other(Box::new(Operator::Empty)),
            "equals" => self.equals(operand, at)?,
            "not_equal" => Operator::Other(Box::new(self.equals(operand, at)?)),
            "in" => self.one_of(operand, at)?,
            "less" => self.bound(Bound::Less, operand, at)?,
            "greater" => self.bound(Bound::Greater, operand, at)?,
            "at_most" => self.bound(Bound::AtMost, operand, at)?,
            "at_least" => self.bound(Bound::AtLeast, operand, at)?,
            "contains" if self.nature == Nature::Json => Operator::Contains(operand.clone()),
            "contains" => Operator::Contains(self.text(operand, at)?.into()),
            "starts_with" => Operator::StartsWith(self.text(operand, at)?),
            "ends_with" => Operator::EndsWith(self.text(operand, at)?),
            "matches" => self.matches(operand, at)?,
            "type" => self.is(operand, at)?,
            name => return self.wrong(at, unknown_operator(name, self.assertion && at.depth == 0)),
        };
        let of_text = matches!(name, "contains" | "starts_with" | "ends_with" | "matches" | "is_empty");
        if of_text && matches!(self.nature, Nature::Number(_) | Nature::Status) {
            return self.wrong(at, format!("`{name}` never holds for a number"));
        }
        Some(at.leaf(operator))
    }

    fn nodes(&mut self, join: Join, forms: &Value, at: At) -> Option<Node> {
        let Some(forms) = forms.as_array().filter(|forms| !forms.is_empty()) else {
            return self.wrong(at, "expected a list of predicates");
        };
        let nodes = forms.iter().enumerate().filter_map(|(index, form)| {
            self.node(form, At { pointer: &below(at.pointer, &index.to_string()), ..at.deeper() })
        });
        Some(at.many(join, nodes.collect()))
    }

    pub fn wrong<T>(&mut self, at: At, message: impl Into<String>) -> Option<T> {
        problem(self.problems, at.pointer, message);
        None
    }
}

impl At<'_> {
    fn deeper(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }

    fn leaf(self, operator: Operator) -> Node {
        Node::Leaf { operator, negated: self.negated }
    }

    /// Not all of them hold when any of them does not, and the other way round.
    fn many(self, join: Join, mut nodes: Vec<Node>) -> Node {
        let join = match (join, self.negated) {
            (Join::All, false) | (Join::Any, true) => Join::All,
            (Join::Any, false) | (Join::All, true) => Join::Any,
        };
        match nodes.len() {
            1 => nodes.remove(0),
            _ => Node::Many(join, nodes),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "one-line cases")]
    fn check(nature: Nature, form: Value, expected: &[(&str, &str)]) {
        let mut problems = Vec::new();
        let read = Predicate::read_for(nature, &form, "", &mut problems);
        assert_eq!(read.is_some(), expected.is_empty());
        let found: Vec<_> = problems.iter().map(|problem| (&*problem.pointer, &*problem.message)).collect();
        assert_eq!(found, expected);
    }

    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "one-line cases")]
    fn check_assertion(form: Value, expected: &[(&str, &str)]) {
        let mut problems = Vec::new();
        Predicate::read_assertion(&form, "/assertions/a", &mut problems);
        let found: Vec<_> = problems.iter().map(|problem| (&*problem.pointer, &*problem.message)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn all_that_is_wrong_is_found() {
        check(
            Nature::Json,
            json!({ "eqals": 1, "less": "9", "not": { "matches": "(" }, "any": [1, { "type": "txt" }, { "a/b": 1 }] }),
            &[
                ("/eqals", "unknown operator `eqals`, did you mean `equals`?"),
                ("/less", "expected a number, got text"),
                ("/not/matches", "not a regular expression: unclosed group"),
                ("/any/1/type", "unknown type `txt`, did you mean `text`?"),
                (
                    "/any/2/a~1b",
                    "unknown operator `a/b`, expected one of `equals`, `not_equal`, `less`, `greater`, `at_most`, \
                     `at_least`, `contains`, `starts_with`, `ends_with`, `matches`, `in`, `exists`, `is_empty`, \
                     `type`, `not`, `all`, `any`",
                ),
            ],
        );
    }

    #[test]
    fn shapes() {
        let operator = "expected at least one operator, such as `equals`";
        check(Nature::Json, json!({}), &[("", operator)]);
        check(Nature::Json, json!({ "not": {} }), &[("/not", operator)]);
        check(Nature::Json, json!({ "all": [] }), &[("/all", "expected a list of predicates")]);
        check(Nature::Json, json!({ "any": { "less": 1 } }), &[("/any", "expected a list of predicates")]);
        check(
            Nature::Json,
            json!({ "exists": false, "less": 1 }),
            &[("", "what must not exist can have no other operator")],
        );
        check(Nature::Json, json!({ "exists": false }), &[]);
        check(Nature::Json, json!({ "any": [1, null, "a", [2], { "less": 1 }], "not": 5 }), &[]);
        check(Nature::Json, json!({ "value": 1 }), &[("/value", "unknown operator `value`, did you mean `equals`?")]);
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth| (0..depth).fold(json!(1), |form, _| json!({ "not": { "all": [{ "equals": form }] } }));
        check(Nature::Json, nested(1), &[]);
        let deep = |depth| (0..depth).fold(json!({ "less": 1 }), |form, _| json!({ "not": form }));
        check(Nature::Json, deep(32), &[]);
        check(Nature::Json, deep(33), &[(&"/not".repeat(33), "nested deeper than 32")]);
    }

    #[test]
    fn assertions_have_a_form_of_their_own() {
        for form in [json!({}), json!({ "value": 1 }), json!({ "exists": true, "value": null }), json!({ "less": 1 })] {
            check_assertion(form, &[]);
        }
        let value = "unknown operator `value`, did you mean `equals`?";
        check_assertion(json!({ "not": { "value": 1 } }), &[("/assertions/a/not/value", value)]);
        check_assertion(
            json!({ "exist": true }),
            &[("/assertions/a/exist", "unknown operator `exist`, did you mean `exists`?")],
        );
        check_assertion(json!({ "exists": "yes" }), &[("/assertions/a/exists", "expected true or false, got text")]);
        let other = "what must not exist can have no other operator";
        check_assertion(json!({ "exists": false, "value": 1 }), &[("/assertions/a", other)]);
    }
}
