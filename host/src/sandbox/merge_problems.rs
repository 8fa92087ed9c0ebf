//! Merges the problems that the schema and the probe's own check find in settings, without duplicates.

use crate::sandbox::problem::Problem;
use crate::schema::Violation;

/// Returns the schema's violations followed by the problems that the probe reports about other settings.
///
/// If both report the same setting, the result has only the schema's violation, unless its message is vague, which
/// means that it can only cite the schema, for example a regular expression. Then the result has only the probe's
/// problem.
pub fn merge(mut violations: Vec<Violation>, reported: Vec<Problem>) -> Vec<Problem> {
    violations
        .retain(|violation| !violation.is_vague || !reported.iter().any(|report| report.pointer == violation.pointer));
    let is_new = |report: &Problem| !violations.iter().any(|violation| is_same_problem(report, violation));
    let new: Vec<_> = reported.into_iter().filter(is_new).collect();
    let violations = violations.into_iter().map(|Violation { pointer, message, .. }| Problem { pointer, message });
    violations.chain(new).collect()
}

/// Returns true if the probe's problem and the schema's violation are probably the same.
fn is_same_problem(report: &Problem, violation: &Violation) -> bool {
    // The violation of a missing key points at the object without the key, which may have other problems.
    if let Some(missing) = &violation.missing_key {
        let missing_pointer = format!("{}/{missing}", violation.pointer);
        return points_into(&report.pointer, &missing_pointer)
            || points_into(&violation.pointer, &report.pointer) && mentions(&report.message, missing);
    }
    if report.pointer.is_empty() {
        let key = violation.pointer.split('/').nth(1);
        return key.is_none_or(|key| mentions(&report.message, key));
    }
    points_into(&report.pointer, &violation.pointer) || points_into(&violation.pointer, &report.pointer)
}

/// Returns true if a JSON pointer points to the value that `outer` points to, or into this value.
fn points_into(pointer: &str, outer: &str) -> bool {
    pointer.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns true if a message contains a key as a word.
fn mentions(message: &str, key: &str) -> bool {
    message.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').any(|word| word == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(violations: &[(&str, &str)], reported: &[(&str, &str)], expected: &[&str]) {
        let violations = violations.iter().map(|(pointer, message)| Violation {
            pointer: (*pointer).to_owned(),
            message: (*message).to_owned(),
            missing_key: message.strip_prefix("missing ").map(str::to_owned),
            is_vague: message.starts_with("vague"),
        });
        let reported = reported
            .iter()
            .map(|(pointer, message)| Problem { pointer: (*pointer).to_owned(), message: (*message).to_owned() });
        let merged = merge(violations.collect(), reported.collect());
        assert_eq!(merged.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn duplicates_are_left_out() {
        check(&[("/a", "schema")], &[("/a", "probe")], &["schema"]);
        check(&[("/a/b", "schema")], &[("/a", "probe")], &["schema"]);
        check(&[("/a", "schema")], &[("/a/b", "probe")], &["schema"]);
        check(&[("/a", "schema")], &[("", "a is wrong")], &["schema"]);
        check(&[("", "schema")], &[("", "probe")], &["schema"]);
        check(&[("", "missing url")], &[("", "there is no `url`")], &["missing url"]);
        check(&[("", "missing url")], &[("/url", "expected a URL")], &["missing url"]);
    }

    #[test]
    fn different_problems_are_kept() {
        check(&[("/a", "schema")], &[("/ab", "probe")], &["schema", "probe"]);
        check(&[("/a", "schema")], &[("", "the key `b` is missing")], &["schema", "the key `b` is missing"]);
        check(&[("", "missing url")], &[("", "b goes with c")], &["missing url", "b goes with c"]);
        check(&[("/steps/0", "missing url")], &[("/steps/0/b", "probe")], &["missing url", "probe"]);
        check(&[], &[("", "probe")], &["probe"]);
        check(&[("", "schema")], &[], &["schema"]);
    }

    #[test]
    fn a_vague_violation_is_replaced_by_the_probes_message() {
        check(&[("/a", "vague")], &[("/a", "probe")], &["probe"]);
        check(&[("/a", "vague")], &[("/b", "probe")], &["vague", "probe"]);
    }
}
