//! The names of the operators.

use crate::messages::unknown_name;

/// The operators, with descriptions for editors.
pub const OPERATORS: &[(&str, &str)] = &[
    ("equals", "This value, where 1 equals 1.0"),
    ("not_equal", "Any other value; a missing value fails"),
    ("less", "A number less than this"),
    ("greater", "A number greater than this"),
    ("at_most", "A number, this or less"),
    ("at_least", "A number, this or greater"),
    ("contains", "Text with this in it, a list with this element, or a map with this key"),
    ("starts_with", "Text that starts with this"),
    ("ends_with", "Text that ends with this"),
    ("matches", "Text with a match of this regular expression, anywhere unless `^` and `$` say where"),
    ("in", "One of these values"),
    ("exists", "True if there must be a value, false if there must be none; null is a value"),
    ("is_empty", "True if the text, list or map must be empty, false if not; a missing value fails"),
    ("type", "The type of the value"),
    ("not", "A value or predicate that must not hold; a missing value passes, unless it is `exists: false`"),
    ("all", "Predicates that must all hold"),
    ("any", "Predicates of which one must hold"),
];

/// Names that other tools use, in lower case and without separators, and the operators that they mean.
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

/// Returns the message for an unknown operator. In `assertions`, `value` is an operator too.
pub fn unknown_operator(name: &str, in_assertions: bool) -> String {
    let mut names: Vec<&str> = OPERATORS.iter().map(|(name, _)| *name).collect();
    if in_assertions {
        names.push("value");
    }
    match name.strip_prefix("not_").filter(|rest| names.contains(rest)) {
        Some(rest) => format!("unknown operator `{name}`, did you mean `not: {{{rest}: …}}`?"),
        None => unknown_name("operator", name, &names, SYNONYMS),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Predicate;

    #[test]
    fn every_name_is_parsed() {
        for (name, _) in OPERATORS {
            let mut problems = Vec::new();
            Predicate::parse(&json!({ *name: { "eqals": 1 } }), "", &mut problems);
            assert!(problems.iter().all(|problem| !problem.message.contains(&format!("`{name}`,"))), "{problems:?}");
        }
    }

    #[test]
    fn suggestions() {
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
