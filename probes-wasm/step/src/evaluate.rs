//! Running a step: sending its request, and evaluating the response.

use sentrynet_checks::{Checks, Evaluation, JsonPath, Level, Observation, Predicate, Problem, Protocol, Subject};
use sentrynet_guest::{Failure, Mismatch, Problems, Trouble, escape_pointer, span, warning};
use serde_json::{Map, Value};

use crate::Step;
use crate::response::HttpObservation;

impl Step {
    /// Adds all mistakes in the settings about the response: `set_keys`, `assertions` and `checks`.
    ///
    /// `at` is the JSON pointer to the step. `is_set_before` says whether an earlier step may set a key.
    pub fn check_expectations(&self, at: &str, is_set_before: &dyn Fn(&str) -> bool, problems: &mut Problems) {
        for (key, path) in &self.set_keys {
            problems.ok_or_add(format_args!("{at}/set_keys/{}", escape_pointer(key)), parse_path(path));
        }
        for key in self.assertions.keys().filter(|key| !self.set_keys.contains_key(*key) && !is_set_before(key)) {
            problems.add(
                format!("{at}/assertions/{}", escape_pointer(key)),
                format!("no key `{key}` is set: give it a JSONPath under `set_keys`"),
            );
        }
        let mut found = Vec::new();
        Checks::parse(&self.checks, Protocol::Http, &format!("{at}/checks"), &mut found);
        self.parse_assertions(at, &mut found);
        for Problem { pointer, message } in found {
            problems.add(pointer, message);
        }
    }

    /// Sends the request, and evaluates the response. Returns all keys that are set after it.
    ///
    /// `keys` are those that are set before. With `cookies`, cookies are kept from step to step, unless the step has a
    /// setting of its own. Reports a warning for each check that does not hold and has the level [`Level::Warning`],
    /// with `place` in front unless it is empty.
    ///
    /// # Errors
    /// Returns [`Trouble::Failed`] if there is no response, if the response is not as expected, or if a value that was
    /// filled in makes the request invalid. Returns [`Trouble::Broken`] if the host refuses the request, or if the
    /// settings are invalid.
    pub fn run(&self, keys: &Map<String, Value>, cookies: bool, place: &str) -> Result<Map<String, Value>, Trouble> {
        let mut problems = Problems::default();
        let request = self.build_request("", &mut problems);
        // The settings themselves have been checked before the run: a mistake here comes from a value that was filled
        // in, unless a file or an address of this machine has changed since.
        if let Some((pointer, message)) = problems.first().filter(|(pointer, _)| !is_about_this_machine(pointer)) {
            let place = pointer.trim_start_matches('/').replace('/', ".");
            return Err(Failure::new("key", format!("{place}: {message}")).into());
        }
        problems.into_result()?;
        let request = request.ok_or_else(|| Trouble::Broken("the settings do not describe a request".to_owned()))?;
        request.max_body(self.max_body_bytes());
        request.decoding(true);
        if self.cookies.unwrap_or(cookies) {
            request.cookies(true);
        }
        let observation = HttpObservation::new(request.send()?, self.max_body_bytes());
        let checks = Checks::parse(&self.checks, Protocol::Http, "", &mut Vec::new());
        if self.expected.is_some() || !checks.mentions(&Subject::Status) {
            self.check_status(observation.status())?;
        }
        let level_of_body = checks.level_of(&Subject::Body);
        let unreadable = level_of_body.and_then(|_| observation.text().err());
        if let Some(why) = &unreadable {
            let failure = observation.failure("body", why.clone());
            if level_of_body == Some(Level::Error) {
                return Err(failure.into());
            }
            warning::report(failure.at(place));
        }
        let extracted = self.extract_keys(&observation);
        if self.checks.is_empty() && self.assertions.is_empty() {
            return Ok(keys.clone().into_iter().chain(extracted?).collect());
        }
        // Parsed here, so that the span of parsing is not inside the span of the checks.
        if checks.need_json() {
            let _ = observation.json();
        }
        span::scope("json.assert", "Checking assertions", |_| {
            let mut found = checks.evaluate(&observation);
            if unreadable.is_some() {
                // That the body cannot be read is reported already.
                found.warnings.retain(|mismatch| mismatch.subject != "body");
            }
            if let (Ok(extracted), None) = (&extracted, &found.not_json) {
                self.evaluate_assertions(keys, extracted, &mut found);
            }
            warning::report_mismatches(&found.warnings, place);
            match found.not_json {
                Some(why) => Err(observation.failure("json", why).into()),
                // A failed check, such as a status of 502, explains why the body is not JSON. It is reported first.
                None => Ok(Failure::if_any(found.errors)?),
            }
        })?;
        Ok(keys.clone().into_iter().chain(extracted?).collect())
    }

    /// Evaluates the assertions, with the keys that were set before and those of this step's response.
    fn evaluate_assertions(&self, keys: &Map<String, Value>, extracted: &Map<String, Value>, found: &mut Evaluation) {
        for (key, predicate) in self.parse_assertions("", &mut Vec::new()) {
            // If this step sets the key, a value from an earlier step must not be taken for one of this response.
            let (subject, value) = match self.set_keys.get(key).and_then(Value::as_str) {
                Some(path) => (format!("{key} ({path})"), extracted.get(key)),
                None => (key.clone(), keys.get(key)),
            };
            found.extend(predicate.level(), predicate.mismatches(&subject, value, "no match"));
        }
    }

    /// Parses the assertions that have no mistakes, and adds the mistakes of the others.
    fn parse_assertions(&self, at: &str, problems: &mut Vec<Problem>) -> Vec<(&String, Predicate)> {
        let mut predicates = Vec::new();
        for (key, form) in &self.assertions {
            let pointer = format!("{at}/assertions/{}", escape_pointer(key));
            predicates.extend(Predicate::parse_assertion(form, &pointer, problems).map(|parsed| (key, parsed)));
        }
        predicates
    }

    fn check_status(&self, status: u16) -> Result<(), Failure> {
        let expected = self.expected_statuses();
        if expected.allows(status) {
            return Ok(());
        }
        let mismatch = Mismatch::new("status", &expected, status);
        let message = format!("expected status {expected}, got {status}");
        Err(Failure::new("status", message).with_mismatches(vec![mismatch]))
    }

    /// Returns the keys that the JSON of the response sets. A path without a match sets nothing.
    fn extract_keys(&self, observation: &HttpObservation) -> Result<Map<String, Value>, Trouble> {
        let mut extracted = Map::new();
        if self.set_keys.is_empty() {
            return Ok(extracted);
        }
        let json = observation.json().map_err(|why| observation.failure("json", why))?;
        for (key, path) in &self.set_keys {
            let path = parse_path(path).map_err(|error| Trouble::Broken(format!("{key}: {error}")))?;
            extracted.extend(path.find(json).map(|value| (key.clone(), value)));
        }
        Ok(extracted)
    }
}

/// Returns true if the setting at a JSON pointer is about files or addresses of this machine, which no value that was
/// filled in can have made wrong.
fn is_about_this_machine(pointer: &str) -> bool {
    ["/ca", "/client_certificate", "/source_address"].contains(&pointer)
}

fn parse_path(path: &Value) -> Result<JsonPath, String> {
    match path {
        Value::String(path) => JsonPath::parse(path),
        other => Err(format!("{other} is not a JSONPath: expected text such as `$.status`")),
    }
}
