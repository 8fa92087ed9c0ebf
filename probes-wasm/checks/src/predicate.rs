//! What a value must be.

mod names;
mod operand;
mod operator;
mod read;
mod seen;
mod types;

use serde_json::Value;

use self::operator::Operator;
use self::read::Reader;
use self::seen::Seen;
use crate::subject::{Nature, Unit};
use crate::{Mismatch, Problem};

pub(crate) use self::names::OPERATORS;
pub(crate) use self::types::TYPES;

/// What a value must be: see the [crate's documentation](crate) for its form.
#[derive(Debug, Clone)]
pub struct Predicate {
    nature: Nature,
    node: Node,
}

/// Negations stand at the leaves alone: "not all of" is "any of not", and so can say what it expected.
#[derive(Debug, Clone)]
enum Node {
    Leaf { operator: Operator, negated: bool },
    Many(Join, Vec<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Join {
    All,
    Any,
}

impl Predicate {
    /// Reads what a JSON value must be. None when there are problems with it, which are noted.
    pub fn read(form: &Value, pointer: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        Self::read_for(Nature::Json, form, pointer, problems)
    }

    /// Reads the form of `assertions`: as [`read`](Self::read), but `value` also stands for `equals`, and a map without
    /// operators asks for existence.
    pub fn read_assertion(form: &Value, pointer: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        let mut reader = Reader { nature: Nature::Json, assertion: true, problems };
        reader.predicate(form, pointer)
    }

    pub(crate) fn read_for(nature: Nature, form: &Value, pointer: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        Reader { nature, assertion: false, problems }.predicate(form, pointer)
    }

    /// All that does not hold. `missing` says in words what there is when there is no value.
    pub fn mismatches(&self, subject: &str, actual: Option<&Value>, missing: &str) -> Vec<Mismatch> {
        let seen = actual.map(|value| Seen::new(value, self.nature));
        let mut failing = Vec::new();
        self.node.failing(seen.as_ref(), &mut failing);
        let unit = self.unit();
        let mismatch = |expected, actual| Mismatch { subject: subject.to_owned(), expected, actual };
        match actual {
            Some(value) => {
                let actual = unit.value(value);
                failing.iter().map(|node| mismatch(node.expected(unit), actual.clone())).collect()
            }
            // One thing is wrong, however many operators it fails.
            None if failing.is_empty() => Vec::new(),
            None => vec![mismatch(all_of(&failing, unit), missing.to_owned())],
        }
    }

    fn unit(&self) -> Unit {
        match self.nature {
            Nature::Number(unit) => unit,
            _ => Unit::None,
        }
    }
}

impl Node {
    fn holds(&self, seen: Option<&Seen>) -> bool {
        match self {
            Self::Leaf { operator, negated } => operator.holds(seen) != *negated,
            Self::Many(Join::All, nodes) => nodes.iter().all(|node| node.holds(seen)),
            Self::Many(Join::Any, nodes) => nodes.iter().any(|node| node.holds(seen)),
        }
    }

    /// What fails of all that must hold.
    fn failing<'n>(&'n self, seen: Option<&Seen>, found: &mut Vec<&'n Self>) {
        match self {
            Self::Many(Join::All, nodes) => nodes.iter().for_each(|node| node.failing(seen, found)),
            node if node.holds(seen) => {}
            node => found.push(node),
        }
    }

    fn expected(&self, unit: Unit) -> String {
        match self {
            Self::Leaf { operator, negated } => operator.expected(unit, *negated),
            Self::Many(join, nodes) => joined(*join, nodes.iter(), unit),
        }
    }
}

fn joined<'n>(join: Join, nodes: impl Iterator<Item = &'n Node>, unit: Unit) -> String {
    let expected = |node: &Node| match node {
        Node::Many(inner, _) if *inner != join => format!("({})", node.expected(unit)),
        _ => node.expected(unit),
    };
    let word = if join == Join::All { " and " } else { " or " };
    nodes.map(expected).collect::<Vec<_>>().join(word)
}

/// Existence is not worth a word beside what only a value can be.
fn all_of(nodes: &[&Node], unit: Unit) -> String {
    let existence = |node: &Node| matches!(node, Node::Leaf { operator: Operator::Exists, .. });
    let more: Vec<&Node> = nodes.iter().copied().filter(|node| !existence(node)).collect();
    joined(Join::All, if more.is_empty() { nodes } else { &more }.iter().copied(), unit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What was expected of a value, by what did not hold.
    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "one-line cases")]
    fn check(form: Value, actual: Option<Value>, expected: &[&str]) {
        let mut problems = Vec::new();
        let predicate = Predicate::read_assertion(&form, "", &mut problems).expect("a right form");
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
    fn negations() {
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
    fn alternatives() {
        let form = json!({ "any": ["up", { "greater": 5, "less": 9 }, { "exists": false }] });
        check(form.clone(), Some(json!("up")), &[]);
        check(form.clone(), Some(json!(7)), &[]);
        check(form.clone(), None, &[]);
        check(form, Some(json!(9)), &["\"up\" or (greater than 5 and less than 9) or not to exist"]);
        check(json!({ "all": [{ "less": 5 }, { "any": [1, 2] }] }), Some(json!(7)), &["less than 5", "1 or 2"]);
        check(json!({ "type": "text", "any": [1, 2] }), None, &["text and (1 or 2)"]);
    }

    #[test]
    fn what_is_missing_holds_for_denials_alone() {
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
    fn assertions() {
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
