//! Deserializing settings, with all mistakes in them.

use std::fmt::Display;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use crate::Trouble;
use crate::bindings::exports::sentrynet::probe::prober::Problem;

/// The mistakes found in settings.
#[derive(Default)]
pub struct Problems(Vec<Problem>);

/// A setting that the schema marks `writeOnly`. The host keeps its value; the guest passes this reference to the
/// functions that use the value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SecretSetting(String);

/// A setting with the credentials of HTTP requests: `{basic: {username: …, password: …}}`, `{bearer: TOKEN}` or
/// `{oauth2: {token_url: …, client_id: …, client_secret: …}}`. The host keeps them, and sends them for
/// [`Request::authenticate`](crate::http::Request::authenticate). The host checks their form by the schema.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Credentials(SecretSetting);

impl Problems {
    /// Adds a mistake.
    ///
    /// `pointer` is the JSON pointer to the wrong value: `/url`, `/headers/accept`. The message says what is wrong and
    /// what would be right: lower case, no full stop.
    pub fn add(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { pointer: pointer.into(), message: message.into() });
    }

    /// Returns the value of a result, or adds its error as a mistake and returns `None`.
    ///
    /// `pointer` is written only in case of an error, so that `format_args!` costs nothing otherwise.
    pub fn ok_or_add<T, E: Display>(&mut self, pointer: impl Display, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(pointer.to_string(), error.to_string())).ok()
    }

    /// Returns the JSON pointer and the message of the first mistake.
    pub fn first(&self) -> Option<(&str, &str)> {
        self.0.first().map(|problem| (problem.pointer.as_str(), problem.message.as_str()))
    }

    /// Turns mistakes that are found during a run, which [`Probe::check`](crate::Probe::check) should have found, into
    /// an error.
    ///
    /// # Errors
    /// Returns [`Trouble::Broken`] with the first mistake, if there is one.
    pub fn into_result(self) -> Result<(), Trouble> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some(Problem { pointer, message }) => {
                Err(Trouble::Broken(format!("{}: {message}", setting_name(&pointer))))
            }
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Problem> {
        self.0
    }

    /// Deserializes a part of the settings, and adds all unknown keys and wrong values, not just the first.
    ///
    /// `at` is the JSON pointer to the part. `extra_keys` are keys of the same map that the caller has taken out of it;
    /// they are named where an unknown key is reported. Returns `None` if a key is missing, or if the type itself
    /// refuses the values.
    pub fn deserialize<T: DeserializeOwned>(
        &mut self,
        at: &str,
        mut settings: Map<String, Value>,
        extra_keys: &[&str],
    ) -> Option<T> {
        let before = self.0.len();
        if let Some(fields) = field_names::<T>() {
            let known = [extra_keys, fields].concat();
            settings.retain(|key, _| {
                let is_known = known.contains(&key.as_str());
                if !is_known {
                    self.add(format!("{at}/{}", escape_pointer(key)), unknown_key(key, &known));
                }
                is_known
            });
        }
        // serde stops at the first mistake: remove the wrong value, and try again.
        loop {
            let error = match serde_path_to_error::deserialize::<_, T>(Value::Object(settings.clone())) {
                Ok(deserialized) => return Some(deserialized),
                Err(error) => error,
            };
            let mut message = reword(&error.inner().to_string());
            let below = pointer_of_path(error.path());
            // With the feature `arbitrary_precision`, the message of serde_json does not contain the number.
            if let (Some(Value::Number(number)), false) =
                (Value::Object(settings.clone()).pointer(&below), message.contains(", got "))
            {
                message = format!("{message}, got {number}");
            }
            let pointer = format!("{at}{below}");
            let first_key = error.path().iter().find_map(|segment| match segment {
                Segment::Map { key } => Some(key.clone()),
                _ => None,
            });
            if first_key.and_then(|key| settings.remove(&key)).is_some() {
                self.add(pointer, message);
                continue;
            }
            // A key that was removed above because of its wrong value is not missing.
            let is_new = self.0[before..].iter().all(|problem| {
                let below = problem.pointer.strip_prefix(at).unwrap_or_default();
                below.is_empty() || !names_first_key(&message, below)
            });
            if is_new {
                self.add(pointer, message);
            }
            return None;
        }
    }
}

impl SecretSetting {
    /// Returns the JSON pointer to the setting.
    pub fn pointer(&self) -> &str {
        &self.0
    }
}

impl Credentials {
    /// Returns the JSON pointer to the setting, for [`Problems::add`].
    pub fn pointer(&self) -> &str {
        self.0.pointer()
    }
}

/// The schema of the forms of credentials that the host knows.
impl schemars::JsonSchema for Credentials {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Credentials".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let text = || serde_json::json!({ "type": "string" });
        schemars::json_schema!({
            "type": ["object", "null"],
            "writeOnly": true,
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": false,
            "properties": {
                "basic": {
                    "type": "object",
                    "properties": { "username": text(), "password": text() },
                    "required": ["username", "password"],
                    "additionalProperties": false,
                },
                "bearer": text(),
                "oauth2": {
                    "type": "object",
                    "properties": {
                        "token_url": text(),
                        "client_id": text(),
                        "client_secret": text(),
                        "scope": text(),
                        "audience": text(),
                        "send_in": { "enum": ["header", "body"], "default": "header" },
                    },
                    "required": ["token_url", "client_id", "client_secret"],
                    "additionalProperties": false,
                },
            },
        })
    }
}

