//! The operators' names.

use crate::words::unknown;

/// Operators, and what they ask for in words for an editor.
pub const OPERATORS: &[(&str, &str)] = &[
    ("equals", "This value, numbers as numbers: 1 is 1.0"),
    ("not_equal", "Another value; what is missing is none"),
    ("less", "A number less than this"),
    ("greater", "A number greater than this"),
    ("at_most", "A number, this or less"),
    ("at_least", "A number, this or greater"),
    ("contains", "Text with this in it, a list with this element, or a map with this key"),
    ("starts_with", "Text that starts with this"),
    ("ends_with", "Text that ends with this"),
    ("matches", "Text with a match of this regular expression, anywhere unless `^` and `$` say where"),
    ("in", "One of these values"),
    ("exists", "Whether there is a value; null is one"),
    ("is_empty", "Whether the text, list or map has nothing in it; what is missing is neither"),
    ("type", "What kind of value it is"),
    ("not", "What must not hold; for a missing value it never does"),
    ("all", "Predicates that must all hold"),
    ("any", "Predicates of which one must hold"),
];

/// As other tools call them.
const SYNONYMS: &[(&str, &str)] = &[
    ("=", "equals"),
    ("==", "equals"),
    ("!=", "not_equal"),
    ("<", "less"),
    (">", "greater"),
    ("<=", "at_most"),
    (">=", "at_least"),
    ("eq", "equals"),
    ("is", "equals"),
    ("value", "equals"),
    ("ne", "not_equal"),
    ("lt", "less"),
    ("lessthan", "less"),
    ("below", "less"),
    ("gt", "greater"),
    ("greaterthan", "greater"),
    ("above", "greater"),
    ("lte", "at_most"),
    ("max", "at_most"),
    ("gte", "at_least"),
    ("min", "at_least"),
    ("includes", "contains"),
    ("regex", "matches"),
    ("pattern", "matches"),
    ("oneof", "in"),
];

/// What to say of a name that is none.
pub fn unknown_operator(name: &str, assertion: bool) -> String {
    let mut names: Vec<&str> = OPERATORS.iter().map(|(name, _)| *name).collect();
    if assertion {
        names.push("value");
    }
    match name.strip_prefix("not_").filter(|rest| names.contains(rest)) {
        Some(rest) => format!("unknown operator `{name}`, did you mean `not: {{{rest}: …}}`?"),
        None => unknown("operator", name, &names, SYNONYMS),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Predicate;

    #[test]
    fn every_name_is_read() {
        for (name, _) in OPERATORS {
            let mut problems = Vec::new();
            Predicate::read(&json!({ *name: { "eqals": 1 } }), "", &mut problems);
            assert!(problems.iter().all(|problem| !problem.message.contains(&format!("`{name}`,"))), "{problems:?}");
        }
    }

    #[test]
    fn what_was_meant() {
        let check = |name, meant| {
            assert_eq!(unknown_operator(name, false), format!("unknown operator `{name}`, did you mean `{meant}`?"));
        };
        check("equal", "equals");
        check("startsWith", "starts_with");
        check("greater_than", "greater");
        check(">=", "at_least");
        check("gte", "at_least");
        check("isEmpty", "is_empty");
        check("not_contains", "not: {contains: …}");
        assert!(
            unknown_operator("colour", false)
                .starts_with("unknown operator `colour`, expected one of `equals`, `not_eq")
        );
    }
}
