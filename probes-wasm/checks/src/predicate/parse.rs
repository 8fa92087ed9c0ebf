//! Parsing predicates.

use std::borrow::Cow;

use serde_json::Value;

use super::operator::{Bound, Operator};
use super::operator_names::unknown_operator;
use super::{Combinator, Node, Predicate};
use crate::messages::{add_problem, child_pointer};
use crate::subject::{Subject, SubjectKind};
use crate::{Level, Problem};

/// The deepest nesting of `not`, `all` and `any`.
const MAX_DEPTH: usize = 32;

/// A parser of predicates for subjects of one kind.
pub struct Parser<'p> {
    pub kind: SubjectKind,
    /// The subject, if it is known.
    pub subject: Option<&'p Subject>,
    /// True in `assertions`, where `value` is another name for `equals`, and a map may be empty.
    pub in_assertions: bool,
    pub problems: &'p mut Vec<Problem>,
}

/// A position in the predicate.
#[derive(Clone, Copy)]
pub struct Position<'p> {
    /// The JSON pointer to it.
    pub pointer: &'p str,
    /// True inside an odd number of `not`.
    negated: bool,
    /// The number of `not`, `all` and `any` around it.
    depth: usize,
}

impl Parser<'_> {
    /// Parses a predicate. Returns `None` if there are mistakes, which are added to `problems`.
    pub fn parse(&mut self, form: &Value, pointer: &str) -> Option<Predicate> {
        let before = self.problems.len();
        let (level, form) = self.take_level(form, pointer);
        let node = self.parse_node(&form, Position { pointer, negated: false, depth: 0 })?;
        (self.problems.len() == before).then_some(Predicate { kind: self.kind, level, node })
    }

    /// Parses the key `level`, which stands beside the operators. Returns it, and the form without it.
    fn take_level<'f>(&mut self, form: &'f Value, pointer: &str) -> (Level, Cow<'f, Value>) {
        let Some(level) = form.get("level") else { return (Level::default(), Cow::Borrowed(form)) };
        let level = Level::parse(level).unwrap_or_else(|message| {
            add_problem(self.problems, &child_pointer(pointer, "level"), message);
            Level::default()
        });
        let mut form = form.clone();
        form.as_object_mut().and_then(|form| form.shift_remove("level"));
        (level, Cow::Owned(form))
    }

    fn parse_node(&mut self, form: &Value, at: Position) -> Option<Node> {
        let Value::Object(form) = form else { return self.parse_operator("equals", form, at) };
        let is_assertion = self.in_assertions && at.depth == 0;
        if at.depth > MAX_DEPTH {
            return self.reject(at, format!("nested deeper than {MAX_DEPTH}"));
        }
        if form.is_empty() {
            return if is_assertion {
                Some(at.leaf(Operator::Exists))
            } else {
                self.reject(at, "expected at least one operator, such as `equals`")
            };
        }
        if form.get("exists") == Some(&Value::Bool(false)) && form.len() > 1 {
            return self.reject(at, "`exists: false` cannot be combined with other operators");
        }
        let nodes = form.iter().filter_map(|(name, operand)| {
            let at = Position { pointer: &child_pointer(at.pointer, name), ..at };
            let name = if is_assertion && name == "value" { "equals" } else { name };
            self.parse_operator(name, operand, at)
        });
        Some(at.group(Combinator::All, nodes.collect()))
    }

    fn parse_operator(&mut self, name: &str, operand: &Value, at: Position) -> Option<Node> {
        let operator = match name {
            "not" => return self.parse_node(operand, Position { negated: !at.negated, ..at.deeper() }),
            "all" => return self.parse_list(Combinator::All, operand, at),
            "any" => return self.parse_list(Combinator::Any, operand, at),
            "exists" => {
                let exists = self.parse_bool(operand, at)?;
                return Some(Position { negated: at.negated == exists, ..at }.leaf(Operator::Exists));
            }
            "is_empty" if self.parse_bool(operand, at)? => Operator::IsEmpty,
            "is_empty" => Operator::ExistsAndNot(Box::new(Operator::IsEmpty)),
            "equals" => self.parse_equals(operand, at)?,
            "not_equal" => Operator::ExistsAndNot(Box::new(self.parse_equals(operand, at)?)),
            "in" => self.parse_in(operand, at)?,
            "less" => self.parse_bound(Bound::Less, operand, at)?,
            "greater" => self.parse_bound(Bound::Greater, operand, at)?,
            "at_most" => self.parse_bound(Bound::AtMost, operand, at)?,
            "at_least" => self.parse_bound(Bound::AtLeast, operand, at)?,
            "contains" if self.kind == SubjectKind::Json => Operator::Contains(operand.clone()),
            "contains" => Operator::Contains(self.parse_text(operand, at)?.into()),
            "starts_with" => Operator::StartsWith(self.parse_text(operand, at)?),
            "ends_with" => Operator::EndsWith(self.parse_text(operand, at)?),
            "matches" => self.parse_regex(operand, at)?,
            "type" => self.parse_type(operand, at)?,
            name => return self.reject(at, unknown_operator(name, self.in_assertions && at.depth == 0)),
        };
        let is_for_text = matches!(name, "contains" | "starts_with" | "ends_with" | "matches" | "is_empty");
        if is_for_text && matches!(self.kind, SubjectKind::Number(_) | SubjectKind::Status) {
            return self.reject(at, format!("`{name}` never holds for a number"));
        }
        Some(at.leaf(operator))
    }

    fn parse_list(&mut self, combinator: Combinator, forms: &Value, at: Position) -> Option<Node> {
        let Some(forms) = forms.as_array().filter(|forms| !forms.is_empty()) else {
            return self.reject(at, "expected a list of predicates");
        };
        let nodes = forms.iter().enumerate().filter_map(|(index, form)| {
            self.parse_node(form, Position { pointer: &child_pointer(at.pointer, &index.to_string()), ..at.deeper() })
        });
        Some(at.group(combinator, nodes.collect()))
    }

    /// Adds a mistake, and returns `None`.
    pub fn reject<T>(&mut self, at: Position, message: impl Into<String>) -> Option<T> {
        add_problem(self.problems, at.pointer, message);
        None
    }
}

