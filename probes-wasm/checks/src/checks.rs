//! Checks of one response.

use serde_json::{Map, Value};

use crate::messages::{add_problem, child_pointer};
use crate::{Mismatch, Predicate, Problem, Protocol, Subject};

/// The values of one response that can be checked: of an HTTP response, or of an SSH server and a command.
pub trait Observation {
    /// Returns the value of a subject, or `None` if the response has no such value. [`Subject`] says what each one is.
    fn value(&self, subject: &Subject) -> Option<Value>;

    /// Returns the body, or the standard output of the command, as JSON.
    ///
    /// # Errors
    /// Returns a sentence that says why it is not JSON.
    fn json(&self) -> Result<&Value, String>;
}

/// The parsed setting `checks`: subjects, and a predicate for each.
#[derive(Debug, Clone, Default)]
pub struct Checks(Vec<Check>);

#[derive(Debug, Clone)]
struct Check {
    /// The subject as the configuration writes it.
    name: String,
    subject: Subject,
    predicate: Predicate,
}

impl Checks {
    /// Parses the setting, which is at this JSON pointer, and adds all mistakes in it. Checks with a mistake are left
    /// out.
    pub fn parse(form: &Map<String, Value>, protocol: Protocol, pointer: &str, problems: &mut Vec<Problem>) -> Self {
        let check = |(name, form): (&String, &Value)| {
            let pointer = child_pointer(pointer, name);
            match Subject::parse(name, protocol) {
                Ok(subject) => {
                    let predicate = Predicate::parse_of(&subject, form, &pointer, problems)?;
                    Some(Check { name: name.trim().to_owned(), subject, predicate })
                }
                Err(message) => {
                    add_problem(problems, &pointer, message);
                    None
                }
            }
        };
        Self(form.iter().filter_map(check).collect())
    }

    /// Returns true if there is a check of this subject. A probe then leaves out its own check of the subject.
    pub fn mentions(&self, subject: &Subject) -> bool {
        self.0.iter().any(|check| check.subject == *subject)
    }

    /// Returns true if there is a check of a JSONPath.
    pub fn need_json(&self) -> bool {
        self.0.iter().any(|check| matches!(check.subject, Subject::Json(_)))
    }

