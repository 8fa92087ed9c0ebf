//! Checks of one response.

use serde_json::{Map, Value};

use crate::messages::{add_problem, child_pointer};
use crate::{Level, Mismatch, Predicate, Problem, Protocol, Subject};

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

/// The checks that do not hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// The checks of the level [`Level::Error`], in the order of the configuration.
    pub errors: Vec<Mismatch>,
    /// The checks of the level [`Level::Warning`], in the order of the configuration.
    pub warnings: Vec<Mismatch>,
    /// The sentence of [`Observation::json`], if a JSONPath is checked with the level [`Level::Error`], the response is
    /// not JSON, and no other check is an error.
    pub not_json: Option<String>,
}

impl Evaluation {
    /// Adds the mismatches of a check of this level.
    pub fn extend(&mut self, level: Level, mismatches: impl IntoIterator<Item = Mismatch>) {
        match level {
            Level::Error => self.errors.extend(mismatches),
            Level::Warning => self.warnings.extend(mismatches),
        }
    }
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

    /// Returns the level of the checks of this subject, the greatest of several, or `None` if there is none.
    pub fn level_of(&self, subject: &Subject) -> Option<Level> {
        self.greatest_level(|checked| checked == subject)
    }

    /// Returns the level of the checks of JSON paths, the greatest of several, or `None` if there is none.
    pub fn level_of_json(&self) -> Option<Level> {
        self.greatest_level(|subject| matches!(subject, Subject::Json(_)))
    }

    fn greatest_level(&self, is_meant: impl Fn(&Subject) -> bool) -> Option<Level> {
        self.0.iter().filter(|check| is_meant(&check.subject)).map(|check| check.predicate.level()).max()
    }

    /// Returns true if there is a check of a JSONPath.
    pub fn need_json(&self) -> bool {
        self.level_of_json().is_some()
    }

    /// Returns true if there are no checks.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Evaluates the checks, and returns those that do not hold.
    ///
    /// If a JSONPath is checked and the response is not JSON, that is one mismatch beside the others, which may explain
    /// it: a response with the status 502 is often not JSON.
    pub fn evaluate(&self, observation: &dyn Observation) -> Evaluation {
        let json = self.need_json().then(|| observation.json());
        let level_of_json = self.level_of_json().unwrap_or_default();
        let mut not_json = None;
        let mut found = Evaluation::default();
        for Check { name, subject, predicate } in &self.0 {
            let actual = match (subject, &json) {
                (Subject::Json(path), Some(Ok(json))) => path.find(json),
                (Subject::Json(_), Some(Err(why))) => {
                    // Reported once, at the position of the first check of a JSONPath.
                    let level = predicate.level();
                    if level == level_of_json {
                        let others = if level == Level::Error { &found.errors } else { &found.warnings };
                        not_json.get_or_insert((others.len(), name, why));
                    }
                    continue;
                }
                (subject, _) => observation.value(subject),
            };
            found.extend(predicate.level(), predicate.mismatches(name, actual.as_ref(), subject.absent_text()));
        }
        match (not_json, level_of_json) {
            (None, _) => {}
            (Some((_, _, why)), Level::Error) if found.errors.is_empty() => found.not_json = Some(why.clone()),
            (Some((index, name, why)), Level::Error) => found.errors.insert(index, Mismatch::new(name, "JSON", why)),
            (Some((index, name, why)), Level::Warning) => {
                found.warnings.insert(index, Mismatch::new(name, "JSON", why));
            }
        }
        found
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
        let found = parse(&form).evaluate(&page);
        assert_eq!(sentences(&found.errors), expected, "{form}");
        assert_eq!((found.warnings, found.not_json), (Vec::new(), None), "{form}");
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
        let mismatches = parse(&json!({ "body": { "contains": "Welcome" } })).evaluate(&page).errors;
        assert_eq!(mismatches[0].expected, "to contain \"Welcome\"");
        assert_eq!(mismatches[0].actual, format!("\"{}Bad Gate…\" (1200 bytes)", "Bad Gateway ".repeat(16)));
    }

    #[test]
    fn a_body_that_is_not_json_is_reported_once() {
        let page = Page(Err("the body is not JSON".to_owned()));
        let form = json!({ "$.a": 1, "status": 200, "$.b": { "exists": false } });
        let found = parse(&form).evaluate(&page);
        assert_eq!(
            sentences(&found.errors),
            ["$.a: expected JSON, got the body is not JSON", "status: expected 200, got 502",]
        );
        assert_eq!(found.not_json, None);
        let alone = parse(&json!({ "$.a": 1, "status": "5xx" })).evaluate(&page);
        assert_eq!(alone, Evaluation { not_json: Some("the body is not JSON".to_owned()), ..Evaluation::default() });
        assert_eq!(parse(&json!({ "status": 502 })).evaluate(&page), Evaluation::default());
    }

    #[test]
    fn checks_of_the_level_warning_are_separate() {
        let page = Page(Ok(json!({ "state": "up" })));
        let form = json!({
            "status": 502,
            "certificate days": { "at_least": 14, "level": "warning" },
            "$.state": { "equals": "down", "type": "number", "level": "warning" },
            "body": { "contains": "Welcome", "level": "error" },
        });
        let checks = parse(&form);
        let found = checks.evaluate(&page);
        assert_eq!(found.errors.len(), 1);
        assert_eq!(
            sentences(&found.warnings),
            [
                "certificate days: expected at least 14 days, got 13 days",
                "$.state: expected \"down\", got \"up\"",
                "$.state: expected a number, got \"up\"",
            ]
        );
        let levels = [Subject::CertificateDays, Subject::Body, Subject::Size].map(|subject| checks.level_of(&subject));
        assert_eq!(levels, [Some(Level::Warning), Some(Level::Error), None]);
        assert_eq!(checks.level_of_json(), Some(Level::Warning));
    }

    #[test]
    fn a_body_that_is_not_json_is_as_severe_as_the_checks_of_json() {
        let page = Page(Err("the body is not JSON".to_owned()));
        let warning = json!({ "equals": 1, "level": "warning" });
        let found = parse(&json!({ "status": 200, "$.a": warning, "$.b": warning })).evaluate(&page);
        assert_eq!(sentences(&found.errors), ["status: expected 200, got 502"]);
        assert_eq!(sentences(&found.warnings), ["$.a: expected JSON, got the body is not JSON"]);
        let found = parse(&json!({ "status": 200, "$.a": warning, "$.b": 1 })).evaluate(&page);
        assert_eq!(
            sentences(&found.errors),
            ["status: expected 200, got 502", "$.b: expected JSON, got the body is not JSON"]
        );
        assert_eq!(found.warnings, []);
        let found = parse(&json!({ "$.a": warning, "$.b": 1 })).evaluate(&page);
        assert_eq!(found, Evaluation { not_json: Some("the body is not JSON".to_owned()), ..Evaluation::default() });
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