impl Position<'_> {
    fn deeper(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }

    fn leaf(self, operator: Operator) -> Node {
        Node::Leaf { operator, negated: self.negated }
    }

    /// Groups nodes that are negated already. By De Morgan's laws, a negated "all" is "any", and a negated "any" is
    /// "all".
    fn group(self, combinator: Combinator, mut nodes: Vec<Node>) -> Node {
        let combinator = match (combinator, self.negated) {
            (Combinator::All, false) | (Combinator::Any, true) => Combinator::All,
            (Combinator::Any, false) | (Combinator::All, true) => Combinator::Any,
        };
        match nodes.len() {
            1 => nodes.remove(0),
            _ => Node::Group(combinator, nodes),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "one-line cases")]
    fn check(kind: SubjectKind, form: Value, expected: &[(&str, &str)]) {
        let mut problems = Vec::new();
        let predicate = Predicate::parse_for(kind, &form, "", &mut problems);
        assert_eq!(predicate.is_some(), expected.is_empty());
        let found: Vec<_> = problems.iter().map(|problem| (&*problem.pointer, &*problem.message)).collect();
        assert_eq!(found, expected);
    }

    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "one-line cases")]
    fn check_assertion(form: Value, expected: &[(&str, &str)]) {
        let mut problems = Vec::new();
        Predicate::parse_assertion(&form, "/assertions/a", &mut problems);
        let found: Vec<_> = problems.iter().map(|problem| (&*problem.pointer, &*problem.message)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn all_mistakes_are_found() {
        check(
            SubjectKind::Json,
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
    fn malformed_predicates_are_rejected() {
        let operator = "expected at least one operator, such as `equals`";
        check(SubjectKind::Json, json!({}), &[("", operator)]);
        check(SubjectKind::Json, json!({ "not": {} }), &[("/not", operator)]);
        check(SubjectKind::Json, json!({ "all": [] }), &[("/all", "expected a list of predicates")]);
        check(SubjectKind::Json, json!({ "any": { "less": 1 } }), &[("/any", "expected a list of predicates")]);
        check(
            SubjectKind::Json,
            json!({ "exists": false, "less": 1 }),
            &[("", "`exists: false` cannot be combined with other operators")],
        );
        check(SubjectKind::Json, json!({ "exists": false }), &[]);
        check(SubjectKind::Json, json!({ "any": [1, null, "a", [2], { "less": 1 }], "not": 5 }), &[]);
        check(
            SubjectKind::Json,
            json!({ "value": 1 }),
            &[("/value", "unknown operator `value`, did you mean `equals`?")],
        );
    }

    #[test]
    fn a_level_stands_beside_the_operators() {
        let level = |form: Value| {
            let predicate = Predicate::parse_for(SubjectKind::Json, &form, "", &mut Vec::new());
            predicate.expect("the predicate is valid").level()
        };
        assert_eq!(level(json!({ "less": 5, "level": "warning" })), Level::Warning);
        for form in [json!({ "less": 5, "level": "error" }), json!({ "less": 5 }), json!("level"), json!(["level"])] {
            assert_eq!(level(form), Level::Error);
        }
        assert_eq!(level(json!({ "equals": { "level": "warning" } })), Level::Error);
        let check = |form: Value, expected: &[(&str, &str)]| check(SubjectKind::Json, form, expected);
        check(json!({ "level": "warning" }), &[("", "expected at least one operator, such as `equals`")]);
        check(json!({ "less": 5, "level": "warn" }), &[("/level", "unknown level `warn`, did you mean `warning`?")]);
        let levels = "unknown level `info`, expected one of `error`, `warning`";
        check(json!({ "less": "x", "level": "info" }), &[("/level", levels), ("/less", "expected a number, got text")]);
        check(json!({ "less": 5, "level": 3 }), &[("/level", "expected `error` or `warning`, got 3")]);
        check_assertion(json!({ "level": "warning" }), &[]);
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth| (0..depth).fold(json!(1), |form, _| json!({ "not": { "all": [{ "equals": form }] } }));
        check(SubjectKind::Json, nested(1), &[]);
        let deep = |depth| (0..depth).fold(json!({ "less": 1 }), |form, _| json!({ "not": form }));
        check(SubjectKind::Json, deep(32), &[]);
        check(SubjectKind::Json, deep(33), &[(&"/not".repeat(33), "nested deeper than 32")]);
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
        let other = "`exists: false` cannot be combined with other operators";
        check_assertion(json!({ "exists": false, "value": 1 }), &[("/assertions/a", other)]);
    }
}
