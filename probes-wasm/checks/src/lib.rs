//! What an answer must be: `checks`, shared by the built-in probes.
//!
//! A map. Its keys are what is looked at, the *subjects*; its values are what they must be. A value alone must be
//! equal, a map is a *predicate*: operators that must all hold.
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
//! Of a command over SSH:
//!
//! ```yaml
//! checks:
//!   exit status: 0
//!   stdout: {contains: active}
//!   $.ready: true                          # in what the command wrote
//!   server version: {contains: OpenSSH}
//! ```
//!
//! **Subjects** are of one nature each, and an operator or value that could never hold for it is a problem of the
//! configuration:
//! - JSON, `$…`: a JSONPath (RFC 9535). One match is the value, several are a list. Nothing is converted: `"1"` is
//!   text, and 1 is a number.
//! - text: `body`, `stdout`, `url`, ….
//! - text from the wire: headers, versions and addresses. Held against a number, or true or false, it is read as one:
//!   `header content-length: {less: 1000}`, `http version: 2`.
//! - numbers: `size`, `time`, `certificate days`, …. A time is never exactly so long: it takes bounds alone.
//! - `status`: a number that also compares with classes. Its list means any of them, as in `in`.
//!
//! **Operators**:
//! - `equals`, `not_equal`, `in` (a list of values): as JSON, so that 1 is 1.0; integers are exact at any size.
//! - `less`, `greater`, `at_most`, `at_least`: numbers only. Text has an order too, but `"10"` stands before `"9"`, and
//!   who compares versions or dates so is told nothing when it goes wrong.
//! - `contains`: a text within text, an element of a list, a key of a map.
//! - `starts_with`, `ends_with`, `matches` (a regular expression, anywhere in the text).
//! - `exists`: true or false. Null exists.
//! - `is_empty`: true or false, for text, lists and maps.
//! - `type`: `text`, `number`, `integer` (1.0 is one), `boolean`, `list`, `map`, `null`.
//! - `not` (a predicate or value), `all` and `any` (lists of them).
//!
//! What is missing fails every operator but `exists: false`; so `not_equal: x` and `is_empty: false` ask for a value.
//! `not` denies whatever is in it, and so holds for what is missing: `not: {equals: x}`.
//!
//! A [`Predicate`] alone says what a key must be: `assertions: {total: {at_least: 1}}`. There, `value` is another word
//! for `equals`, and `{}` asks for existence.
//!
//! ```
//! use sentrynet_checks::{Answer, Checks, Kind, Subject};
//! use serde_json::{Value, json};
//!
//! struct Page(Value);
//!
//! impl Answer for Page {
//!     fn observe(&self, subject: &Subject) -> Option<Value> {
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
//! let checks = Checks::read(form.as_object().unwrap(), Kind::Http, "/checks", &mut problems);
//! assert!(problems.is_empty());
//!
//! let mismatches = checks.hold(&Page(json!({ "state": "down", "lag": 3 }))).unwrap();
//! let said = mismatches.iter().map(|m| format!("{}: expected {}, got {}", m.subject, m.expected, m.actual));
//! assert_eq!(
//!     said.collect::<Vec<_>>(),
//!     [r#"status: expected 2xx, got 503"#, r#"$.state: expected one of "up", "starting", got "down""#],
//! );
//! ```

mod checks;
mod number;
mod path;
mod predicate;
pub mod schema;
mod statuses;
mod subject;
mod words;

pub use checks::{Answer, Checks};
pub use path::JsonPath;
pub use predicate::Predicate;
pub use sentrynet_guest::Mismatch;
pub use statuses::Statuses;
pub use subject::{Kind, Phase, Subject};

/// What is wrong with a configuration: where, as a JSON pointer, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub pointer: String,
    pub message: String,
}
