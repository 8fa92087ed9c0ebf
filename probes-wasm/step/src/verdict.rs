//! Whether a step's answer is what it must be, and what it leaves to later steps.

use sentrynet_checks::{Answer, Checks, JsonPath, Kind, Predicate, Problem, Subject};
use sentrynet_guest::{Check, Failure, Mismatch, Trouble, span};
use serde_json::{Map, Value};

use crate::Step;
use crate::answer::{Answered, MOST_BODY};
use crate::request::escape;

impl Step {
    /// Notes what is wrong with what is said of the answer. `at` is the JSON pointer to the step, `carried` knows the
    /// keys that it finds set.
    pub fn check(&self, at: &str, carried: &dyn Fn(&str) -> bool, check: &mut Check) {
        for (key, path) in &self.set_keys {
            check.at(format_args!("{at}/set_keys/{}", escape(key)), parse(path));
        }
        for key in self.assertions.keys().filter(|key| !self.set_keys.contains_key(*key) && !carried(key)) {
            check.problem(
                format!("{at}/assertions/{}", escape(key)),
                format!("no key `{key}` is set: give it a JSONPath under `set_keys`"),
            );
        }
        let mut problems = Vec::new();
        Checks::read(&self.checks, Kind::Http, &format!("{at}/checks"), &mut problems);
        self.predicates(at, &mut problems);
        for Problem { pointer, message } in problems {
            check.problem(pointer, message);
        }
    }

    /// Makes the request and looks at its answer. Answers with the keys, those that were carried along included.
    ///
    /// # Errors
    /// What is wrong with the answer, or that there is none.
    pub fn run(&self, carried: &Map<String, Value>, cookies: bool) -> Result<Map<String, Value>, Trouble> {
        let mut check = Check::default();
        let request = self.build("", &mut check);
        // What stands in the configuration has been checked: what is wrong now was filled in.
        if let Some((pointer, message)) = check.first().filter(|(pointer, _)| filled(pointer)) {
            let place = pointer.trim_start_matches('/').replace('/', ".");
            return Err(Failure::new("key", format!("{place}: {message}")).into());
        }
        check.done()?;
        let request = request.ok_or_else(|| Trouble::Broken("there is no request to make".to_owned()))?;
        request.max_body(MOST_BODY);
        if cookies {
            request.cookies(true);
        }
        let answer = Answered::new(request.send()?);
        let checks = Checks::read(&self.checks, Kind::Http, "", &mut Vec::new());
        if self.expected.is_some() || !checks.asks(&Subject::Status) {
            self.status(answer.status())?;
        }
        if checks.asks(&Subject::Body) {
            answer.body().map_err(|why| Failure::new("body", why))?;
        }
        let found = self.found(&answer);
        if self.checks.is_empty() && self.assertions.is_empty() {
            return Ok(carried.clone().into_iter().chain(found?).collect());
        }
        // Parsed here, so that its span is none of those of the checks.
        if self.checks.keys().any(|subject| subject.trim_start().starts_with('$')) {
            let _ = answer.json();
        }
        span::scope("json.assert", "Checking assertions", |_| {
            let mut wrong = checks.hold(&answer).map_err(|why| Failure::new("json", why))?;
            // A page that says 502 explains why it is not JSON: what is wrong with it otherwise goes first.
            let Ok(found) = &found else { return Ok(Failure::of(wrong)?) };
            for (key, predicate) in self.predicates("", &mut Vec::new()) {
                // Of a key that this step is to set, what an earlier one has found says nothing of this answer.
                let (subject, value) = match self.set_keys.get(key).and_then(Value::as_str) {
                    Some(path) => (format!("{key} ({path})"), found.get(key)),
                    None => (key.clone(), carried.get(key)),
                };
                wrong.extend(predicate.mismatches(&subject, value, "no match"));
            }
            Ok(Failure::of(wrong)?)
        })?;
        Ok(carried.clone().into_iter().chain(found?).collect())
    }

    fn predicates(&self, at: &str, problems: &mut Vec<Problem>) -> Vec<(&String, Predicate)> {
        let mut predicates = Vec::new();
        for (key, form) in &self.assertions {
            let pointer = format!("{at}/assertions/{}", escape(key));
            predicates.extend(Predicate::read_assertion(form, &pointer, problems).map(|read| (key, read)));
        }
        predicates
    }

    fn status(&self, status: u16) -> Result<(), Failure> {
        let expected = self.expected();
        if expected.allows(status) {
            return Ok(());
        }
        let mismatch = Mismatch::new("status", &expected, status);
        Err(Failure::new("status", format!("expected status {expected}, got {status}")).mismatches(vec![mismatch]))
    }

    /// The keys that the answer's JSON sets: one match is the value, several are a list, none sets nothing.
    fn found(&self, answer: &Answered) -> Result<Map<String, Value>, Trouble> {
        let mut found = Map::new();
        if self.set_keys.is_empty() {
            return Ok(found);
        }
        let json = answer.json().map_err(|why| Failure::new("json", why))?;
        for (key, path) in &self.set_keys {
            let path = parse(path).map_err(|error| Trouble::Broken(format!("{key}: {error}")))?;
            found.extend(path.find(json).map(|value| (key.clone(), value)));
        }
        Ok(found)
    }
}

/// Whether a part of a request can be filled in before it is made.
fn filled(pointer: &str) -> bool {
    ["/url", "/query", "/headers"].iter().any(|part| pointer.starts_with(part))
}

fn parse(path: &Value) -> Result<JsonPath, String> {
    match path {
        Value::String(path) => JsonPath::parse(path),
        other => Err(format!("{other} is not a JSONPath: expected text such as `$.status`")),
    }
}
