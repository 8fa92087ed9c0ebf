//! Patterns of `pat(…)`: shell patterns for a whole text, in which slashes do not matter.

use super::super::checks::operator;
use super::super::yaml::Node;

/// Returns the predicate for texts that a pattern matches.
pub fn predicate(pattern: &str) -> Node {
    let is_literal = |text: &str| !text.contains(['*', '?', '[', '\\']);
    let (inner, starts, ends) = match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(_), Some(_)) => (pattern.get(1..pattern.len().max(2) - 1).unwrap_or_default(), true, true),
        (Some(rest), None) => (rest, true, false),
        (None, Some(rest)) => (rest, false, true),
        (None, None) => (pattern, false, false),
    };
    match (is_literal(inner), starts, ends) {
        (true, true, true) if inner.is_empty() => operator("exists", true),
        (true, true, true) => operator("contains", inner),
        (true, true, false) => operator("ends_with", inner),
        (true, false, true) => operator("starts_with", inner),
        _ => operator("matches", format!("(?s)^{}$", regex(pattern))),
    }
}

/// Returns the regular expression of a pattern, without anchors.
pub fn regex(pattern: &str) -> String {
    let mut regex = String::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '\\' => rest.next().into_iter().for_each(|c| push_escaped(&mut regex, c)),
            '[' if rest.as_str().contains(']') => class(&mut rest, &mut regex),
            c => push_escaped(&mut regex, c),
        }
    }
    regex
}

/// Takes the rest of a class such as `[^a-z]`.
fn class(rest: &mut std::str::Chars, regex: &mut String) {
    regex.push('[');
    if let Some(negated) = rest.as_str().strip_prefix('^') {
        regex.push('^');
        *rest = negated.chars();
    }
    let mut escaped = false;
    for c in rest.by_ref() {
        match c {
            ']' if !escaped => break,
            '\\' if !escaped => escaped = true,
            '-' if !escaped => regex.push('-'),
            c => {
                escaped = false;
                push_escaped(regex, c);
            }
        }
    }
    regex.push(']');
}

fn push_escaped(regex: &mut String, c: char) {
    if c.is_ascii_punctuation() {
        regex.push('\\');
    }
    regex.push(c);
}

#[cfg(test)]
mod tests {
    use super::super::super::yaml::{Map, write};
    use super::*;

    #[test]
    fn patterns_become_predicates() {
        let check = |pattern: &str, expected: &str| {
            let mut map = Map::default();
            map.set("k", predicate(pattern));
            assert_eq!(write(&map), format!("k: {expected}\n"), "{pattern}");
        };
        check("*<h1>x</h1>*", "{contains: '<h1>x</h1>'}");
        check("john*", "{starts_with: john}");
        check("*.org", "{ends_with: '.org'}");
        check("*", "{exists: true}");
        check("**", "{exists: true}");
        check("a", "{matches: '(?s)^a$'}");
        check("*.*.*", "{matches: '(?s)^.*\\..*\\..*$'}");
        check("a?[^b-d\\]x]\\*[", "{matches: '(?s)^a.[^b-d\\]x]\\*\\[$'}");
    }
}
