//! The checks of a probe, built one by one.

use super::yaml::{Map, Node};

/// The greatest length of the key of a check. A configuration takes no longer keys.
const MAX_SUBJECT_BYTES: usize = 1000;

/// What a response must be: subjects, and a predicate for each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checks(Vec<(String, Node)>);

impl Checks {
    /// Adds a check. Several of one subject must all hold. Returns false for a subject that is too long.
    pub fn add(&mut self, subject: &str, predicate: impl Into<Node>) -> bool {
        let predicate = predicate.into();
        if subject.len() > MAX_SUBJECT_BYTES {
            return false;
        }
        match self.0.iter_mut().find(|(known, _)| known == subject) {
            Some((_, before)) if *before == predicate => {}
            Some((_, before)) => *before = both(before.clone(), predicate),
            None => self.0.push((subject.to_owned(), predicate)),
        }
        true
    }

    pub fn has(&self, subject: &str) -> bool {
        self.0.iter().any(|(known, _)| known == subject)
    }

    /// Returns the value of the key `checks`; `None` if there are none.
    pub fn to_node(&self) -> Option<Node> {
        let mut map = Map::default();
        self.0.iter().for_each(|(subject, predicate)| map.set(subject, predicate.clone()));
        (!map.is_empty()).then_some(map.into())
    }
}

/// Returns a predicate of one operator.
pub fn operator(name: &'static str, operand: impl Into<Node>) -> Node {
    Map::short([(name, operand.into())]).into()
}

/// Returns a predicate that holds if one of several does.
pub fn any(mut predicates: Vec<Node>) -> Node {
    if predicates.len() == 1 { predicates.remove(0) } else { operator("any", predicates) }
}

/// Returns a predicate that holds if both do: with the operators of both, if these are different ones.
fn both(first: Node, second: Node) -> Node {
    if let (Node::Map(first), Node::Map(second)) = (&first, &second) {
        if first.entries().len() == 1
            && let Some(Node::List(predicates)) = first.get("all")
        {
            let all: Vec<_> = predicates.iter().cloned().chain([second.clone().into()]).collect();
            return operator("all", all);
        }
        let is_absence = |map: &Map| map.get("exists") == Some(&Node::from(false));
        let is_new = |(key, _): &(String, Node)| first.get(key).is_none();
        if second.entries().iter().all(is_new) && !is_absence(first) && !is_absence(second) {
            let mut joined = first.clone();
            joined.extend(second.clone());
            return joined.into();
        }
    }
    operator("all", vec![first, second])
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    #[test]
    fn several_checks_of_one_subject_must_all_hold() {
        let mut checks = Checks::default();
        checks.add("time", operator("less", 5u64));
        checks.add("time", operator("greater", 1u64));
        for text in ["a", "b", "c"] {
            checks.add("body", operator("matches", text));
        }
        checks.add("$.a", "x");
        checks.add("$.a", operator("not", "y"));
        checks.add("$.b", operator("exists", false));
        checks.add("$.b", operator("not", "y"));
        checks.add("$.c", "same");
        checks.add("$.c", "same");
        assert!(!checks.add(&"$".repeat(2000), "x") && checks.has("time") && !checks.has("size"));
        let Some(Node::Map(map)) = checks.to_node() else { panic!("there are checks") };
        let expected = "time: {less: 5, greater: 1}\nbody: {all: [{matches: a}, {matches: b}, {matches: c}]}\n\
                        $.a: {all: [x, {not: 'y'}]}\n$.b: {all: [{exists: false}, {not: 'y'}]}\n$.c: same\n";
        assert_eq!(yaml::write(&map), expected);
    }
}
