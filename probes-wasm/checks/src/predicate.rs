//! Predicates: what a value must be.

mod operand;
mod operator;
mod operator_names;
mod parse;
mod types;
mod wire_value;

use serde_json::Value;

use self::operator::Operator;
use self::parse::Parser;
use self::wire_value::WireValue;
use crate::subject::{Subject, SubjectKind};
use crate::unit::Unit;
use crate::{Level, Mismatch, Problem};

pub(crate) use self::operator_names::OPERATORS;
pub(crate) use self::types::TYPES;

/// A condition on a value. The [crate's documentation](crate) describes how it is written.
#[derive(Debug, Clone)]
pub struct Predicate {
    kind: SubjectKind,
    level: Level,
    node: Node,
}

/// A node of a predicate's tree. Only leaves are negated, by De Morgan's laws: "not all of" becomes "any of not". Thus
/// each node can be described in words.
#[derive(Debug, Clone)]
enum Node {
    Leaf { operator: Operator, negated: bool },
    Group(Combinator, Vec<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Combinator {
    All,
    Any,
}

impl Predicate {
    /// Parses a predicate for a JSON value; `pointer` is the JSON pointer to it. Returns `None` if there are mistakes,
    /// which are added to `problems`.
    pub fn parse(form: &Value, pointer: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        Self::parse_for(SubjectKind::Json, form, pointer, problems)
    }

    /// Parses a predicate of `assertions`. In addition to [`parse`](Self::parse), `value` is another name for `equals`,
    /// and a map without operators requires that there is a value.
    pub fn parse_assertion(form: &Value, pointer: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        let mut parser = Parser { kind: SubjectKind::Json, subject: None, in_assertions: true, problems };
        parser.parse(form, pointer)
    }

    /// Parses a predicate for a subject.
    pub(crate) fn parse_of(
        subject: &Subject,
        form: &Value,
        pointer: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        Parser { kind: subject.kind(), subject: Some(subject), in_assertions: false, problems }.parse(form, pointer)
    }

    /// Parses a predicate for any subject of this kind.
    pub(crate) fn parse_for(
        kind: SubjectKind,
        form: &Value,
        pointer: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        Parser { kind, subject: None, in_assertions: false, problems }.parse(form, pointer)
    }

    /// Returns the level, which says whether the run fails or has a warning if the predicate does not hold.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Returns the operators that do not hold. `absent_text` stands for the actual value if there is none.
    pub fn mismatches(&self, subject: &str, actual: Option<&Value>, absent_text: &str) -> Vec<Mismatch> {
        let wire_value = actual.map(|value| WireValue::new(value, self.kind));
        let mut failing = Vec::new();
        self.node.collect_failing(wire_value.as_ref(), &mut failing);
        let unit = self.unit();
        let mismatch = |expected, actual| Mismatch { subject: subject.to_owned(), expected, actual };
        match actual {
            Some(value) => {
                let actual = unit.display(value);
                failing.iter().map(|node| mismatch(node.describe(unit), actual.clone())).collect()
            }
            // A missing value is one mismatch, however many operators it fails.
            None if failing.is_empty() => Vec::new(),
            None => vec![mismatch(describe_all(&failing, unit), absent_text.to_owned())],
        }
    }

    /// Returns the unit of the numbers that are compared.
    fn unit(&self) -> Unit {
        match self.kind {
            SubjectKind::Number(unit) => unit,
            _ => Unit::None,
        }
    }
}

impl Node {
    fn holds(&self, actual: Option<&WireValue>) -> bool {
        match self {
            Self::Leaf { operator, negated } => operator.holds(actual) != *negated,
            Self::Group(Combinator::All, nodes) => nodes.iter().all(|node| node.holds(actual)),
            Self::Group(Combinator::Any, nodes) => nodes.iter().any(|node| node.holds(actual)),
        }
    }

    /// Collects the nodes that do not hold, of all that must hold.
    fn collect_failing<'n>(&'n self, actual: Option<&WireValue>, found: &mut Vec<&'n Self>) {
        match self {
            Self::Group(Combinator::All, nodes) => nodes.iter().for_each(|node| node.collect_failing(actual, found)),
            node if node.holds(actual) => {}
            node => found.push(node),
        }
    }

    /// Returns what is expected, in words.
    fn describe(&self, unit: Unit) -> String {
        match self {
            Self::Leaf { operator, negated } => operator.describe(unit, *negated),
            Self::Group(combinator, nodes) => join_descriptions(*combinator, nodes.iter(), unit),
        }
    }
}

/// Joins what several nodes expect by `and` or `or`.
fn join_descriptions<'n>(combinator: Combinator, nodes: impl Iterator<Item = &'n Node>, unit: Unit) -> String {
    let expected = |node: &Node| match node {
        Node::Group(inner, _) if *inner != combinator => format!("({})", node.describe(unit)),
        _ => node.describe(unit),
    };
    let word = if combinator == Combinator::All { " and " } else { " or " };
    nodes.map(expected).collect::<Vec<_>>().join(word)
}

