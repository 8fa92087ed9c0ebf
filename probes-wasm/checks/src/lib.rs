//! The setting `checks` of the built-in probes: what a response must be.
//!
//! `checks` is a map. Its keys name parts of the response, the *subjects*. Its values say what these parts must be: a
//! plain value must be equal, and a map is a *predicate*, a set of operators that must all hold.
//!
//! ```yaml
//! checks:
//!   status: 2xx                            # a number, a class, a list of them, or a predicate: {less: 300}
//!   header content-type: {starts_with: application/json}
//!   header x-cache: {exists: true, not: {equals: MISS}}
//!   body: {contains: Welcome, not: {matches: '(?i)error'}}
//!   $.items[0].price: {at_most: 12.5}
//!   $.items: {type: list, is_empty: false}
//!   $.error: {exists: false}
//!   size: {at_most: 1000000}               # bytes
//!   time: {less: 0.8}                      # seconds
//!   certificate days: {at_least: 14}
//!   tls version: {at_least: 1.2}
//! ```
//!
//! For a command over SSH:
//!
//! ```yaml
//! checks:
//!   exit status: 0
//!   stdout: {contains: active}
//!   $.ready: true                          # in the standard output, as JSON
//!   server version: {contains: OpenSSH}
//! ```
//!
//! **Subjects** have one of these kinds. An operator or a value that can never hold for a subject's kind is a mistake
//! in the configuration.
//! - JSON, `$…`: a JSONPath (RFC 9535). One match is the value, several are a list. Nothing is converted: `"1"` is
//!   text, and 1 is a number.
//! - Text: `body`, `stdout`, `url` and others.
//! - Text from the wire: headers, versions and addresses. If this text is compared with a number or a boolean, it is
//!   parsed as one: `header content-length: {less: 1000}`, `http version: 2`.
//! - Numbers: `size`, `time`, `certificate days` and others. For a time only bounds are allowed, since it never equals
//!   a number exactly.
//! - `status`: a number that can also be compared with classes such as `2xx`. A list means any of its items, as for
//!   `in`.
//!
//! **Operators**:
//! - `equals`, `not_equal`, `in` (a list of values): equality of JSON values, so that 1 equals 1.0. Integers are
//!   compared exactly at any size.
//! - `less`, `greater`, `at_most`, `at_least`: numbers only. Text is excluded because `"10"` sorts before `"9"`, so
//!   that a comparison of versions or dates would be wrong silently.
//! - `contains`: a text within text, an element of a list, a key of a map.
//! - `starts_with`, `ends_with`, `matches` (a regular expression, anywhere in the text).
//! - `exists`: true or false. Null exists.
//! - `is_empty`: true or false, for text, lists and maps.
//! - `type`: `text`, `number`, `integer` (1.0 is one), `boolean`, `list`, `map`, `null`.
//! - `not` (a predicate or value), `all` and `any` (lists of them).
//!
//! For a missing value every operator fails, except `exists: false`; so `not_equal: x` and `is_empty: false` require a
//! value. `not` negates the predicate in it, and therefore holds for a missing value: `not: {equals: x}`.
//!
//! **Levels**: beside its operators, a check may have a `level`. With `level: warning`, a check that does not hold is a
//! warning, and the run passes: `certificate days: {at_least: 14, level: warning}`. Otherwise the run fails.
//!
//! The setting `assertions` uses a [`Predicate`] for each key: `assertions: {total: {at_least: 1}}`. There, `value` is
//! another name for `equals`, and `{}` requires that the key exists.
//!
//! ```
//! use sentrynet_checks::{Checks, Observation, Protocol, Subject};
//! use serde_json::{Value, json};
//!
//! struct Page(Value);
//!
//! impl Observation for Page {
//!     fn value(&self, subject: &Subject) -> Option<Value> {
//!         matches!(subject, Subject::Status).then(|| json!(503))
//!     }
//!
//!     fn json(&self) -> Result<&Value, String> {
//!         Ok(&self.0)
//!     }
//! }
//!
//! let form = json!({ "status": "2xx", "$.state": { "in": ["up", "starting"] }, "$.lag": { "less": 10 } });
//! let mut problems = Vec::new();
//! let checks = Checks::parse(form.as_object().unwrap(), Protocol::Http, "/checks", &mut problems);
//! assert!(problems.is_empty());
//!
//! let found = checks.evaluate(&Page(json!({ "state": "down", "lag": 3 })));
//! let sentences = found.errors.iter().map(|m| format!("{}: expected {}, got {}", m.subject, m.expected, m.actual));
//! assert_eq!(
//!     sentences.collect::<Vec<_>>(),
//!     [r#"status: expected 2xx, got 503"#, r#"$.state: expected one of "up", "starting", got "down""#],
//! );
//! ```

mod checks;
mod json;
mod level;
mod messages;
mod number;
mod path;
mod predicate;
pub mod schema;
mod statuses;
mod subject;
mod unit;

pub use checks::{Checks, Evaluation, Observation};
pub use json::parse_json;
pub use level::Level;
pub use path::JsonPath;
pub use predicate::Predicate;
pub use sentrynet_guest::Mismatch;
pub use statuses::Statuses;
pub use subject::{Phase, Protocol, Subject};

/// A mistake in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The JSON pointer to the wrong value.
    pub pointer: String,
    /// The mistake, and what would be right.
    pub message: String,
}
