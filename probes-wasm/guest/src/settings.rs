//! Settings from JSON to a type, and all that is wrong with them.

use std::fmt::Display;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use crate::Trouble;
use crate::bindings::exports::sentrynet::probe::prober::Problem;

/// Collects what is wrong with settings.
#[derive(Default)]
pub struct Check {
    pub(crate) problems: Vec<Problem>,
}

impl Check {
    /// Notes a problem at a JSON pointer into the settings: `/url`, `/headers/accept`. The message says what is wrong
    /// and what would be right, lower case, no full stop.
    pub fn problem(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { pointer: pointer.into(), message: message.into() });
    }

    /// The first that is wrong: its pointer, and what it is.
    pub fn first(&self) -> Option<(&str, &str)> {
        self.problems.first().map(|problem| (problem.pointer.as_str(), problem.message.as_str()))
    }

    /// Whether nothing was wrong, where a run has come so far.
    ///
    /// # Errors
    /// Broken, with the first that was.
    pub fn done(self) -> Result<(), Trouble> {
        match self.problems.into_iter().next() {
            None => Ok(()),
            Some(Problem { pointer, message }) => {
                Err(Trouble::Broken(format!("{}: {message}", pointer.trim_start_matches('/').replace('/', "."))))
            }
        }
    }

    /// Hands on what is right, and notes what is not. The pointer is written only then: `format_args!` will do.
    pub fn at<T, E: Display>(&mut self, pointer: impl Display, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.problem(pointer.to_string(), error.to_string())).ok()
    }
}

/// A setting that the schema marks `writeOnly`: the host keeps its value, and lets the guest say what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Kept(String);

impl Kept {
    /// Where it stands, as a JSON pointer into the settings.
    pub fn pointer(&self) -> &str {
        &self.0
    }
}

/// As text, unless a field's `schemars(schema_with = …)` says more.
impl schemars::JsonSchema for Kept {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Kept".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "writeOnly": true })
    }
}

/// Reads settings as `T`, and notes every unknown key and every wrong value, not just the first.
pub(crate) fn read<T: DeserializeOwned>(json: &str, check: &mut Check) -> Option<T> {
    let settings = check.at("", serde_json::from_str(json))?;
    check.read("", settings, &[])
}

impl Check {
    /// Reads a part of the settings as `T`, and notes every unknown key and every wrong value, not just the first.
    /// `taken` are keys that stood there beside those of `T`.
    pub fn read<T: DeserializeOwned>(
        &mut self,
        at: &str,
        mut settings: Map<String, Value>,
        taken: &[&str],
    ) -> Option<T> {
        let before = self.problems.len();
        if let Some(known) = fields::<T>() {
            let known = [taken, known].concat();
            settings.retain(|key, _| {
                let right = known.contains(&key.as_str());
                if !right {
                    self.problem(format!("{at}{}", pointer_to(key)), unknown_key(key, &known));
                }
                right
            });
        }
        // serde stops at the first mistake: take the wrong value out, and see whether there is another.
        loop {
            let error = match serde_path_to_error::deserialize::<_, T>(Value::Object(settings.clone())) {
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let mut message = plain(&error.inner().to_string());
            let below = pointer(error.path());
            // With numbers of any precision, serde_json does not say which it was.
            if let (Some(Value::Number(number)), false) =
                (Value::Object(settings.clone()).pointer(&below), message.contains(", got "))
            {
                message = format!("{message}, got {number}");
            }
            let pointer = format!("{at}{below}");
            let first = error.path().iter().find_map(|segment| match segment {
                Segment::Map { key } => Some(key.clone()),
                _ => None,
            });
            if first.and_then(|key| settings.remove(&key)).is_some() {
                self.problem(pointer, message);
                continue;
            }
            // A missing key is news only when it is missing from what was written.
            let news = self.problems[before..].iter().all(|problem| {
                let below = problem.pointer.strip_prefix(at).unwrap_or_default();
                below.is_empty() || !missing(&message, below)
            });
            if news {
                self.problem(pointer, message);
            }
            return None;
        }
    }
}

fn missing(message: &str, pointer: &str) -> bool {
    let key = pointer.trim_start_matches('/').split('/').next().unwrap_or_default();
    message.contains(&format!("`{key}`"))
}

/// JSON pointer to a key of the settings.
fn pointer_to(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn pointer(path: &Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => pointer_to(key),
            Segment::Enum { .. } | Segment::Unknown => String::new(),
        })
        .collect()
}

/// serde's sentences in the words of who writes a configuration. Text is not repeated: it may be a secret.
fn plain(message: &str) -> String {
    let message = message.replace("missing field", "missing key").replace("unknown field", "unknown key");
    let mistaken = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    // All that serde_json says of a number that a whole one cannot be.
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

/// The names of a struct's fields, as serde's derive hands them to a deserializer.
fn fields<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    struct Ask<'a>(&'a mut Option<&'static [&'static str]>);

    impl<'de> Deserializer<'de> for Ask<'_> {
        type Error = de::value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("only the names are asked for"))
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
    // The answer is always an error; what matters is what was asked for on the way.
    let _ = T::deserialize(Ask(&mut fields));
    fields
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Settings {
        url: String,
        timeout: Option<f64>,
        redirects: Option<u32>,
    }

    #[track_caller]
    fn check(json: &str, expected: &[(&str, &str)]) {
        let mut check = Check::default();
        read::<Settings>(json, &mut check);
        let found: Vec<_> =
            check.problems.iter().map(|problem| (problem.pointer.as_str(), problem.message.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_right_has_no_problems() {
        check(r#"{"url": "x", "timeout": 3}"#, &[]);
    }

    #[test]
    fn a_missing_key_is_missed() {
        check("{}", &[("", "missing key `url`")]);
    }

    #[test]
    fn an_unknown_key_is_compared_with_the_known() {
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