/// Joins what all nodes expect. "To exist" is left out beside operators that imply it.
fn describe_all(nodes: &[&Node], unit: Unit) -> String {
    let is_exists = |node: &Node| matches!(node, Node::Leaf { operator: Operator::Exists, .. });
    let more: Vec<&Node> = nodes.iter().copied().filter(|node| !is_exists(node)).collect();
    join_descriptions(Combinator::All, if more.is_empty() { nodes } else { &more }.iter().copied(), unit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Asserts the descriptions of the operators that do not hold for a value.
    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "one-line cases")]
    fn check(form: Value, actual: Option<Value>, expected: &[&str]) {
        let mut problems = Vec::new();
        let predicate = Predicate::parse_assertion(&form, "", &mut problems).expect("the predicate is valid");
        let mismatches = predicate.mismatches("$", actual.as_ref(), "no match");
        let found: Vec<&str> = mismatches.iter().map(|mismatch| &*mismatch.expected).collect();
        assert_eq!(found, expected, "{form} {actual:?}");
        let shown = actual.map_or("no match".to_owned(), |actual| actual.to_string());
        assert!(mismatches.iter().all(|mismatch| mismatch.actual == shown), "{mismatches:?}");
    }

    #[test]
    fn all_operators_hold_and_those_that_do_not_are_named() {
        let form = json!({ "type": "number", "less": 5, "greater": 1, "not_equal": 3 });
        check(form.clone(), Some(json!(2)), &[]);
        check(form.clone(), Some(json!(7)), &["less than 5"]);
        check(form.clone(), Some(json!("a")), &["a number", "less than 5", "greater than 1"]);
        check(form, None, &["a number and less than 5 and greater than 1 and not 3"]);
    }

    #[test]
    fn negated_predicates_are_described() {
        check(json!({ "not": { "matches": "(?i)error" } }), Some(json!("An Error")), &["not to match `(?i)error`"]);
        check(json!({ "not": "a" }), Some(json!("a")), &["not \"a\""]);
        check(json!({ "not": { "not": "a" } }), Some(json!("b")), &["\"a\""]);
        check(json!({ "not": { "in": [1, 2] } }), Some(json!(2)), &["none of 1, 2"]);
        check(json!({ "not": { "not_equal": 1 } }), Some(json!(2)), &["1"]);
        check(json!({ "not": { "is_empty": true } }), Some(json!([])), &["not to be empty"]);
        check(json!({ "not": { "is_empty": false } }), Some(json!([1])), &["to be empty"]);
        check(
            json!({ "not": { "greater": 1, "less": 5 } }),
            Some(json!(3)),
            &["not greater than 1 or not less than 5"],
        );
        check(json!({ "not": { "greater": 1, "less": 5 } }), Some(json!(5)), &[]);
        check(json!({ "not": { "any": [1, 2, 3] } }), Some(json!(2)), &["not 2"]);
        check(json!({ "not": { "all": [{ "less": 5 }, { "not": 3 }] } }), Some(json!(4)), &["not less than 5 or 3"]);
    }

    #[test]
    fn alternatives_are_described() {
        let form = json!({ "any": ["up", { "greater": 5, "less": 9 }, { "exists": false }] });
        check(form.clone(), Some(json!("up")), &[]);
        check(form.clone(), Some(json!(7)), &[]);
        check(form.clone(), None, &[]);
        check(form, Some(json!(9)), &["\"up\" or (greater than 5 and less than 9) or not to exist"]);
        check(json!({ "all": [{ "less": 5 }, { "any": [1, 2] }] }), Some(json!(7)), &["less than 5", "1 or 2"]);
        check(json!({ "type": "text", "any": [1, 2] }), None, &["text and (1 or 2)"]);
    }

    #[test]
    fn a_missing_value_holds_only_for_negations() {
        for form in [json!({ "exists": false }), json!({ "not": { "exists": true } }), json!({ "not": 1 })] {
            check(form, None, &[]);
        }
        check(json!({ "not": { "exists": false } }), None, &["to exist"]);
        check(json!({ "exists": true, "not": 1 }), None, &["to exist"]);
        check(json!({ "not_equal": 1 }), None, &["not 1"]);
        check(json!({ "is_empty": false }), None, &["not to be empty"]);
        check(json!({ "is_empty": true }), None, &["to be empty"]);
        check(json!({ "type": "null" }), None, &["null"]);
        check(json!(null), None, &["null"]);
    }

    #[test]
    fn assertions_have_other_forms_too() {
        check(json!("ok"), Some(json!("ok")), &[]);
        check(json!("ok"), Some(json!("down")), &["\"ok\""]);
        check(json!("ok"), None, &["\"ok\""]);
        check(json!({}), Some(json!(null)), &[]);
        check(json!({}), None, &["to exist"]);
        check(json!({ "exists": true, "value": 1 }), None, &["1"]);
        check(json!({ "exists": true, "value": 1 }), Some(json!(2)), &["1"]);
        check(json!({ "exists": false }), Some(json!(1)), &["not to exist"]);
        for value in [json!(false), json!(0), json!(""), json!([])] {
            check(json!({ "value": value }), Some(value.clone()), &[]);
            check(json!({ "value": value }), Some(json!("x")), &[&value.to_string()]);
        }
    }
}