    /// Returns true if there are no checks.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Evaluates the checks, and returns those that do not hold, in the order of the configuration.
    ///
    /// If a JSONPath is checked and the response is not JSON, that is one mismatch beside the others, which may explain
    /// it: a response with the status 502 is often not JSON.
    ///
    /// # Errors
    /// Returns the sentence of [`Observation::json`] if no other check fails.
    pub fn evaluate(&self, observation: &dyn Observation) -> Result<Vec<Mismatch>, String> {
        let json = self.need_json().then(|| observation.json());
        let mut not_json = None;
        let mut mismatches = Vec::new();
        for Check { name, subject, predicate } in &self.0 {
            let actual = match (subject, &json) {
                (Subject::Json(path), Some(Ok(json))) => path.find(json),
                (Subject::Json(_), Some(Err(why))) => {
                    // Reported once, at the position of the first check of a JSONPath.
                    not_json.get_or_insert((mismatches.len(), name, why));
                    continue;
                }
                (subject, _) => observation.value(subject),
            };
            mismatches.extend(predicate.mismatches(name, actual.as_ref(), subject.absent_text()));
        }
        if let Some((index, name, why)) = not_json {
            if mismatches.is_empty() {
                return Err(why.clone());
            }
            let mismatch = Mismatch::new(name, "JSON", why);
            mismatches.insert(index, mismatch);
        }
        Ok(mismatches)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Phase;

    /// A response that took 1.25 seconds.
    struct Page(Result<Value, String>);

    impl Observation for Page {
        fn value(&self, subject: &Subject) -> Option<Value> {
            match subject {
                Subject::Status => Some(json!(502)),
                Subject::Header(name) => (name == "x-count").then(|| json!("17")),
                Subject::Body => Some(json!("Bad Gateway ".repeat(100))),
                Subject::Size => Some(json!(1_000_001)),
                Subject::Time => Some(json!(1.250_000_4)),
                Subject::TimeOf(Phase::Wait) => Some(json!(0)),
                Subject::CertificateDays => Some(json!(13)),
                Subject::ChainDays => Some(json!(-1)),
                Subject::HttpVersion => Some(json!("1.1")),
                _ => None,
            }
        }

        fn json(&self) -> Result<&Value, String> {
            self.0.as_ref().map_err(Clone::clone)
        }
    }

    fn parse(form: &Value) -> Checks {
        let mut problems = Vec::new();
        let checks = Checks::parse(form.as_object().expect("a map"), Protocol::Http, "", &mut problems);
        assert_eq!(problems, [], "{form}");
        checks
    }

    fn sentences(mismatches: &[Mismatch]) -> Vec<String> {
        mismatches.iter().map(|m| format!("{}: expected {}, got {}", m.subject, m.expected, m.actual)).collect()
    }

    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "one-line cases")]
    fn check(form: Value, expected: &[&str]) {
        let page = Page(Ok(json!({ "state": "up", "items": [{ "price": 13 }, { "price": 9.5 }] })));
        let mismatches = parse(&form).evaluate(&page).expect("JSON");
        assert_eq!(sentences(&mismatches), expected, "{form}");
    }

    #[test]
    fn checks_that_hold_are_not_reported() {
        check(json!({}), &[]);
        check(json!({ "status": ["2xx", 502], "$.state": "up", "header X-Count": 17, "http version": 1.1 }), &[]);
        check(json!({ "$.items[*].price": { "contains": 13 }, "$.items[1].price": 9.5, "$.none": { "not": 1 } }), &[]);
        check(json!({ "time": { "less": 2 }, "time wait": { "less": 0.5 } }), &[]);
    }

    #[test]
    fn mismatches_have_subject_expected_and_actual_value() {
        check(
            json!({ "status": { "less": 500, "not": 502 } }),
            &["status: expected less than 500, got 502", "status: expected not 502, got 502"],
        );
        check(json!({ "header X-Count": { "less": 5 } }), &["header X-Count: expected less than 5, got \"17\""]);
        check(
            json!({ "$.items[*].price": { "is_empty": true } }),
            &["$.items[*].price: expected to be empty, got [13,9.5]"],
        );
    }

    #[test]
    fn missing_values_are_named() {
        check(json!({ "header x-none": "a" }), &["header x-none: expected \"a\", got no such header"]);
        check(json!({ "$.none": { "less": 1 } }), &["$.none: expected less than 1, got no match"]);
        check(json!({ "tls version": 1.3 }), &["tls version: expected 1.3, got no TLS"]);
        check(json!({ "redirect": { "exists": true } }), &["redirect: expected to exist, got no redirect"]);
        check(json!({ "remote address": { "exists": true } }), &["remote address: expected to exist, got nothing"]);
    }

    #[test]
    fn numbers_have_units() {
        check(json!({ "time": { "less": 0.8 } }), &["time: expected less than 0.8 s, got 1.25 s"]);
        check(json!({ "size": { "at_most": 1 } }), &["size: expected at most 1 byte, got 1000001 bytes"]);
        check(
            json!({ "certificate days": { "at_least": 14 } }),
            &["certificate days: expected at least 14 days, got 13 days"],
        );
        check(
            json!({ "certificate chain days": { "greater": 1 } }),
            &["certificate chain days: expected greater than 1 day, got -1 days"],
        );
    }

    #[test]
    fn a_long_body_is_cut() {
        let page = Page(Ok(json!(null)));
        let mismatches = parse(&json!({ "body": { "contains": "Welcome" } })).evaluate(&page).expect("JSON");
        assert_eq!(mismatches[0].expected, "to contain \"Welcome\"");
        assert_eq!(mismatches[0].actual, format!("\"{}Bad Gate…\" (1200 bytes)", "Bad Gateway ".repeat(16)));
    }

    #[test]
    fn a_body_that_is_not_json_is_reported_once() {
        let page = Page(Err("the body is not JSON".to_owned()));
        let form = json!({ "$.a": 1, "status": 200, "$.b": { "exists": false } });
        let mismatches = parse(&form).evaluate(&page).expect("another mismatch");
        assert_eq!(
            sentences(&mismatches),
            ["$.a: expected JSON, got the body is not JSON", "status: expected 200, got 502",]
        );
        let alone = parse(&json!({ "$.a": 1, "status": "5xx" })).evaluate(&page);
        assert_eq!(alone, Err("the body is not JSON".to_owned()));
        assert_eq!(parse(&json!({ "status": 502 })).evaluate(&page), Ok(vec![]));
    }

    #[test]
    fn all_problems_are_found() {
        let form = json!({ "stauts": 200, "$.a/b[": 1, "body": { "contain": "x" }, "status": 700, "size": 5 });
        let mut problems = Vec::new();
        let checks = Checks::parse(form.as_object().expect("a map"), Protocol::Http, "/checks", &mut problems);
        let found: Vec<_> = problems.iter().map(|problem| (&*problem.pointer, &*problem.message)).collect();
        assert_eq!(
            found,
            [
                ("/checks/stauts", "unknown subject `stauts`, did you mean `status`?"),
                ("/checks/$.a~1b[", "`$.a/b[` is not a JSONPath such as `$.status`: syntax error at `/b[`"),
                ("/checks/body/contain", "unknown operator `contain`, did you mean `contains`?"),
                (
                    "/checks/status",
                    "700 is not a status: expected a number such as 200, a class such as `2xx`, or a list of them",
                ),
            ]
        );
        assert!(checks.mentions(&Subject::Size) && !checks.mentions(&Subject::Status) && !checks.is_empty());
    }
}
