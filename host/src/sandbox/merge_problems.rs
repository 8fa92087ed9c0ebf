//! What is wrong with settings by their schema and by the probe's own check, each thing once. Pure.

use super::Problem;
use crate::schema::Violation;

/// All that is wrong: what the schema finds, and what the probe says of other things than that.
///
/// Of the same place the schema is heard, whose words are the host's, except where it can only tell of a pattern.
pub fn merge(mut found: Vec<Violation>, said: Vec<Problem>) -> Vec<Problem> {
    found.retain(|found| !found.is_vague || !said.iter().any(|said| said.pointer == found.pointer));
    let news = said.into_iter().filter(|said| !found.iter().any(|found| is_of(said, found)));
    let news: Vec<_> = news.collect();
    let found = found.into_iter().map(|Violation { pointer, message, .. }| Problem { pointer, message });
    found.chain(news).collect()
}

/// Whether the probe tells of what the schema has found.
fn is_of(said: &Problem, found: &Violation) -> bool {
    // A key that is missing has the place of what it is missing from, where much else may be wrong.
    if let Some(missing) = &found.missing_key {
        let place = format!("{}/{missing}", found.pointer);
        return within(&said.pointer, &place) || within(&found.pointer, &said.pointer) && names(&said.message, missing);
    }
    if said.pointer.is_empty() {
        let key = found.pointer.split('/').nth(1);
        return key.is_none_or(|key| names(&said.message, key));
    }
    within(&said.pointer, &found.pointer) || within(&found.pointer, &said.pointer)
}

/// Whether a JSON pointer leads to what another one does, or into it.
fn within(pointer: &str, outer: &str) -> bool {
    pointer.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn names(message: &str, key: &str) -> bool {
    message.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').any(|word| word == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: &[(&str, &str)], said: &[(&str, &str)], expected: &[&str]) {
        let found = found.iter().map(|(pointer, message)| Violation {
            pointer: (*pointer).to_owned(),
            message: (*message).to_owned(),
            missing_key: message.strip_prefix("missing ").map(str::to_owned),
            is_vague: message.starts_with("vague"),
        });
        let said = said
            .iter()
            .map(|(pointer, message)| Problem { pointer: (*pointer).to_owned(), message: (*message).to_owned() });
        let agreed = merge(found.collect(), said.collect());
        assert_eq!(agreed.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn nothing_is_said_twice() {
        check(&[("/a", "schema")], &[("/a", "probe")], &["schema"]);
        check(&[("/a/b", "schema")], &[("/a", "probe")], &["schema"]);
        check(&[("/a", "schema")], &[("/a/b", "probe")], &["schema"]);
        check(&[("/a", "schema")], &[("", "a is wrong")], &["schema"]);
        check(&[("", "schema")], &[("", "probe")], &["schema"]);
        check(&[("", "missing url")], &[("", "there is no `url`")], &["missing url"]);
        check(&[("", "missing url")], &[("/url", "expected a URL")], &["missing url"]);
    }

    #[test]
    fn nothing_is_left_for_a_second_look() {
        check(&[("/a", "schema")], &[("/ab", "probe")], &["schema", "probe"]);
        check(&[("/a", "schema")], &[("", "the key `b` is missing")], &["schema", "the key `b` is missing"]);
        check(&[("", "missing url")], &[("", "b goes with c")], &["missing url", "b goes with c"]);
        check(&[("/steps/0", "missing url")], &[("/steps/0/b", "probe")], &["missing url", "probe"]);
        check(&[], &[("", "probe")], &["probe"]);
        check(&[("", "schema")], &[], &["schema"]);
    }

    #[test]
    fn who_knows_better_is_heard() {
        check(&[("/a", "vague")], &[("/a", "probe")], &["probe"]);
        check(&[("/a", "vague")], &[("/b", "probe")], &["vague", "probe"]);
    }
}