/// The schema of a text, unless a field's `schemars(schema_with = …)` says something else.
impl schemars::JsonSchema for SecretSetting {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretSetting".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "writeOnly": true })
    }
}

/// Parses settings as `T`, and adds all unknown keys and wrong values, not just the first.
pub(crate) fn parse<T: DeserializeOwned>(json: &str, problems: &mut Problems) -> Option<T> {
    let settings = problems.ok_or_add("", serde_json::from_str(json))?;
    problems.deserialize("", settings, &[])
}

/// Returns true if a message names the first key of a JSON pointer.
fn names_first_key(message: &str, pointer: &str) -> bool {
    let key = pointer.trim_start_matches('/').split('/').next().unwrap_or_default();
    message.contains(&format!("`{key}`"))
}

/// Returns the name of a setting as operators know it: `auth`, `steps.0.auth`.
pub(crate) fn setting_name(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

/// Escapes a key for a JSON pointer (RFC 6901): `~` as `~0`, and `/` as `~1`.
pub fn escape_pointer(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn pointer_of_path(path: &Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", escape_pointer(key)),
            Segment::Enum { .. } | Segment::Unknown => String::new(),
        })
        .collect()
}

/// Puts serde's sentences into the words of a configuration: keys, lists and maps. Text is not repeated, since it may
/// be a secret.
fn reword(message: &str) -> String {
    let message = message.replace("missing field", "missing key").replace("unknown field", "unknown key");
    let mistaken = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    // This is all that serde_json says about a number that is not an integer.
    if message == "invalid number" {
        return "expected a whole number of at least 0".to_owned();
    }
    let Some((got, expected)) = mistaken.and_then(|mistaken| mistaken.rsplit_once(", expected ")) else {
        return message;
    };
    let got = match got {
        "sequence" => "a list",
        "map" => "a map",
        "null" | "unit value" => "nothing",
        "number" => "a number",
        text if text.starts_with("string") => "text",
        // integer `5`, floating point `0.5`, boolean `true`
        other => other.split('`').nth(1).unwrap_or(other),
    };
    let expected = match expected {
        "a string" => "text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "f64" | "f32" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of at least 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        other => other,
    };
    format!("expected {expected}, got {got}")
}

fn unknown_key(key: &str, known: &[&str]) -> String {
    let closest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&key.to_lowercase(), candidate), candidate))
        .filter(|(distance, candidate)| *distance * 3 <= candidate.len().max(3))
        .min();
    match closest {
        Some((_, candidate)) => format!("unknown key `{key}`, did you mean `{candidate}`?"),
        None => format!("unknown key `{key}`, expected one of `{}`", known.join("`, `")),
    }
}

/// Returns the names of a struct's fields, which serde's derive passes to the deserializer; `None` for other types.
fn field_names<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    struct NameCollector<'a>(&'a mut Option<&'static [&'static str]>);

    impl<'de> Deserializer<'de> for NameCollector<'_> {
        type Error = de::value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("only the names are collected"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = Some(fields);
            self.deserialize_any(visitor)
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut fields = None;
    // The result is always an error. By then, the collector has the names.
    let _ = T::deserialize(NameCollector(&mut fields));
    fields
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "the fields are only deserialized")]
    struct Settings {
        url: String,
        timeout: Option<f64>,
        redirects: Option<u32>,
    }

    #[track_caller]
    fn check(json: &str, expected: &[(&str, &str)]) {
        let mut problems = Problems::default();
        parse::<Settings>(json, &mut problems);
        let found: Vec<_> =
            problems.0.iter().map(|problem| (problem.pointer.as_str(), problem.message.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn valid_settings_have_no_problems() {
        check(r#"{"url": "x", "timeout": 3}"#, &[]);
    }

    #[test]
    fn a_missing_key_is_reported() {
        check("{}", &[("", "missing key `url`")]);
    }

    #[test]
    fn an_unknown_key_is_compared_with_the_known_ones() {
        check(r#"{"url": "x", "timeot": 3}"#, &[("/timeot", "unknown key `timeot`, did you mean `timeout`?")]);
        check(
            r#"{"url": "x", "a/b": 3}"#,
            &[("/a~1b", "unknown key `a/b`, expected one of `url`, `timeout`, `redirects`")],
        );
    }

    #[test]
    fn every_wrong_value_is_found() {
        check(
            r#"{"url": [], "redirects": -1, "timeout": "soon"}"#,
            &[
                ("/url", "expected text, got a list"),
                ("/timeout", "expected a number, got text"),
                ("/redirects", "expected a whole number of at least 0, got -1"),
            ],
        );
    }
}
